/** A whole run, tokens and sockets included, against a gateway and a sidecar in this process. */
import assert from 'node:assert/strict'
import { type AgentClass, AgentRunner } from '@vestry/sdk/agent'
import { type GatewayReply, startFakeStack } from '@vestry/sdk/testing'

export async function runAgainstFakes(
  Agent: AgentClass,
  repository: string,
  replies: GatewayReply[],
) {
  const stack = await startFakeStack({ replies })
  try {
    const env = { ...stack.environment, REPO_PATH: repository }
    const runner = new AgentRunner(Agent, { env, logging: { level: 'error' } })
    const code = await runner.run()
    for (const { headers } of stack.gateway.requests) assert.ok(headers['txn-token'])
    return { code, requests: stack.gateway.requests.length }
  } finally {
    await stack.close()
  }
}
