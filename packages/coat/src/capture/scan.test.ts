import { expect, test } from 'vitest'
import { ENTROPY_SAMPLES, RULE_SAMPLES } from './rules.test-kit.ts'
import { createScanner } from './scan.ts'
import { createKeyRule } from './sensitive-key.ts'
import { RULE_NAMES } from './token-rules.ts'

const keyRule = createKeyRule()
const scanner = createScanner({ keyRule })

function found(text: string, using = scanner): string[] {
  const hits = new Set<string>()
  using.redact(text, false, hits)
  return [...hits]
}

test.each(RULE_SAMPLES)('telemetry §16.11: $rule takes out "$hit" and leaves "$miss"', (sample) => {
  const { rule, hit, secret = hit, miss } = sample
  const clean = scanner.redact(hit)
  expect(clean).toContain(`[redacted:${rule}]`)
  expect(clean).not.toContain(secret)
  expect(found(hit)).toEqual([rule])
  expect(scanner.redact(miss)).toBe(miss)
})

test.each(ENTROPY_SAMPLES)(
  'telemetry §16.11: entropy, when asked for, takes out "$hit"',
  (sample) => {
    const random = createScanner({ keyRule, entropy: true })
    expect(found(sample.hit, random)).toEqual(['entropy'])
    expect(found(sample.miss, random)).toEqual([])
    expect(scanner.redact(sample.hit)).toBe(sample.hit)
  },
)

test('telemetry §16.11: every rule has a sample', () => {
  const sampled = new Set([...RULE_SAMPLES, ...ENTROPY_SAMPLES].map(({ rule }) => rule))
  expect(RULE_NAMES.filter((name) => !sampled.has(name)).sort()).toEqual(['env-exact', 'key'])
})

test('telemetry §16.11: what surrounds a secret stays', () => {
  for (const { hit, secret = hit } of RULE_SAMPLES) {
    const clean = scanner.redact(`before ${hit}\nafter 1.5 items`)
    expect(clean).toMatch(/^before /)
    // A block without an end, and one that is more than a line, may take the rest.
    if (!hit.startsWith('-----BEGIN')) expect(clean).toContain('after 1.5 items')
    expect(clean).not.toContain(secret)
  }
})

test('several secrets in one text each get their mark', () => {
  const text = 'use AKIAIOSFODNN7EXAMPLE, then postgres://a:b@db/x and mail 123-45-6789.'
  expect(scanner.redact(text)).toBe(
    'use [redacted:aws-id], then postgres://[redacted:url-userinfo]@db/x and mail [redacted:ssn].',
  )
})

test('what was redacted, and perhaps cut since, is left as it is', () => {
  for (const { hit } of RULE_SAMPLES) {
    const once = scanner.redact(hit)
    expect(scanner.redact(once)).toBe(once)
    for (let length = 1; length < once.length; length += 1) {
      const cut = `${once.slice(0, length)}…[+${once.length - length}]`
      expect(found(cut), cut).toEqual([])
    }
  }
})

test('telemetry §16.11: a secret behind an escape of JSON or of a URL is found', () => {
  const key = 'sk-abcdefghijklmnopqrstu'
  for (const text of [`{"a":"line\\n${key}"}`, `x%3D${key}`, `\\u003d${key}`, `\\t${key}`])
    expect(scanner.redact(text), text).not.toContain(key)
  expect(scanner.redact('https://x.example/a?b=1\\u0026token=hunter2')).not.toContain('hunter2')
  expect(scanner.redact('https:\\/\\/joe:hunter2@x.example')).not.toContain('hunter2')
})

test('telemetry §16.11: JSON within a text is judged by its keys, however often it was quoted', () => {
  const data = { user: 'joe', password: 'hun"t\\er2', max_tokens: 5, api_key: 'k' }
  const once = JSON.stringify(data)
  const twice = JSON.stringify({ arguments: once })
  expect(scanner.redact(once)).toBe(
    '{"user":"joe","password":"[redacted:key]","max_tokens":5,"api_key":"[redacted:key]"}',
  )
  const clean = scanner.redact(twice)
  expect(clean).not.toContain('hun')
  expect(JSON.parse(JSON.parse(clean).arguments)).toEqual({
    ...data,
    password: '[redacted:key]',
    api_key: '[redacted:key]',
  })
  expect(scanner.redact('{"password": "never closed')).toBe('{"password": "[redacted:key]')
  expect(scanner.redact('{"password": ""}')).toBe('{"password": ""}')
})

test('telemetry §16.11: values of the environment are found as they are, in JSON and in URLs', () => {
  const secret = 'pa ss"w/örd-1'
  const exact = createScanner({ keyRule, exact: [secret, '12345678', 'ключ-от-всего'] })
  expect(exact.redact(`a ${secret} b`)).toBe('a [redacted:env-exact] b')
  expect(exact.redact(JSON.stringify({ a: secret }))).toBe('{"a":"[redacted:env-exact]"}')
  expect(exact.redact(`?q=${encodeURIComponent(secret)}`)).toBe('?q=[redacted:env-exact]')
  expect(exact.redact('no 12345678!')).toBe('no [redacted:env-exact]!')
  expect(exact.redact('no 1234567!')).toBe('no 1234567!')
  expect(exact.redact('ключ-от-всего')).toBe('[redacted:env-exact]')
  expect(exact.redact('ключ-от-всех')).toBe('ключ-от-всех')
})

test('telemetry §16.11: a secret that goes on behind the piece that is searched is found', () => {
  const secret = 'correct horse battery staple'
  const exact = createScanner({ keyRule, exact: [secret] })
  expect(exact.redact('say correct horse ba', true)).toBe('say [redacted:env-exact]')
  expect(exact.redact('say correct horse ba', false)).toBe('say correct horse ba')
  expect(scanner.redact('x eyJhbGciOiJIUzI1', true)).toBe('x [redacted:jwt]')
  expect(scanner.redact('Bearer abc', true)).toBe('[redacted:auth-header]')
})

test('matches that overlap become one', () => {
  const exact = createScanner({ keyRule, exact: ['tok-12345678'] })
  expect(exact.redact('Bearer tok-12345678')).toBe('[redacted:auth-header]')
  expect(exact.redact('a://u:tok-12345678@h')).toBe('a://[redacted:url-userinfo]@h')
})

test('ordinary text stays as it is, and is the very same', () => {
  for (const text of [
    'The task-runner re-reads section 4.2 (see https://example.com/a?b=1#c) at 12:30.',
    '550e8400-e29b-41d4-a716-446655440000 0.4111111111111111 2024-05-02T09:14:07.481Z',
    'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    'Basic idea, bearer of news, token by token; key: value; sig: none',
    '{"usage":{"input_tokens":12},"max_tokens":100,"tokenizer":"cl100k"}',
    '1700000000000 1700000000000000 +49 170 1234567 10.0.0.1:8080',
    'sk- ghp_ eyJ :// ?token= Cookie:',
    '…[+1332]',
  ])
    expect(scanner.redact(text)).toBe(text)
})

/** Texts that make careless patterns look at the same characters again and again. */
const HOSTILE: Readonly<Record<string, (size: number) => string>> = {
  'beginnings of tokens': (size) => 'eyJ'.repeat(size / 3),
  'beginnings of tokens in one word': (size) => 'eyJ-'.repeat(size / 4),
  'two parts': (size) => `eyJ${'a'.repeat(size / 2)}.eyJ${'eyJ'.repeat(size / 6)}`,
  'begin lines': (size) => '-----BEGIN '.repeat(size / 11),
  'keys without an end': (size) => '-----BEGIN PRIVATE KEY-----'.repeat(size / 27),
  addresses: (size) => 'a://b:'.repeat(size / 6),
  'one address': (size) => `a://${'b:'.repeat(size / 2)}`,
  digits: (size) => '4'.repeat(size),
  'groups of digits': (size) => '4111 '.repeat(size / 5),
  quotes: (size) => '"password":"'.repeat(size / 12),
  'escaped quotes': (size) => '\\"password\\":\\"'.repeat(size / 15),
  backslashes: (size) => '\\'.repeat(size),
  cookies: (size) => 'cookie:'.repeat(size / 7),
  digest: (size) => 'digest '.repeat(size / 7),
  hyphens: (size) => 'sk-'.repeat(size / 3),
  parameters: (size) => '?token='.repeat(size / 7),
  names: (size) => `${'_'.repeat(size / 2)}=`.repeat(2),
  accounts: (size) => 'DE12 '.repeat(size / 5),
}

test.each(Object.entries(HOSTILE))(
  'telemetry §16.11: a megabyte of %s is searched at once',
  (_, make) => {
    const text = make(1_048_576)
    const startedMs = performance.now()
    expect(scanner.redact(text).length).toBeGreaterThan(0)
    // What is quadratic takes minutes for it, so a busy machine cannot be mistaken for that.
    expect(performance.now() - startedMs).toBeLessThan(10_000)
  },
)
