import { CORE_KINDS, EXTENSION_KINDS } from '@vestry/coat/aot'
import { expect, test } from 'vitest'
import { kindOf } from './kinds.ts'

test.each([...CORE_KINDS, ...EXTENSION_KINDS])('%s is known, and stays as it is', (kind) => {
  expect(kindOf(kind)).toEqual({ kind, original: undefined, known: true, operation: undefined })
})

test.each([
  ['agent.run.started', 'agent.run.start'],
  ['agent.session.ended', 'agent.session.end'],
  ['agent.step.stop', 'agent.step.end'],
  ['agent.step.finish', 'agent.step.end'],
  ['agent.tool.request', 'agent.tool.call'],
  ['agent.tool.response', 'agent.tool.result'],
  ['agent.subagent.spawn', 'agent.subagent.start'],
  ['agent.subagent.return', 'agent.subagent.end'],
  ['agent.memory.search', 'agent.memory.read'],
  ['agent.memory.retrieve', 'agent.memory.read'],
])('%s is stored as %s', (original, kind) => {
  expect(kindOf(original)).toEqual({ kind, original, known: true, operation: undefined })
})

test.each(['create', 'update', 'upsert'])('a %s of memory is a write that says so', (operation) => {
  const original = `agent.memory.${operation}`
  const kind = 'agent.memory.write'
  expect(kindOf(original)).toEqual({ kind, original, known: true, operation })
})

test('a kind that nobody knows keeps its own words', () => {
  for (const kind of ['agent.dream.started', 'x.mine.thing', 'x.mine.thing.more'])
    expect(kindOf(kind)).toEqual({ kind, original: undefined, known: false, operation: undefined })
})

test.each([
  '',
  'agent',
  'agent.llm',
  'agent.llm.a.b.c',
  'Agent.llm.request',
  'other.llm.request',
  'agent.llm.réponse',
  'agent.llm.request\n',
  `agent.llm.${'a'.repeat(200)}`,
  7,
  undefined,
])('%j is no kind', (text) => {
  expect(kindOf(text)).toBeUndefined()
})
