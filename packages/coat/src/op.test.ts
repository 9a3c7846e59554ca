import { expect, test } from 'vitest'
import { CORE_KINDS } from './aot.ts'
import { Op, operationOf } from './op.ts'

const KINDS = {
  session: ['agent.session.start', 'agent.session.end'],
  'run agent': ['agent.run.start', 'agent.run.end'],
  'step chain task workflow plan': ['agent.step.start', 'agent.step.end'],
  'llm chat completion embedding': ['agent.llm.request', 'agent.llm.response'],
  'tool function': ['agent.tool.call', 'agent.tool.result'],
  'memory memory.read retriever retrieval': ['agent.memory.read', 'agent.memory.read'],
  'memory.write': ['agent.memory.write', 'agent.memory.write'],
  'memory.delete': ['agent.memory.delete', 'agent.memory.delete'],
  subagent: ['agent.subagent.start', 'agent.subagent.end'],
  human: ['agent.human.request', 'agent.human.request'],
}

test.each(Object.entries(KINDS))('%s', (tags, [startKind, endKind]) => {
  for (const tag of tags.split(' ')) {
    const operation = { tag, startKind, endKind, phased: startKind === endKind, invalid: false }
    expect(operationOf(tag)).toMatchObject(operation)
    expect(operationOf(tag.toUpperCase())).toMatchObject(operation)
  }
})

test('the tags by name make all sixteen core kinds', () => {
  const made = Object.values(Op).flatMap((tag) => [
    operationOf(tag).startKind,
    operationOf(tag).endKind,
  ])
  expect(new Set(made)).toEqual(new Set(CORE_KINDS))
})

test('another word is a step of its own name, what is no word a step that says so', () => {
  expect(operationOf('Vector.Search-2')).toMatchObject({
    family: 'step',
    tag: 'vector.search-2',
    invalid: false,
  })
  expect(operationOf('x'.repeat(64)).invalid).toBe(false)
  for (const [given, tag] of [
    ['x'.repeat(65), 'x'.repeat(64)],
    ['two words', 'two words'],
    ['9lives', '9lives'],
    ['', ''],
    [undefined, ''],
    [{}, ''],
  ])
    expect(operationOf(given)).toMatchObject({ family: 'step', tag, invalid: true })
})

test('tags without end cost no memory without end', () => {
  for (let n = 0; n < 5000; n += 1) expect(operationOf(`made.up.${n}`).tag).toBe(`made.up.${n}`)
  expect(operationOf('made.up.1')).toBe(operationOf('made.up.1'))
  expect(operationOf('made.up.4999')).not.toBe(operationOf('made.up.4999'))
})
