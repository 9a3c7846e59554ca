/**
 * The demo's third agent, beside the scanner: it asks models, one of which its run does not list, and reports each
 * attempt as one JSON line. All it was given are the sockets and files of its run.
 */
import { AgentContext, SageSanctumError } from '@vestry/sdk/agent'
import { createLlmForGateway } from '@vestry/sdk/llm'

async function attempt(what: string, ask: () => Promise<unknown>): Promise<void> {
  const outcome = await ask().then(
    (result) => ({ what, result }),
    (error: unknown) => {
      if (!(error instanceof SageSanctumError)) throw error
      return { what, code: error.code, class: error.name, exitCode: error.exitCode }
    },
  )
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
}

await attempt('a listed model', async () => {
  const context = await AgentContext.fromEnvironment()
  return (await context.createLlmClient('analysis').invoke('Is eval(input()) safe?')).content
})
await attempt('another model', async () => {
  const { gatewayClient } = await AgentContext.fromEnvironment()
  if (gatewayClient === undefined) throw new Error('this agent needs a gateway')
  return (await createLlmForGateway(gatewayClient, 'openai:o3').invoke('Hello')).content
})
