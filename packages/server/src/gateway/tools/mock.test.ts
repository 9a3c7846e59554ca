import { expect, test } from 'vitest'
import { configuredTools } from './config-tools.ts'
import { CONTEXT } from './test-context.ts'
import type { JsonObject } from './tool.ts'

const SAMPLES: Record<string, JsonObject> = {
  'gmail_send:send': { to: ['a@example.org', 'b@example.org'], subject: 'Hi', body: 'Hello' },
  'gmail_send:profile': {},
  'http_fetch:get': { url: 'https://example.com' },
  'http_fetch:head': { url: 'https://example.com' },
  'openai:chat': { messages: [{ role: 'user', content: 'Hi' }] },
  'openai:complete': { prompt: 'Once' },
  'serpapi:search': { q: 'a' },
}
const actions = configuredTools()
  .list()
  .flatMap((tool) =>
    [...tool.actions.values()].map((action) => [`${tool.name}:${action.name}`, action] as const),
  )

test.each(actions)(
  'the mock of %s depends on its params alone, and changes nothing',
  (name, action) => {
    const params = frozen(action.normalise(SAMPLES[name] ?? {})) as JsonObject
    const first = action.mock(params, CONTEXT)
    const later = {
      ...CONTEXT,
      nowMs: CONTEXT.nowMs + 1,
      random: 'f'.repeat(32),
      correlationId: 'other',
    }
    expect(action.mock(params, CONTEXT)).toEqual(first)
    expect(timeless(action.mock(params, later))).toEqual(timeless(first))
  },
)

test.each(actions)('what %s made of params it takes again as it is', (name, action) => {
  const params = action.normalise(SAMPLES[name] ?? {})
  expect(action.normalise(params)).toEqual(params)
})

/** Without ids and times. */
function timeless(value: unknown): unknown {
  const {
    ts: _ts,
    timestamp: _time,
    id: _id,
    message_id: _m,
    messageId: _mm,
    threadId: _t,
    ...rest
  } = value as JsonObject
  return rest
}

function frozen(value: unknown): unknown {
  if (typeof value === 'object' && value !== null)
    for (const member of Object.values(Object.freeze(value))) frozen(member)
  return value
}
