import { expect, test } from 'vitest'
import { CAPTURE_MODES } from './aot.ts'
import { createCapturer } from './capture/create-capturer.ts'
import { RULE_SAMPLES } from './capture/rules.test-kit.ts'
import {
  createRedactor,
  hashKey,
  isSensitiveKey,
  lowerPayload,
  RULE_NAMES,
  redactJson,
  redactText,
} from './redaction.ts'

const KEY = hashKey('000102030405060708090a0b0c0d0e0f')

test.each(RULE_SAMPLES)(
  'telemetry §16.14: $rule is found in JSON of another producer: "$hit"',
  (sample) => {
    const { rule, hit, secret = hit, miss } = sample
    const envelope = { payload: { preview: { args: [{ deep: [hit] }] }, [`${hit}\nas a name`]: 1 } }
    const before = JSON.stringify(envelope)
    const { value, hits } = redactJson(envelope)
    expect(hits).toEqual([rule])
    expect(JSON.stringify(value)).not.toContain(JSON.stringify(secret).slice(1, -1))
    expect(JSON.stringify(envelope)).toBe(before)
    expect(redactText(hit).hits).toEqual([rule])
    expect(redactJson({ a: miss }).hits).toEqual([])
  },
)

test('telemetry §16.14: values under sensitive names go, counts and keys that are public stay', () => {
  const given = {
    password: 'hunter2',
    api_key: { nested: 1 },
    usage: { input_tokens: 5, reasoning_tokens: null },
    max_tokens: 10,
    tokens: 'abc',
    public_key: { signature: 'kept' },
    pin: 1234,
    secret: null,
  }
  expect(redactJson(given)).toEqual({
    value: {
      ...given,
      password: '[redacted:key]',
      api_key: '[redacted:key]',
      tokens: '[redacted:key]',
      pin: '[redacted:key]',
    },
    hits: ['key'],
  })
  expect(isSensitiveKey('dbPassword')).toBe(true)
  expect(redactJson({ badge: 1 }, { redactKeys: ['badge'] }).hits).toEqual(['key'])
})

test('where nothing is found the very same value comes back', () => {
  const given = { a: [1, { b: 'text' }], c: null, d: true }
  expect(redactJson(given)).toEqual({ value: given, hits: [] })
  expect(redactJson(given).value).toBe(given)
  expect(redactJson('text').value).toBe('text')
})

test('telemetry §16.14: what this library’s own capturing made is no leak, in whichever mode', () => {
  const capturer = createCapturer({
    previewLen: 30,
    redactKeys: [],
    patterns: [],
    entropy: false,
    stack: true,
    env: { MY_SECRET: 'correct horse' },
  })
  const values = RULE_SAMPLES.flatMap(({ hit }) => [
    `correct horse ${hit}`,
    { password: hit, [hit]: hit, list: [hit], json: JSON.stringify({ token: hit }) },
  ])
  for (const mode of CAPTURE_MODES) {
    if (mode === 'raw') continue
    for (const value of values) {
      const capture = capturer.begin(mode)
      const payload = {
        preview: { args: [capture.value(value)] },
        error: capture.error(new Error(String(value))),
      }
      expect(redactJson(JSON.parse(JSON.stringify(payload))).hits, JSON.stringify(payload)).toEqual(
        [],
      )
    }
  }
})

test('names that become alike stay two, and a member called __proto__ stays a member', () => {
  const given = JSON.parse(
    '{"AKIAIOSFODNN7EXAMPLE":1,"AKIAIOSFODNN7EXAMPLF":2,"__proto__":{"pin":3}}',
  )
  const { value } = redactJson(given)
  expect(JSON.stringify(value)).toBe(
    '{"[redacted:aws-id]":1,"[redacted:aws-id]#2":2,"__proto__":{"pin":"[redacted:key]"}}',
  )
})

test('what is nested too deeply is not shown', () => {
  let deep: unknown = 'AKIAIOSFODNN7EXAMPLE'
  for (let depth = 0; depth < 5000; depth += 1) deep = [deep]
  expect(JSON.stringify(redactJson(deep).value)).not.toContain('AKIA')
})

test('a redactor of one’s own knows exact texts and what looks random', () => {
  const redactor = createRedactor({ exact: ['correct horse'], entropy: true })
  expect(redactor.text('a correct horse').text).toBe('a [redacted:env-exact]')
  expect(redactor.text('kJ8vQ2xZ7nR4tY1wB6mC9pL3sD5fG0hA').hits).toEqual(['entropy'])
  expect(redactJson('a correct horse').hits).toEqual([])
})

const PAYLOAD = {
  fn: 'ask',
  model: 'claude-sonnet-4-6',
  usage: { input: 5 },
  preview: {
    args: [`${'x'.repeat(200)}…[+1332]`, 5, null, true],
    kwargs: { name: 'Ann', password: 'hunter2' },
    result: { items: [1, 2] },
    yields: ['a', 'b'],
  },
  locals: { done: 3 },
  prompt: 'may I?',
  error: { type: 'TypeError', message: 'canary', code: '5' },
}

test('telemetry §16.14: a payload is lowered to descriptors', () => {
  expect(lowerPayload(PAYLOAD, 'redacted', 'none', KEY)).toEqual({
    fn: 'ask',
    model: 'claude-sonnet-4-6',
    usage: { input: 5 },
    preview: {
      args: ['<string len=1532>', '<number>', '<null>', '<boolean>', '<object keys=2>'],
      kwargs: {},
      result: '<object keys=1>',
      yields: ['<string len=1>', '<string len=1>'],
    },
    locals: '<object keys=1>',
    prompt: '<string len=6>',
    error: { type: 'TypeError', message: '<string len=6>', code: '5' },
  })
})

test('telemetry §16.14: a payload is lowered to summaries', () => {
  const { preview, prompt, error } = lowerPayload(PAYLOAD, 'raw', 'summary', KEY) as typeof PAYLOAD
  expect(preview.kwargs).toEqual({ type: 'object', keys: ['name', 'password'], sizes: { name: 3 } })
  expect(preview.args).toMatchObject([
    { type: 'string', len: 1532 },
    { type: 'number', int: true, magnitude: 0 },
    null,
    true,
  ])
  expect(prompt).toEqual({ type: 'string', len: 6, lines: 1, charset: 'ascii' })
  expect(error.message).toBe('<string len=6>')
})

test('telemetry §16.14: a payload is lowered to hashes of one key', () => {
  const lowered = lowerPayload(PAYLOAD, 'redacted', 'hash', KEY) as typeof PAYLOAD
  expect(lowered.preview.args[0]).toMatch(/^h:[0-9a-f]{32}:len=1532$/)
  expect(lowered.preview.args[1]).toMatch(/^h:[0-9a-f]{32}$/)
  expect(lowered.preview.kwargs).toEqual({})
  expect(lowered.preview.args[4]).toMatch(/^h:[0-9a-f]{32}:keys=2$/)
  expect(lowered.error.message).toMatch(/^h:[0-9a-f]{32}:len=6$/)
  expect(JSON.stringify(lowered)).not.toMatch(/canary|hunter2|Ann/)
  expect(lowerPayload(PAYLOAD, 'redacted', 'hash', KEY)).toEqual(lowered)
  const other = lowerPayload(PAYLOAD, 'redacted', 'hash', hashKey()) as typeof PAYLOAD
  expect(other.prompt).not.toBe(lowered.prompt)
})

test('telemetry §16.14: raw is lowered to redacted, metadata is not touched', () => {
  const lowered = lowerPayload(
    { ...PAYLOAD, secretive: 'AKIAIOSFODNN7EXAMPLE' },
    'raw',
    'redacted',
    KEY,
  )
  expect(lowered).toEqual({
    ...PAYLOAD,
    preview: { ...PAYLOAD.preview, kwargs: { name: 'Ann', password: '[redacted:key]' } },
    secretive: 'AKIAIOSFODNN7EXAMPLE',
  })
})

test('what tells less already is lowered further as far as it goes', () => {
  const summary = {
    prompt: { type: 'string', len: 7, lines: 1, charset: 'ascii' },
    task: { type: 'object', keys: ['a'], sizes: {} },
  }
  expect(lowerPayload(summary, 'summary', 'none', KEY)).toEqual({
    prompt: '<string len=7>',
    task: '<object keys=1>',
  })
  const hash = lowerPayload({ prompt: 'abc' }, 'redacted', 'hash', KEY)
  expect(lowerPayload(hash, 'hash', 'none', KEY)).toEqual({ prompt: '<value len=3>' })
  expect(lowerPayload(PAYLOAD, 'none', 'redacted', KEY)).toBe(PAYLOAD)
  expect(lowerPayload(PAYLOAD, 'hash', 'hash', KEY)).toBe(PAYLOAD)
})

test('whatever a producer put in the place of captured values is lowered as well', () => {
  for (const preview of [
    'canary',
    5,
    null,
    ['canary'],
    { args: 'canary', other: { a: 'canary' } },
  ]) {
    const text = JSON.stringify(lowerPayload({ preview, error: 'x' }, 'redacted', 'none', KEY))
    expect(text).not.toContain('canary')
  }
})

test('every rule has a name of its own', () => {
  expect(new Set(RULE_NAMES).size).toBe(RULE_NAMES.length)
  expect(RULE_NAMES).toContain('env-exact')
})
