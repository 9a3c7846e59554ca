/** What agents publish: recorded, and put into the boxes of those who are named as subscribers. */
import { asVestryError } from '@vestry/contract/errors'
import type { Caller } from '../../identity/caller.ts'
import type { Agents } from '../agents/agents.ts'
import type { Mailbox } from '../agents/mailbox.ts'
import type { ProgramDoors } from './program-doors.ts'

export interface PublishDoorDeps {
  readonly agents: Pick<Agents, 'named'>
  readonly mailbox: Pick<Mailbox, 'add'>
  /** Of what a transaction has read. */
  readonly labelsOf: (txn: string) => readonly string[]
  readonly record: (caller: Caller, data: Readonly<Record<string, unknown>>) => Promise<void>
}

const TTL_SECONDS = 86_400

export function publishDoor({
  agents,
  mailbox,
  labelsOf,
  record,
}: PublishDoorDeps): ProgramDoors['publish'] {
  return async ({ agent, caller, executionId, topic, value, subscribers }) => {
    const payload = JSON.stringify(value)
    const labels = labelsOf(caller.txn)
    // The record comes first: nobody gets what is not in it.
    await record(caller, {
      execution: executionId,
      topic,
      bytes: Buffer.byteLength(payload),
      subscribers: [...subscribers],
    })
    let delivered = 0
    for (const recipient of subscribers) {
      try {
        const { id } = await agents.named(recipient)
        await mailbox.add(id, {
          sender: agent.name,
          recipient,
          topic,
          payload,
          messageType: 'publish',
          ttlSeconds: TTL_SECONDS,
          labels,
        })
        delivered += 1
      } catch (error) {
        // One that is gone, or never fetches, must not keep the others from it.
        const { code } = asVestryError(error)
        if (code !== 'AGENT_NOT_FOUND' && code !== 'QUEUE_FULL') throw error
      }
    }
    return { delivered }
  }
}
