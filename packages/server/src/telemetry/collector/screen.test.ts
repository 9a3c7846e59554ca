import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCapturer } from '../../../../coat/src/capture/create-capturer.ts'
import type { Received } from './envelope.ts'
import { Screen } from './screen.ts'

const KEY = `sk-ant-${'a1B2'.repeat(8)}`
const HASH_KEY = Buffer.alloc(32, 7)

function received(mode: Received['capture']['mode'], payload: Received['payload']): Received {
  return {
    spec: 'aotp/0.1',
    kind: { kind: 'x.coat.tie', original: undefined, known: true, operation: undefined },
    ts: '2026-05-02T09:14:07.481Z',
    ids: { session_id: '', run_id: '', step_id: '', trace_id: '', span_id: '', parent_span_id: '' },
    framework: 'mine',
    frameworkVersion: '1',
    capture: { mode },
    payload,
    producer: undefined,
    stated: { agentId: undefined, agentRole: undefined, envpod: undefined },
  }
}

const leaking = { fn: 'ask', model: 'm', preview: { args: [`key ${KEY}`], kwargs: {} } }

test.each(['none', 'hash', 'summary', 'redacted'] as const)(
  'telemetry §16.14: a secret in an envelope of mode %s is replaced and counted',
  (mode) => {
    const { payload, leaks, capture } = new Screen('raw').look(received(mode, leaking))
    expect(JSON.stringify(payload)).not.toContain(KEY)
    expect(leaks).toEqual(['anthropic'])
    expect(capture).toEqual({ mode })
    expect(payload).toMatchObject({ fn: 'ask', model: 'm' })
  },
)

test('raw stays raw where it is allowed', () => {
  const { payload, leaks } = new Screen('raw').look(received('raw', leaking))
  expect(payload).toBe(leaking)
  expect(leaks).toEqual([])
})

test('a ceiling lowers what tells more, says so, and calls it no leak', () => {
  const screen = new Screen('redacted', HASH_KEY)
  const { payload, leaks, capture } = screen.look(received('raw', leaking))
  expect(JSON.stringify(payload)).not.toContain(KEY)
  expect(capture).toEqual({ mode: 'redacted', requested: 'raw' })
  expect(leaks).toEqual([])
  const none = new Screen('none', HASH_KEY).look(received('redacted', { data: { city: 'Bern' } }))
  expect(none.capture).toEqual({ mode: 'none', requested: 'redacted' })
  expect(JSON.stringify(none.payload)).not.toContain('Bern')
})

test('a ceiling of hashes names the key they were made with', () => {
  const screen = new Screen('hash', HASH_KEY)
  const { payload, capture } = screen.look(received('raw', { data: 'Bern' }))
  expect(capture).toEqual({
    mode: 'hash',
    requested: 'raw',
    hash: { alg: 'hmac-sha256-128', key_id: expect.stringMatching(/^[0-9a-f]{8}$/) },
  })
  expect(JSON.stringify(payload)).not.toContain('Bern')
})

test('a mode below the ceiling stays what it is', () => {
  const { capture } = new Screen('redacted').look(received('none', leaking))
  expect(capture).toEqual({ mode: 'none' })
})

test('a secret in the name of a framework does not get through either', () => {
  const { framework, frameworkVersion } = new Screen('raw').look({
    ...received('none', {}),
    framework: `mine ${KEY}`,
  })
  expect(framework).not.toContain(KEY)
  expect(frameworkVersion).toBe('1')
})

test('what a producer redacted is not counted', () => {
  const { payload, leaks } = new Screen('raw').look(
    received('redacted', {
      usage: { input: 12, max_tokens: 7 },
      preview: { args: ['[redacted:anthropic]', { password: '[redacted:key]' }], kwargs: {} },
    }),
  )
  expect(leaks).toEqual([])
  expect(payload).toMatchObject({ usage: { input: 12, max_tokens: 7 } })
})

test('whatever an SDK that works captured, in any mode, is left as it is and counts as no leak', () => {
  const { begin } = createCapturer({
    previewLen: 60,
    redactKeys: [],
    patterns: [],
    entropy: false,
    stack: false,
    env: {},
  })
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom(KEY, `Bearer ${KEY}`, `https://u:p@host/?token=${KEY}&a=1`, 'a'.repeat(500)),
  )
  const key = fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.constantFrom('apiKey', 'password', 'usage', 'max_tokens', 'user', 'cookie', 'sizes'),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      text,
      // Others become texts, which under a name such as max_tokens are secrets.
      fc.double({ min: -1e15, max: 1e15, noNaN: true }),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(key, tie('value'), { maxKeys: 4 }),
    ),
  }))
  const screen = new Screen('redacted')
  const mode = fc.constantFrom(
    'none' as const,
    'hash' as const,
    'summary' as const,
    'redacted' as const,
  )
  fc.assert(
    fc.property(value, mode, (captured, asked) => {
      const event = begin(asked)
      const payload = JSON.parse(
        JSON.stringify({
          fn: 'ask',
          preview: { args: [event.value(captured)], kwargs: {} },
          data: event.value(captured),
          error: event.error(new Error(`refused ${KEY}`)),
        }),
      )
      const seen = screen.look(received(asked, payload))
      expect(seen.payload).toEqual(payload)
      expect(seen.leaks).toEqual([])
    }),
    { numRuns: 2_000 },
  )
})
