import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { applyDlp } from './scan.ts'

const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
}) as string
const escaped = (char: string) => `\\u00${char.charCodeAt(0).toString(16)}`
const JWT = `eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhYmMifQ.${'Q'.repeat(43)}`

const SECRETS = [
  ['openai_key', `sk-proj-${'a1B2'.repeat(12)}`],
  ['openai_key', `sk-${'a1B2'.repeat(12)}`],
  ['anthropic_key', `sk-ant-api03-${'a1B2'.repeat(10)}`],
  ['google_key', `AIza${'a1B2_'.repeat(7)}`],
  ['aws_key', 'AKIAIOSFODNN7EXAMPLE'],
  ['github_token', `ghp_${'a1B2'.repeat(9)}`],
  ['github_token', `github_pat_${'a1B2_'.repeat(10)}`],
  ['slack_token', 'xoxb-123456789012-abcdefghijkl'],
  ['stripe_key', `sk_live_${'a1B2'.repeat(6)}`],
  ['private_key', pem],
  ['jwt', JWT],
  ['jwt', JWT.replace('eyJzdWIiOiJhYmMifQ', Buffer.from('{ "sub": "abc" }').toString('base64url'))],
  ['jwt', JWT.replace('eyJzdWIiOiJhYmMifQ', Buffer.from('{\n"sub":"abc"}').toString('base64url'))],
] as const

describe.each(SECRETS)('%s', (name, secret) => {
  test.each([
    ['in a text', { messages: [{ content: `before ${secret} after` }] }],
    ['in a part', { messages: [{ content: [{ type: 'text', text: secret }] }] }],
    ['in the text of a JSON value', { arguments: JSON.stringify({ key: secret }) }],
    ['as a name', { [secret]: 1 }],
    [
      'in escapes of JSON within a text, which providers undo',
      { arguments: `{"key":"${secret.replaceAll('\n', '\\n').replace(/[A-Za-z]/g, escaped)}"}` },
    ],
  ])('is blocked %s, and not repeated', (_name, value) => {
    let thrown: unknown
    try {
      applyDlp(value, 'block')
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code: 'DLP_BLOCKED', context: { dlp: [name] } })
    expect(JSON.stringify(thrown) + String(thrown)).not.toContain(secret.slice(10, 30))
  })

  test('is taken out with redact, and the rest stays', () => {
    const { value, found } = applyDlp({ a: `before ${secret} after`, b: [1, null, true] }, 'redact')
    expect(found).toEqual([name])
    expect(value).toMatchObject({ b: [1, null, true] })
    const { a } = value as { a: string }
    expect(a.startsWith(`before [${name} removed]`)).toBe(true)
    expect(a.endsWith(' after')).toBe(true)
  })

  test('passes with allow, as it is', () => {
    const value = { a: secret }
    expect(applyDlp(value, 'allow')).toEqual({ value, found: [] })
  })
})

test.each([
  'a commit 3f786850e387550fdab836ed7e6dc881de23001b',
  'if (text.startsWith("-----BEGIN PRIVATE KEY-----")) throw new Error()',
  'eyJhbGciOiJIUzI1NiJ9 alone is only a header',
  `a picture in base64 with +AIza${'a1B2c'.repeat(12)} in it`,
  'task-force-sk-i-for-everyone-in-the-whole-country',
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk',
])('%s is nothing', (text) => {
  expect(applyDlp({ text }, 'block').found).toEqual([])
})

test('nothing that was found means the very value that came', () => {
  const value = { text: 'hello' }
  expect(applyDlp(value, 'redact').value).toBe(value)
})

test.each([
  ['beginnings of keys', '-----BEGIN PRIVATE KEY-----\n'.repeat(40_000)],
  ['beginnings of tokens', 'eyJ'.repeat(300_000)],
  ['tokens without an end', `${'eyJaaaaaaaaaaaa.'.repeat(60_000)}`],
  ['dashes', 'sk-'.repeat(300_000)],
  ['headers of keys', `-----BEGIN PRIVATE KEY-----\n${'DEK-Info: a-b-c\n'.repeat(60_000)}`],
])('a megabyte of %s is read in no time', (_name, text) => {
  const startedMs = performance.now()
  applyDlp({ text }, 'redact')
  expect(performance.now() - startedMs).toBeLessThan(1_000)
})
