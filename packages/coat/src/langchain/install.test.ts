import { RunnableLambda } from '@langchain/core/runnables'
import { expect, test } from 'vitest'
import { tree } from '../adapters/tree.test-kit.ts'
import { record } from '../recorder.test-kit.ts'
import { CoatCallbackHandler, installCoat } from './index.ts'
import { ScriptedModel, said } from './scripted-model.test-kit.ts'

test('telemetry §16.44: one line tells every LangChain run, and a handler of its own is not told twice', async () => {
  const recorder = record()
  await new ScriptedModel([said('before', [1, 1])]).invoke('q')
  expect(tree(recorder)).toEqual([])

  installCoat()
  installCoat()
  const chain = RunnableLambda.from(() => new ScriptedModel([said('x', [3, 2])]))
  await chain.invoke('q')
  await new ScriptedModel([said('y', [1, 1])]).invoke('q', {
    callbacks: [new CoatCallbackHandler()],
  })
  expect(tree(recorder)).toEqual([
    'run RunnableLambda ok',
    '  llm ScriptedModel ok in 3 out 2',
    'llm ScriptedModel ok in 1 out 1',
  ])
})
