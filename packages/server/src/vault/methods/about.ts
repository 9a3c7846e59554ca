/** `whoami`, `check_access`, `status` and `ping`: questions that change nothing. */
import { principalOf } from '../../call/perform.ts'
import { OPERATIONS } from '../../policy/actions.ts'
import { assertPath } from '../credential.ts'
import { grantTtl } from '../lease.ts'
import { invalid, optionalObject, optionalString } from '../operations/params.ts'
import { operationContext } from '../operations/table.ts'
import { callerRecord } from '../record.ts'
import type { AgentCall, Vault } from '../vault.ts'
import { MAX_REPLY_BYTES, type Reply } from '../wire/reply.ts'
import { baseContext, callerOf, reasonOf, resourceOf } from './context.ts'
import { isoTime } from './granting.ts'

export const PROTOCOL = 'sanctum/1'
export const FEATURES = ['sig-v2', 'renew_lease', 'check_access', 'wrap']

export function ping(): Reply {
  return { result: { pong: true } }
}

/** Tells nothing that a stranger could count agents or credentials by. */
export function status(vault: Vault): Reply {
  return {
    result: {
      initialized: vault.seal.state !== 'uninitialized',
      sealed: vault.seal.state !== 'unsealed',
      version: vault.version,
      protocol: PROTOCOL,
      features: FEATURES,
      limits: { max_frame_bytes: MAX_REPLY_BYTES },
      server_time: isoTime(vault.now()),
    },
  }
}

export function whoami(call: AgentCall): Reply {
  const { vault, session } = call
  const principal = principalOf(callerOf(call))
  return {
    result: {
      agent: principal.name,
      agent_id: principal.id,
      key_fingerprint: session.keyFingerprint,
      session: {
        created_at: isoTime(session.createdAt),
        expires_at: isoTime(vault.sessions.deadline(session)),
        idle_timeout: vault.sessions.limits.idleSeconds,
      },
      transport: session.peer.transport,
      policies: vault.stations.policy.policiesOf(principal),
      limits: {
        ...vault.limits.describeAgent(),
        leases: vault.leases.liveOf(principal.id),
      },
      txn: session.txn,
      server_time: isoTime(vault.now()),
    },
  }
}

/** Asks policy and does nothing. Unlike a real call, it leaves rates and approvals untouched. */
export async function checkAccess(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const { path } = params
  assertPath(path)
  const action = actionOf(call)
  const found = await vault.credentials.find(path)
  const base = baseContext(call, reasonOf(call))
  const operation = action.startsWith('vault:use:') ? action.slice('vault:use:'.length) : undefined
  const context =
    operation === undefined
      ? base
      : { ...base, ...operationContext(operation, optionalObject(params, 'params') ?? {}, found) }
  const caller = callerOf(call)
  const decision = vault.stations.policy.decide({
    principal: principalOf(caller),
    action,
    resource: resourceOf(path, found),
    context,
  })
  await vault.stations.audit.append(
    callerRecord(caller, {
      action: 'policy.test',
      detail: `check ${action.replace('vault:', '')} ${path}`,
      requestId: call.requestId,
      data: { path, operation: action.replace('vault:', ''), allowed: decision.allow },
    }),
    'written',
  )
  return {
    result: {
      allowed: decision.allow,
      granted_ttl: decision.allow
        ? grantTtl(undefined, decision.obligations, vault.settings.leases).ttl
        : null,
      reason_code: decision.reasonCode,
      approval_required: decision.allow && decision.obligations.approve.length > 0,
    },
  }
}

const PLAIN_ACTIONS = ['list', 'retrieve', 'store', 'unwrap']

function actionOf({ params }: AgentCall): string {
  const operation = optionalString(params, 'operation', 64)
  const action =
    optionalString(params, 'action', 64) ?? (operation === undefined ? undefined : 'use')
  if (action === undefined) throw invalid('action', 'is required')
  if (PLAIN_ACTIONS.includes(action)) return `vault:${action}`
  const named = action.startsWith('use:') ? action.slice('use:'.length) : operation
  if (action === 'use' && named === undefined)
    throw invalid('operation', 'is required with action "use"')
  if (named !== undefined && OPERATIONS.includes(named)) return `vault:use:${named}`
  throw invalid('action', 'is not known', 'Use list, retrieve, store, unwrap or use:<operation>')
}
