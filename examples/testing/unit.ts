/** An agent's logic by itself: its models answer from a script, its directories are thrown away. */
import assert from 'node:assert/strict'
import { RateLimitError } from '@vestry/sdk/agent'
import { mockContext } from '@vestry/sdk/testing'

export async function scriptedAnswers() {
  const context = await mockContext({
    replies: [
      'First answer',
      { toolCalls: [{ name: 'read_file', args: { path: 'a.py' } }] },
      new RateLimitError('busy', { retryAfterSeconds: 7 }),
    ],
  })
  try {
    const model = context.createLlmClient('analysis')
    const first = await model.invoke('Is it safe?')
    assert.equal(first.content, 'First answer')

    const second = await model.invoke('Look closer.')
    assert.deepEqual(second.toolCalls[0]?.args, { path: 'a.py' })

    await assert.rejects(model.invoke('And now?'), { name: 'RateLimitError' })

    const [call] = context.llm.calls
    assert.equal(call?.category, 'analysis')
    return context.llm.calls.length
  } finally {
    await context.close()
  }
}
