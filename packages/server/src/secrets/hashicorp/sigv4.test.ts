import { expect, test } from 'vitest'
import { profile } from './aws-key.ts'
import { signV4 } from './sigv4.ts'

const KEY = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
}
const AT = { region: 'us-east-1', service: 'service', nowMs: Date.parse('2015-08-30T12:36:00Z') }
const URL_ = new URL('https://example.amazonaws.com/')

// Published test suite of the signature, "vanilla" cases.
test.each([
  ['GET', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
  ['POST', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
])('the published %s request gets its published signature', (method, signature) => {
  const signed = signV4({ method, url: URL_, headers: {}, body: '' }, { key: KEY, ...AT })
  expect(signed).toEqual({
    Host: 'example.amazonaws.com',
    'X-Amz-Date': '20150830T123600Z',
    Authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`,
  })
})

test('a form and a session token are signed, and named so', () => {
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
  const body = 'Param1=value1'
  const form = signV4({ method: 'POST', url: URL_, headers, body }, { key: KEY, ...AT })
  expect(form['Authorization']).toMatch(
    /SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a$/,
  )
  const key = { ...KEY, sessionToken: 'FQoGtoken' }
  const signed = signV4({ method: 'POST', url: URL_, headers, body }, { key, ...AT })
  expect(signed['X-Amz-Security-Token']).toBe('FQoGtoken')
  expect(signed['Authorization']).toContain('host;x-amz-date;x-amz-security-token,')
})

test('a credentials file is read by its profile', () => {
  const text =
    '[default]\naws_access_key_id = A\n\n[ci]\naws_access_key_id=B\r\naws_secret_access_key = C=\n'
  expect(profile(text, 'default').get('aws_access_key_id')).toBe('A')
  expect([...profile(text, 'ci').values()]).toEqual(['B', 'C='])
  expect(profile(text, 'absent').size).toBe(0)
})
