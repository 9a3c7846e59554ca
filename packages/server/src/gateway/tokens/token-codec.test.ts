import { createHmac, createSecretKey, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { claimsText, type TokenClaims } from './claims.ts'
import {
  MAX_TOKEN_BYTES,
  openToken,
  payloadHash,
  type TokenKeys,
  type TokenSecret,
  writeToken,
} from './token-codec.ts'

const SECRET = Buffer.from('unit-test-signing-secret')
const KEYS: TokenKeys = { secrets: [SECRET] }
const PLAIN = { format: 'signed', withIssueTime: false } as const
const ISSUED = Date.parse('2030-01-01T00:00:00.000Z')
const CLAIMS: TokenClaims = {
  agent_id: '3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22',
  agent_name: 'lead-bot',
  tools: ['serpapi'],
  permissions: ['read', 'write'],
  expires_at: '2030-01-01T00:10:00.000Z',
  nonce: '9b2d7c14-52f0-4b61-8a86-0f7f3f1f6f10',
  issued_at: '2030-01-01T00:00:00.000Z',
}
const PAYLOAD = claimsText(CLAIMS)
const BODY =
  'eyJhZ2VudF9pZCI6IjNmMGM4ZjBlLTZhNTEtNGMzOS05ZDVhLTBhNGU1ZDFiN2MyMiIsImFnZW50X25hbWUiOiJsZWFkLWJvdCIsInRvb2xzIjpbInNlcnBhcGkiXSwicGVybWlzc2lvbnMiOlsicmVhZCIsIndyaXRlIl0sImV4cGlyZXNfYXQiOiIyMDMwLTAxLTAxVDAwOjEwOjAwLjAwMFoiLCJub25jZSI6IjliMmQ3YzE0LTUyZjAtNGI2MS04YTg2LTBmN2YzZjFmNmYxMCIsImlzc3VlZF9hdCI6IjIwMzAtMDEtMDFUMDA6MDA6MDAuMDAwWiJ9'
const VECTOR = `${BODY}.516a09d414333bfa23a74b92f2ab080774b057b27f9747155b62ce00e0bb470a`

const gateway = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const failing = (code: string) => expect.objectContaining({ code })
const open = (text: unknown, keys = KEYS, withIssueTime = false) =>
  openToken(text, keys, { withIssueTime })
const signed = (body: string, secret: TokenSecret = SECRET) =>
  `${body}.${createHmac('sha256', secret).update(body).digest('hex')}`
const base64 = (text: string | Uint8Array) => Buffer.from(text).toString('base64')

test('gateway §19.4: the vector of the contract is written byte for byte and opens', () => {
  expect(Buffer.byteLength(PAYLOAD)).toBe(252)
  expect(writeToken(PAYLOAD, ISSUED, KEYS, PLAIN)).toBe(VECTOR)
  expect(payloadHash(PAYLOAD)).toBe(
    'd9b95f15ffbc4bd8a0783fa011199ccd824c26433c0e03245093a43db2cec51e',
  )
  expect(open(VECTOR)).toEqual({
    claims: CLAIMS,
    payload: PAYLOAD,
    payloadHash: payloadHash(PAYLOAD),
    issuedAtMs: ISSUED,
    expiresAtMs: ISSUED + 600_000,
  })
})

test('gateway §19.4: a flipped bit anywhere in either segment is noticed', () => {
  for (let at = 0; at < VECTOR.length; at += 1) {
    for (let bit = 0; bit < 7; bit += 1) {
      const code = VECTOR.charCodeAt(at) ^ (1 << bit)
      const forged = VECTOR.slice(0, at) + String.fromCharCode(code) + VECTOR.slice(at + 1)
      expect(() => open(forged)).toThrow(expect.objectContaining({ status: 401 }))
    }
  }
})

test('gateway §19.4: a foreign secret, an empty segment and an extra segment are refused', () => {
  const foreign: TokenKeys = { secrets: [Buffer.from('another secret')] }
  expect(() => open(VECTOR, foreign)).toThrow(failing('TOKEN_SIGNATURE'))
  expect(() => open(VECTOR, { secrets: [] })).toThrow(failing('TOKEN_SIGNATURE'))
  const [body, mac] = VECTOR.split('.')
  for (const text of [`.${mac}`, `${body}.`, '.', '', body, `${VECTOR}.`, `${VECTOR}.${mac}`]) {
    expect(() => open(text)).toThrow(failing('TOKEN_MALFORMED'))
  }
  expect(() => open(signed(''))).toThrow(failing('TOKEN_MALFORMED'))
})

test('a token of another type or size than the contract allows is malformed', () => {
  for (const text of [undefined, null, 7, {}, [VECTOR]]) {
    expect(() => open(text)).toThrow(failing('TOKEN_MALFORMED'))
  }
  const long = signed('A'.repeat(MAX_TOKEN_BYTES - 64))
  expect(() => open(long)).toThrow(failing('TOKEN_MALFORMED'))
  const wide = `${'é'.repeat(MAX_TOKEN_BYTES / 2)}.x`
  expect(() => open(wide)).toThrow(failing('TOKEN_MALFORMED'))
})

test('a signature has one spelling', () => {
  const mac = VECTOR.slice(BODY.length + 1)
  for (const other of [mac.toUpperCase(), ` ${mac}`, `${mac} `, mac.slice(0, 63), `${mac}0`]) {
    expect(() => open(`${BODY}.${other}`)).toThrow(failing('TOKEN_SIGNATURE'))
  }
})

test('a signed body that is no strict base64, UTF-8, JSON or set of claims is malformed', () => {
  const [last] = [PAYLOAD.at(-1)]
  expect(last).toBe('}')
  const bodies = [
    BODY.slice(0, -1), // 335 characters
    `${BODY.slice(0, 8)}\n${BODY.slice(8)}`,
    base64(PAYLOAD).replaceAll('+', '-').concat('===='),
    'e31=', // "{}" with bits left over
    base64(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])),
    base64(`\ufeff${PAYLOAD}`),
    base64('null'),
    base64('[]'),
    base64('{"agent_id":1'),
  ]
  for (const body of bodies) {
    expect(() => open(signed(body)), body).toThrow(failing('TOKEN_MALFORMED'))
  }
  const broken: Record<string, unknown>[] = [
    { agent_id: 7 },
    { agent_id: '' },
    { agent_name: null },
    { tools: 'serpapi' },
    { tools: ['serpapi', 1] },
    { permissions: undefined },
    { expires_at: 1_893_456_600_000 },
    { expires_at: 'never' },
    { expires_at: '2030-01-01T00:10:00' },
    { issued_at: '2030-13-01T00:00:00Z' },
    { nonce: 1 },
    { extra: true },
  ]
  for (const change of broken) {
    const body = base64(JSON.stringify({ ...CLAIMS, ...change }))
    expect(() => open(signed(body)), JSON.stringify(change)).toThrow(failing('TOKEN_MALFORMED'))
  }
})

test('a previous secret still opens, and the first one signs', () => {
  const rotated: TokenKeys = { secrets: [createSecretKey(Buffer.from('the new secret')), SECRET] }
  expect(open(VECTOR, rotated).claims).toEqual(CLAIMS)
  const text = writeToken(PAYLOAD, ISSUED, rotated, PLAIN)
  expect(text).not.toBe(VECTOR)
  expect(open(text, rotated).payload).toBe(PAYLOAD)
  expect(() => open(text)).toThrow(failing('TOKEN_SIGNATURE'))
})

test('a token without a secret to sign it is not written', () => {
  expect(() => writeToken(PAYLOAD, ISSUED, { secrets: [] }, PLAIN)).toThrow(TypeError)
  const sealed = { format: 'sealed', withIssueTime: false } as const
  expect(() => writeToken(PAYLOAD, ISSUED, KEYS, sealed)).toThrow(TypeError)
})

test('whatever is asked for comes back unchanged, in both formats', () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const claims = fc.record({ agent_name: text, tools: fc.array(text), permissions: fc.array(text) })
  const keys = { ...KEYS, gatewayKey: gateway }
  fc.assert(
    fc.property(claims, fc.constantFrom('signed' as const, 'sealed' as const), (some, format) => {
      const payload = claimsText({ ...CLAIMS, ...some })
      const token = writeToken(payload, ISSUED, keys, { format, withIssueTime: false })
      const opened = open(token, keys)
      expect(opened.claims).toEqual({ ...CLAIMS, ...some })
      expect(opened.payloadHash).toBe(payloadHash(payload))
    }),
    { numRuns: 60 },
  )
})

test('gateway §19.4: a sealed token opens with the gateway key and not without', () => {
  const keys: TokenKeys = { ...KEYS, gatewayKey: gateway }
  const sealed = writeToken(PAYLOAD, ISSUED, keys, { format: 'sealed', withIssueTime: false })
  expect(sealed.split('.')[0]).toHaveLength(704)
  expect(open(sealed, keys).payload).toBe(PAYLOAD)
  expect(open(VECTOR, keys).payload).toBe(PAYLOAD)
  expect(() => open(sealed)).toThrow(failing('TOKEN_MALFORMED'))
})

test('the length of the sealed key follows the modulus of the gateway key', () => {
  const large = generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey
  const keys: TokenKeys = { ...KEYS, gatewayKey: large }
  const sealed = writeToken(PAYLOAD, ISSUED, keys, { format: 'sealed', withIssueTime: false })
  expect(open(sealed, keys).payload).toBe(PAYLOAD)
  expect(() => open(sealed, { ...KEYS, gatewayKey: gateway })).toThrow(failing('TOKEN_MALFORMED'))
})

test('every way to break a sealed body under a good signature gives one error', () => {
  const keys: TokenKeys = { ...KEYS, gatewayKey: gateway }
  const sealed = writeToken(PAYLOAD, ISSUED, keys, { format: 'sealed', withIssueTime: false })
  const bytes = Buffer.from(sealed.split('.')[0] ?? '', 'base64')
  const flipped = (at: number) => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy
  }
  const broken = [
    flipped(3), // wrapped key
    flipped(300), // a block
    flipped(bytes.length - 1), // padding
    bytes.subarray(0, bytes.length - 16),
    bytes.subarray(0, bytes.length - 1),
    bytes.subarray(0, 272),
    bytes.subarray(0, 100),
  ]
  const told = broken.map((body) => {
    try {
      return open(signed(base64(body)), keys)
    } catch (error) {
      const { code, message, cause, hint } = error as Error & { code: string; hint: string }
      return { code, message, cause, hint }
    }
  })
  expect(told[0]).toMatchObject({ code: 'TOKEN_MALFORMED', cause: undefined })
  for (const one of told) expect(one).toEqual(told[0])
})

test('nothing is decrypted before the signature was checked', () => {
  const keys: TokenKeys = { ...KEYS, gatewayKey: gateway }
  const sealed = writeToken(PAYLOAD, ISSUED, keys, { format: 'sealed', withIssueTime: false })
  const [body = ''] = sealed.split('.')
  expect(() => open(signed(body, Buffer.from('foreign')), keys)).toThrow(failing('TOKEN_SIGNATURE'))
})

test('with an issue time the second segment tells it, and the signature covers it', () => {
  const token = writeToken(PAYLOAD, ISSUED, KEYS, { format: 'signed', withIssueTime: true })
  const [body, issue = '', mac] = token.split('.')
  expect(JSON.parse(Buffer.from(issue, 'base64').toString())).toEqual({ iat: ISSUED / 1000 })
  expect(open(token, KEYS, true).payload).toBe(PAYLOAD)
  expect(open(VECTOR, KEYS, true).payload).toBe(PAYLOAD)
  expect(() => open(token)).toThrow(failing('TOKEN_MALFORMED'))
  const later = base64(JSON.stringify({ iat: ISSUED / 1000 + 1 }))
  expect(() => open(`${body}.${later}.${mac}`, KEYS, true)).toThrow(failing('TOKEN_SIGNATURE'))
  expect(() => open(`${body}.${mac}`, KEYS, true)).toThrow(failing('TOKEN_SIGNATURE'))
  for (const wrong of ['e30=', base64('{"iat":"now"}'), base64('7'), 'e30', base64('x')]) {
    expect(() => open(signed(`${body}.${wrong}`), KEYS, true)).toThrow(failing('TOKEN_MALFORMED'))
  }
  expect(() => open(`${body}..${mac}`, KEYS, true)).toThrow(failing('TOKEN_MALFORMED'))
})

test('an error shows nothing of the token', () => {
  try {
    open(signed(base64('{"agent_id":"hidden"}')))
    expect.unreachable()
  } catch (error) {
    expect(JSON.stringify(error) + String(error)).not.toMatch(/hidden|eyJ/)
  }
})
