/** Lets HTTP inputs and endpoints have an agent run: the agent starts itself, and the record says what made it. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newTxn } from '@vestry/contract/ids'
import { newCaller } from '../../identity/caller.ts'
import type { AgentInvoker, ExecutionEnd } from '../http-input/agent-invoker.ts'
import type { Agents } from './agents.ts'
import type { Executions } from './executions.ts'

export function agentInvoker(
  agents: Pick<Agents, 'named'>,
  executions: Pick<Executions, 'start' | 'ended'>,
): AgentInvoker {
  return {
    exists: async (name) => {
      try {
        await agents.named(name)
        return true
      } catch (error) {
        if (asVestryError(error).code === 'AGENT_NOT_FOUND') return false
        throw error
      }
    },
    start: async ({ agentName, input, trigger, requestId, traceparent, ...more }) => {
      const { remoteAddress, program, executionId, askedBy } = more
      const agent = await agents.named(agentName)
      const peer = {
        transport: 'http' as const,
        ...(remoteAddress !== undefined && { address: remoteAddress }),
      }
      const principal = { kind: 'agent' as const, agent }
      const caller = newCaller({ principal, peer, txn: newTxn() }, traceparent)
      const { id } = await executions.start({
        agent,
        input: JSON.stringify(input),
        trigger,
        caller,
        requestId,
        ...(program !== undefined && { program }),
        ...(executionId !== undefined && { id: executionId }),
        ...(askedBy !== undefined && { askedBy }),
      })
      return { executionId: id, ended: endOf(executions, id) }
    },
  }
}

const NEVER = new AbortController().signal

/** Never rejects. */
export async function endOf(
  executions: Pick<Executions, 'ended'>,
  id: string,
): Promise<ExecutionEnd> {
  try {
    const { execution, content } = await executions.ended(id, NEVER)
    if (execution.status === 'completed')
      return { status: 'completed', output: outputOf(content?.output ?? '') }
    const { code = 'INTERNAL_ERROR', message = 'Unexpected failure' } = execution.facts.error ?? {}
    return { status: 'failed', error: { code, message } }
  } catch (error) {
    const { code } = asVestryError(error)
    return { status: 'failed', error: { code, message: new VestryError(code).message } }
  }
}

/** An agent that answers with a JSON object means that object. */
function outputOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // It is text.
  }
  return { output: text }
}
