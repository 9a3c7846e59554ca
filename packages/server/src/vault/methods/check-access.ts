/**
 * `check_access`: would this be allowed? Asks what a real call would ask and does nothing; rates,
 * approvals and quotas stay as they are (wire contract §6.12).
 */
import { VestryError } from '@vestry/contract/errors'
import { principalOf, toldReason, type Unseen } from '../../call/perform.ts'
import type { Decision } from '../../policy/engine.ts'
import type { Credential } from '../credential.ts'
import { grantTtl } from '../lease.ts'
import { invalid, optionalObject, optionalString, type Params } from '../operations/params.ts'
import { findOperation, operationContext } from '../operations/table.ts'
import { callerRecord } from '../record.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import {
  baseContext,
  callerOf,
  readPath,
  reasonData,
  reasonOf,
  resourceOf,
  unknownParams,
} from './context.ts'
import { assertRevealable } from './retrieve.ts'

const KNOWN = ['path', 'action', 'operation', 'params']
const PLAIN_ACTIONS = ['list', 'retrieve', 'store', 'unwrap']
const USE = 'vault:use:'

export async function checkAccess(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const { policy, audit } = vault.stations
  const { path, found } = await readPath(call)
  const action = actionOf(params)
  const given = optionalObject(params, 'params') ?? {}
  const base = baseContext(call, reasonOf(call))
  const caller = callerOf(call)
  const about = (credential: Credential | undefined): Unseen => ({
    resource: resourceOf(path, credential),
    context: action.startsWith(USE)
      ? { ...base, ...operationContext(action.slice(USE.length), given, credential) }
      : base,
  })
  const decision = policy.decide({ principal: principalOf(caller), action, ...about(found) })
  const refusal = decision.allow
    ? refusalBeyondPolicy(call, { action, given, found, decision })
    : toldReason(policy, { caller, action, unseen: () => about(undefined) }, decision).reasonCode
  const allowed = refusal === undefined
  await audit.append(
    callerRecord(caller, {
      action: 'policy.test',
      detail: `check ${action.replace('vault:', '')} ${path}`,
      requestId: call.requestId,
      data: {
        ...unknownParams(call, KNOWN),
        ...reasonData(call),
        path,
        operation: action.replace('vault:', ''),
        allowed,
      },
    }),
    'written',
  )
  return {
    result: {
      allowed,
      granted_ttl: allowed
        ? grantTtl(undefined, decision.obligations, vault.settings.leases).ttl
        : null,
      reason_code: refusal ?? decision.reasonCode,
      approval_required: allowed && decision.obligations.approve.length > 0,
    },
  }
}

/** What a real call would be refused for although policy permits it. */
function refusalBeyondPolicy(
  call: AgentCall,
  asked: { action: string; given: Params; found: Credential | undefined; decision: Decision },
): string | undefined {
  const { action, given, found, decision } = asked
  const reason = reasonOf(call)
  if (decision.obligations.requireReason && (reason === undefined || reason === ''))
    return 'reason_required'
  if (found === undefined) return undefined
  try {
    if (action === 'vault:retrieve' || action === 'vault:unwrap') assertRevealable(call, found)
    if (action.startsWith(USE)) {
      findOperation(action.slice(USE.length)).operation.prepare(given, found).check?.(found)
    }
    return undefined
  } catch (error) {
    if (!(error instanceof VestryError) || error.code !== 'ACCESS_DENIED') return undefined
    return String(error.context['reason_code'])
  }
}

function actionOf(params: Params): string {
  const operation = optionalString(params, 'operation', 64)
  const action =
    optionalString(params, 'action', 64) ?? (operation === undefined ? undefined : 'use')
  if (action === undefined) throw invalid('action', 'is required')
  if (PLAIN_ACTIONS.includes(action)) return `vault:${action}`
  if (action === 'use' && operation === undefined)
    throw invalid('operation', 'is required with action "use"')
  const named = action === 'use' ? operation : /^use:(.+)$/.exec(action)?.[1]
  if (named !== undefined) return `${USE}${findOperation(named).name}`
  throw invalid('action', 'is not known', 'Use list, retrieve, store, unwrap or use:<operation>')
}
