/** A provider in the test's own process: it refuses what the real one refuses, and misbehaves as told. */
import assert from 'node:assert/strict'
import { DirectProviderClient } from '@vestry/sdk/agent'
import { GatewayChatModel } from '@vestry/sdk/llm'
import { FAKE_KEYS, startFakeProviders } from '@vestry/sdk/testing'

export async function askFakeProvider() {
  const { anthropic, close } = await startFakeProviders({ anthropic: [{ text: 'Looks safe.' }] })
  try {
    const env = { ANTHROPIC_BASE_URL: anthropic.url, ANTHROPIC_API_KEY: FAKE_KEYS.anthropic }
    const client = new DirectProviderClient({ allowDirect: true, env })
    const model = new GatewayChatModel({ client, model: 'anthropic:claude-sonnet-4-5' })
    const answer = await model.invoke('Is it safe?')
    assert.equal(anthropic.requests[0]?.path, '/v1/messages')
    return answer.content
  } finally {
    await close()
  }
}
