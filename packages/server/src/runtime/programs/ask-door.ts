/** One agent asks another: what the first has read the second is told of, and the other way round with the answer. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Taint } from '../../call/taint.ts'
import type { Json } from '../../dsl/definition.ts'
import type { Agents } from '../agents/agents.ts'
import type { Executions } from '../agents/executions.ts'
import type { AskDoor } from './program-doors.ts'
import { inputOf } from './run-program.ts'

export interface AskDoorDeps {
  readonly agents: Pick<Agents, 'named'>
  readonly executions: Pick<Executions, 'start' | 'ended'>
  readonly taint: Pick<Taint, 'inherit'>
}

export function askDoor({ agents, executions, taint }: AskDoorDeps): AskDoor {
  return {
    start: async ({ agent, input, caller, requestId, executionId }) => {
      const { id } = await executions.start({
        agent: await agents.named(agent),
        input: typeof input === 'string' ? input : JSON.stringify(input),
        trigger: `agent:${executionId}`,
        caller,
        requestId,
      })
      return id
    },
    ended: async (id, txn, signal): Promise<Json> => {
      const { execution, content } = await executions.ended(id, signal)
      // Also how it failed may tell what it has read.
      await taint.inherit(id, txn)
      if (execution.status === 'completed') return inputOf(content?.output ?? '')
      const { code, message } = execution.facts.error ?? asVestryError(undefined)
      throw new VestryError(code, `The agent that was asked failed: ${message}`)
    },
  }
}
