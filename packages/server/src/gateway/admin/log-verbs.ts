/** What the gateway did, in the two forms of its admin wire: requests and decisions, newest first. */
import { ERRORS, type ErrorCode, VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { AuditIndex } from '../../audit/audit-index.ts'
import type { AuditRecord } from '../../audit/record.ts'
import type { Gateway } from '../gateway.ts'
import { errorReply } from '../wire/error-body.ts'

const SOURCE = 'gateway'
/** Intents stand between the records wanted; more than this many are not looked through. */
const LOOK_THROUGH = 4

export function logVerbs(gateway: Gateway, index: AuditIndex): AdminVerb[] {
  const records = async (limit: number, wanted: (record: AuditRecord) => boolean) => {
    await gateway.stations.audit.flush()
    await index.catchUp()
    const found = await index.find({ source: SOURCE }, limit * LOOK_THROUGH)
    const all = found.map(({ record }) => record)
    // An outcome does not repeat the decision that its intent holds.
    const decided = new Map(
      all.flatMap(({ request_id, decision }) =>
        request_id === undefined || decision === undefined ? [] : [[request_id, decision] as const],
      ),
    )
    return all
      .filter(wanted)
      .slice(0, limit)
      .map((record) => {
        const decision = record.decision ?? decided.get(record.request_id ?? '')
        return decision === undefined ? record : { ...record, decision }
      })
  }
  return [
    verb({
      name: 'gateway.request_logs',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ limit: z.coerce.number().int().min(1).max(1_000).default(20) }),
      run: async ({ params }) => {
        const ids = await agentIds(gateway)
        const logs = (await records(params.limit, isOutcome)).map((record) =>
          requestLog(gateway, ids, record),
        )
        return { logs, total: logs.length, timestamp: new Date(gateway.now()).toISOString() }
      },
    }),
    verb({
      name: 'gateway.policy_logs',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        policyId: z.string().max(128).optional(),
        agentId: z.string().max(128).optional(),
        limit: z.coerce.number().int().min(1).max(100).default(50),
      }),
      run: async ({ params }) => {
        const { policyId, agentId, limit } = params
        const ids = await agentIds(gateway)
        const logs = (await records(limit * LOOK_THROUGH, isDecision))
          .map((record) => policyLog(ids, record))
          .filter((log) => policyId === undefined || log.policyId === policyId)
          .filter((log) => agentId === undefined || log.agentId === agentId)
        return { logs: logs.slice(0, limit) }
      },
    }),
  ]
}

type AgentIds = ReadonlyMap<string | undefined, string>

/** By name. The log itself holds no ids: they are all that an unsigned token request needs. */
async function agentIds({ agents }: Gateway): Promise<AgentIds> {
  const all = await agents.list({ revoked: true })
  // Whoever has a name now counts before whoever had it once.
  const living = all.filter(({ status }) => status !== 'revoked')
  return new Map([...all, ...living].map(({ name, id }) => [name, id]))
}

function isOutcome({ action, phase }: AuditRecord): boolean {
  return phase !== 'intent' && /^(?:tool\.|policy\.deny$|approval\.request$)/.test(action)
}

function isDecision({ decision, data }: AuditRecord): boolean {
  return decision !== undefined && data?.['tool'] !== undefined
}

function requestLog(
  { settings }: Gateway,
  ids: AgentIds,
  record: AuditRecord,
): Record<string, unknown> {
  const { agent, data = {}, outcome, success, timestamp, seq } = record
  const code = outcome?.code ?? 'OK'
  const failed = code === 'OK' ? undefined : statusOfCode(record, settings.policy_denial_status)
  return {
    id: String(seq),
    corrId: data['correlation_id'] ?? null,
    agentId: ids.get(agent) ?? null,
    tool: data['tool'] ?? null,
    action: data['action'] ?? null,
    responseTime: Math.round(outcome?.duration_ms ?? 0),
    statusCode: failed ?? (record.action === 'tool.submit' ? 202 : 200),
    success,
    ...(failed !== undefined && { errorMessage: code }),
    createdAt: timestamp,
    intent: data['intent'] ?? null,
    policyId: sourcePolicy(record.decision?.policies) ?? null,
    attempts: outcome?.['attempts'] ?? 0,
    replay: record.action === 'tool.replay',
  }
}

function statusOfCode({ outcome }: AuditRecord, denialStatus: number): number {
  const code = outcome?.code ?? ''
  // Also of a reply that was withheld, which policy had allowed to be fetched.
  if (code === 'ACCESS_DENIED') return denialStatus
  return isErrorCode(code)
    ? errorReply(new VestryError(code), '', { denialStatus }).status
    : ERRORS.INTERNAL_ERROR.status
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

interface PolicyLog {
  readonly policyId: string
  readonly agentId: unknown
  readonly [more: string]: unknown
}

function policyLog(
  ids: AgentIds,
  { seq, agent, decision, data = {}, timestamp }: AuditRecord,
): PolicyLog {
  return {
    id: String(seq),
    policyId: sourcePolicy(decision?.policies) ?? 'default',
    agentId: ids.get(agent) ?? null,
    tool: data['tool'] ?? null,
    action: data['action'] ?? null,
    decision: decision?.allow === true ? 'allow' : 'deny',
    ...(decision?.allow === false && { reason: decision.reason }),
    createdAt: timestamp,
  }
}

/** `gateway:<uuid>/scope/…` → the uuid. */
function sourcePolicy(policies: readonly string[] | undefined): string | undefined {
  const [first] = policies ?? []
  return /^gateway:([0-9a-f-]{36})/.exec(first ?? '')?.[1] ?? first
}
