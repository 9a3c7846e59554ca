import fc from 'fast-check'
import { expect, test } from 'vitest'
import { anthropic, google, openai, type Provider } from './index.ts'
import {
  asking,
  assembled,
  type Chunk,
  namedSse,
  scopeOf,
  sse,
  translated,
} from './providers.test-kit.ts'

const SAID = 'Zwei Befunde: „ü“ 🦜\n'
const ARGUMENTS = '{"path":"src/ä.ts"}'

const head = { id: 'c', object: 'chat.completion.chunk', created: 5, model: 'gpt-4o' }
const chunk = (delta: unknown, finish_reason: string | null = null) => ({
  ...head,
  choices: [{ index: 0, delta, finish_reason }],
})
const call = { index: 0, id: 'c1', type: 'function', function: { name: 'read', arguments: '' } }
const OPENAI = sse(
  chunk({ role: 'assistant', content: '' }),
  ...[...SAID].map((content) => chunk({ content })),
  chunk({ tool_calls: [call] }),
  chunk({ tool_calls: [{ index: 0, function: { arguments: ARGUMENTS } }] }),
  chunk({}, 'tool_calls'),
  { ...head, choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } },
  '[DONE]',
).replaceAll('\n\n', '\r\n\r\n: ping\r\n\r\n')

const ANTHROPIC = namedSse(
  { type: 'message_start', message: { id: 'm', usage: { input_tokens: 1, output_tokens: 0 } } },
  { type: 'ping' },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  ...[...SAID].map((text) => ({
    type: 'content_block_delta',
    index: 0,
    delta: { type: 'text_delta', text },
  })),
  { type: 'content_block_stop', index: 0 },
  {
    type: 'content_block_start',
    index: 1,
    content_block: { type: 'tool_use', id: 'c1', name: 'read', input: {} },
  },
  ...[ARGUMENTS.slice(0, 12), ARGUMENTS.slice(12)].map((partial_json) => ({
    type: 'content_block_delta',
    index: 1,
    delta: { type: 'input_json_delta', partial_json },
  })),
  { type: 'content_block_stop', index: 1 },
  { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 2 } },
  { type: 'message_stop' },
)

const part = (parts: unknown[], rest = {}) => ({
  candidates: [{ content: { role: 'model', parts }, ...rest }],
})
const GOOGLE = sse(
  ...[...SAID].map((text) => part([{ text }])),
  part([{ functionCall: { name: 'read', args: JSON.parse(ARGUMENTS) as unknown } }]),
  {
    ...part([], { finishReason: 'STOP' }),
    usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 2, totalTokenCount: 3 },
  },
).replaceAll('\n\n', '\r\n\r\n')

const recorded: [string, Provider, string][] = [
  ['openai', openai, OPENAI],
  ['anthropic', anthropic, ANTHROPIC],
  ['google', google, GOOGLE],
]

function heard(provider: Provider, parts: readonly Uint8Array[]): string[] {
  return translated(provider.chatStream(asking({ stream: true }), scopeOf()), parts)
}

test.each(recorded)(
  '%s: a stream says what was said, calls and counts included',
  (_id, provider, wire) => {
    const texts = heard(provider, [new TextEncoder().encode(wire)])
    const { text, calls, finish, usage } = assembled(
      texts.map((given) => JSON.parse(given) as Chunk),
    )
    expect(text).toBe(SAID)
    expect(calls).toMatchObject([{ name: 'read', arguments: ARGUMENTS }])
    expect(finish).toBe('tool_calls')
    expect(usage).toMatchObject({ prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 })
  },
)

test.each(recorded)(
  'sage §21.23: %s: cut at every byte, the stream comes out the same',
  (_id, provider, wire) => {
    const bytes = new TextEncoder().encode(wire)
    const whole = heard(provider, [bytes])
    for (let cut = 1; cut < bytes.length; cut += 1) {
      const same = heard(provider, [bytes.subarray(0, cut), bytes.subarray(cut)])
      if (same.join('\n') !== whole.join('\n')) expect(same, `cut at byte ${cut}`).toEqual(whole)
    }
    const single = [...bytes].map((byte) => new Uint8Array([byte]))
    expect(heard(provider, single)).toEqual(whole)
  },
)

test.each(recorded)(
  '%s: ended anywhere before its finish, the stream is truncated',
  (_id, provider, wire) => {
    const bytes = new TextEncoder().encode(wire)
    const finish = wire.search(/"finish_reason":"|message_stop|"finishReason"/)
    const until = new TextEncoder().encode(wire.slice(0, finish)).length
    fc.assert(
      fc.property(fc.integer({ min: 0, max: until }), (end) => {
        expect(() => heard(provider, [bytes.subarray(0, end)])).toThrow(
          expect.objectContaining({ truncated: true }),
        )
      }),
      { numRuns: 50 },
    )
  },
)

test.each(recorded)('%s: whatever arrives, only faults are thrown', (_id, provider, wire) => {
  const events = wire.split(/(?<=\n\n)|(?<=\r\n\r\n)/)
  const junk = fc.oneof(
    fc.constantFrom(...events),
    fc.json().map((text) => `data: ${text}\n\n`),
    fc.string().map((text) => `data: ${text}\n\n`),
    fc
      .tuple(
        fc.constantFrom(...events),
        fc.nat(),
        fc.constantFrom('null', '[]', '{}', '"x"', '7', '1e9'),
      )
      .map(([event, at, value]) => mutated(event, at, value)),
  )
  fc.assert(
    fc.property(fc.array(junk, { maxLength: 12 }), (parts) => {
      try {
        for (const text of heard(provider, [new TextEncoder().encode(parts.join(''))]))
          JSON.parse(text)
      } catch (error) {
        expect(error).toMatchObject({ name: 'ProviderFault' })
      }
    }),
    { numRuns: 300 },
  )
})

test.each(recorded)('%s: of whatever answer, only faults are thrown', (_id, provider) => {
  const names = ['choices', 'message', 'content', 'tool_calls', 'function', 'type', 'text', 'input']
  const more = [
    'candidates',
    'parts',
    'functionCall',
    'args',
    'finishReason',
    'stop_reason',
    'usage',
  ]
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: 'medium' },
      fc.constantFrom(null, 'STOP', 'tool_use', 'end_turn', 'stop', '', 7, true),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names, ...more), tie('any'), { maxKeys: 4 }),
    ),
  })).any
  const forced = asking({
    response_format: { type: 'json_schema', json_schema: { name: 'A', schema: { type: 'array' } } },
  })
  fc.assert(
    fc.property(value, fc.constantFrom(asking(), forced), (body, request) => {
      try {
        const { choices } = provider.readChat(body, request, scopeOf())
        expect(typeof choices[0]?.message.content).toBe('string')
      } catch (error) {
        expect(error).toMatchObject({ name: 'ProviderFault' })
      }
    }),
    { numRuns: 500 },
  )
})

/** One value of the event replaced by another. */
function mutated(event: string, at: number, value: string): string {
  const colons = [...event.matchAll(/":/g)].map(({ index }) => index + 2)
  const start = colons[at % Math.max(colons.length, 1)]
  if (start === undefined) return event
  const end = event.slice(start).search(/[,}]/)
  return `${event.slice(0, start)}${value}${event.slice(start + end)}`
}
