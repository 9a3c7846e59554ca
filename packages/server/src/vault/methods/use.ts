/** `use`: does something with a credential that the agent does not get to see (vault.md §6.7). */
import { perform } from '../../call/perform.ts'
import type { Opened } from '../operations/operation.ts'
import { optionalObject, requiredString } from '../operations/params.ts'
import { findOperation } from '../operations/table.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { assertExists, protectedCall, readPath, unknownParams } from './context.ts'
import { type Granting, isoTime, issueLease, leaseData, planLease } from './granting.ts'

const KNOWN = ['path', 'operation', 'params']

export async function use(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const { path, found } = await readPath(call)
  const { name, operation } = findOperation(requiredString(params, 'operation', 64))
  const operationParams = optionalObject(params, 'params') ?? {}
  const prepared = operation.prepare(operationParams, found, path)
  const base = protectedCall(call, path, found)
  let granting: Granting | undefined

  return perform(vault.stations, {
    ...base,
    context: { ...base.context, ...prepared.context },
    action: `vault:use:${name}`,
    event: 'credential.use',
    data: {
      ...unknownParams(call, KNOWN),
      ...unknownOperationParams(operationParams, operation.params),
      ...prepared.data,
    },
    approvalParams: prepared.approvalParams,
    exists: () => assertExists(path, found),
    plan: (decision) => {
      assertExists(path, found)
      prepared.check?.(found, decision)
      if (prepared.revealing !== true) return {}
      granting = planLease(call, decision, undefined)
      return leaseData(call, granting)
    },
    effect: async (decision, note) => {
      let last: Opened | undefined
      const open = async (version?: number): Promise<Opened> => {
        last = await vault.credentials.open(path, version)
        return last
      }
      const reply = await prepared.run({ call, path, decision, open, note })
      if (granting === undefined) return reply
      const version = last?.version ?? 0
      const lease = issueLease(call, granting, { kind: 'header', path, version, decision })
      return {
        ...reply,
        result: {
          ...reply.result,
          lease_id: lease.id,
          ttl: granting.ttl,
          expires_at: isoTime(lease.expiresAt),
        },
      }
    },
  })
}

function unknownOperationParams(
  params: Readonly<Record<string, unknown>>,
  known: readonly string[],
): Record<string, unknown> {
  const count = Object.keys(params).filter((name) => !known.includes(name)).length
  return count === 0 ? {} : { unknown_operation_params: count }
}
