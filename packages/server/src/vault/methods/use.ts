/** `use`: does something with a credential that the agent does not get to see (wire contract §6.7). */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import type { Credential } from '../credential.ts'
import type { Operation, Prepared } from '../operations/operation.ts'
import { optionalObject, type Params, requiredString } from '../operations/params.ts'
import { findOperation } from '../operations/table.ts'
import { callerRecord } from '../record.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import {
  assertExists,
  printableNames,
  protectedCall,
  readPath,
  unknownParams,
  useOf,
} from './context.ts'
import { planLease } from './granting.ts'

const KNOWN = ['path', 'operation', 'params']

export async function use(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const { path, found } = await readPath(call)
  const { name, operation } = findOperation(requiredString(params, 'operation'))
  const given = optionalObject(params, 'params') ?? {}
  const base = protectedCall(call, path, found)
  const { caller } = base
  const prepared = await prepare(call, path, found, { name, operation, given })

  return perform<Reply>(vault.stations, {
    ...base,
    context: { ...base.context, ...prepared.context },
    unseen: () => {
      const unseen = base.unseen()
      const blind = operation.prepare(given, undefined)
      return { ...unseen, context: { ...unseen.context, ...blind.context } }
    },
    action: `vault:use:${name}`,
    event: 'credential.use',
    use: useOf(call, path),
    data: {
      ...unknownParams(call, KNOWN),
      ...unknownOperationParams(given, operation.params),
      ...prepared.data,
    },
    approvalParams: prepared.approvalParams,
    exists: () => assertExists(path, found),
    settle: (decision) => {
      assertExists(path, found)
      prepared.check?.(found)
      const open = (version?: number) => vault.credentials.open(path, version)
      const execution = { call, caller, path, decision, open }
      if (prepared.reveals !== true) {
        return {
          ...holding(prepared.hold?.(call)),
          effect: (note) => prepared.run({ ...execution, note }),
        }
      }
      const lease = planLease(call, decision, {
        kind: 'header',
        path,
        context: prepared.context,
      })
      return {
        data: lease.data,
        held: lease,
        effect: (note) => prepared.run({ ...execution, note, lease }),
        undo: (made) => {
          made.release?.()
          lease.withdraw()
        },
      }
    },
  })
}

function holding(held: Disposable | undefined): { held?: Disposable } {
  return held === undefined ? {} : { held }
}

/** Forbidden addresses are refused for what they are, before policy is asked; the log hears of them. */
async function prepare(
  call: AgentCall,
  path: string,
  found: Credential | undefined,
  { name, operation, given }: { name: string; operation: Operation; given: Params },
): Promise<Prepared> {
  try {
    return operation.prepare(given, found)
  } catch (error) {
    if (error instanceof VestryError && error.code === 'SSRF_BLOCKED') {
      const { stations, sessions } = call.vault
      await stations.audit.append(
        callerRecord(sessions.caller(call.session), {
          action: 'egress.blocked',
          detail: `use:${name} ${path}`,
          requestId: call.requestId,
          success: false,
          code: error.code,
          data: { path, operation: `use:${name}`, severity: 'high', ...error.context },
        }),
        'written',
      )
    }
    throw error
  }
}

function unknownOperationParams(
  params: Params,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  const unknown = Object.keys(params).filter((name) => !known.includes(name))
  return unknown.length === 0 ? {} : { unknown_operation_params: printableNames(unknown) }
}
