import { AIMessage, HumanMessage } from '@langchain/core/messages'
import {
  Command,
  END,
  interrupt,
  MemorySaver,
  MessagesAnnotation,
  START,
  StateGraph,
} from '@langchain/langgraph'
import { expect, test } from 'vitest'
import { spanOf, tree } from '../adapters/tree.test-kit.ts'
import { record } from '../recorder.test-kit.ts'
import { answerFor, outcomeOf } from './graph.ts'
import { CoatCallbackHandler } from './index.ts'

function asking() {
  return new StateGraph(MessagesAnnotation)
    .addNode('prepare', () => ({ messages: [new AIMessage('prepared')] }))
    .addNode('ask', () => {
      const answer: unknown = interrupt({ question: 'secret-value?' })
      return { messages: [new AIMessage(`they said ${String(answer)}`)] }
    })
    .addEdge(START, 'prepare')
    .addEdge('prepare', 'ask')
    .addEdge('ask', END)
}

const input = { messages: [new HumanMessage('go')] }

test('telemetry §16.44: an interrupt of a graph asks a person, and the resumed run answers', async () => {
  const recorder = record()
  const graph = asking().compile({ checkpointer: new MemorySaver() })
  const config = {
    callbacks: [new CoatCallbackHandler()],
    configurable: { thread_id: 'thread-1' },
  }

  await graph.invoke(input, config)
  expect(tree(recorder)).toEqual([
    'run LangGraph ok',
    '  step prepare ok',
    '  step ask ok',
    '    human interrupt open',
  ])
  const [first] = recorder.spans()
  expect(first?.start.payload).toMatchObject({ conversation_id: 'thread-1' })
  expect(first?.end?.payload).toMatchObject({ interrupted: true })

  const result = await graph.invoke(new Command({ resume: 'secret-value' }), config)
  expect(result.messages.at(-1)?.content).toBe('they said secret-value')
  expect(tree(recorder)).toEqual([
    'run LangGraph ok',
    '  step prepare ok',
    '  step ask ok',
    '    human interrupt ok answered',
    'run LangGraph ok',
    '  step ask ok',
  ])
  const human = spanOf(recorder, 'agent.human.request')
  expect(human.start.payload).toMatchObject({ phase: 'begin', request: 'input' })
  expect(human.end.payload).toMatchObject({ phase: 'end', waited_ms: expect.any(Number) })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a question in a subgraph is asked once, and another thread does not answer it', async () => {
  const recorder = record()
  const inner = asking().compile()
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('inner', inner)
    .addEdge(START, 'inner')
    .addEdge('inner', END)
    .compile({ checkpointer: new MemorySaver() })
  const callbacks = [new CoatCallbackHandler()]
  const config = { callbacks, configurable: { thread_id: 'thread-2' } }

  await graph.invoke(input, config)
  await asking()
    .compile({ checkpointer: new MemorySaver() })
    .invoke(input, { callbacks, configurable: { thread_id: 'thread-3' } })
  await graph.invoke(new Command({ resume: true }), config)

  const asked = recorder.spans().filter(({ start }) => start.kind === 'agent.human.request')
  expect(asked.map(({ end }) => end?.payload['outcome'])).toEqual(['approved', undefined])
  const lines = tree(recorder)
  expect(lines.slice(0, 6)).toEqual([
    'run LangGraph ok',
    '  step inner ok',
    '    step LangGraph ok',
    '      step prepare ok',
    '      step ask ok',
    '        human interrupt ok approved',
  ])
  const [ask] = recorder.spans().filter(({ start }) => start.payload['fn'] === 'ask')
  expect(ask?.start.payload['graph']).toMatchObject({ node: 'ask', parent: 'inner' })
})

test('answers: yes and no, decisions of a review, and answers by the id of their question', () => {
  expect(outcomeOf(true)).toBe('approved')
  expect(outcomeOf(false)).toBe('denied')
  expect(outcomeOf({ decisions: [{ type: 'approve' }, { type: 'edit' }] })).toBe('approved')
  expect(outcomeOf({ decisions: [{ type: 'reject' }] })).toBe('denied')
  expect(outcomeOf({ decisions: [{ type: 'approve' }, { type: 'reject' }] })).toBe('answered')
  expect(outcomeOf('later')).toBe('answered')
  const [one, other] = ['0'.repeat(32), '1'.repeat(32)]
  expect(answerFor({ [one]: 'a' }, one)).toEqual({ value: 'a' })
  expect(answerFor({ [one]: 'a' }, other)).toBeUndefined()
  expect(answerFor({ name: 'a' }, one)).toEqual({ value: { name: 'a' } })
})
