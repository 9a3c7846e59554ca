/**
 * `submit` and `poll`: what an agent asks a person for, in its own words. It becomes a request for approval like any
 * other; nothing is carried out here, and no tier spares the question.
 */
import { VestryError } from '@vestry/contract/errors'
import type { AuditEntry } from '../../audit/record.ts'
import type { Approval, Approvals } from '../../call/approval.ts'
import type { ProcessPeer, Resolution, UnknownPeer } from '../../identity/claims/resolution.ts'
import { type ActionAnswer, type ActionStatus, refused } from './answer.ts'
import { ownerOf, PROCESS_OWNERS } from './claimed-caller.ts'

export const SUBMITTED = 'queue:submit'

const TIERS = ['immediate', 'delayed', 'staged', 'blocked'] as const
type Tier = (typeof TIERS)[number]

const MAX_DESCRIPTION_CHARS = 1_024
/** Of an id without its prefix. */
const MIN_ID_CHARS = 8
const ID_PREFIX = 'appr_'
const ID = /^[0-9a-f]{1,24}$/

export interface Asker {
  readonly peer: ProcessPeer | UnknownPeer
  readonly resolution: Resolution
}

type JsonRecord = Readonly<Record<string, unknown>>

export interface SubmissionDeps {
  readonly approvals: Pick<Approvals, 'submit' | 'owned'>
  readonly record: (entry: AuditEntry) => Promise<unknown>
  /** Epoch ms. */
  readonly now: () => number
}

/** @throws VestryError RATE_LIMITED, VAULT_LOCKED, AUDIT_UNAVAILABLE */
export async function submit(
  { approvals, record }: SubmissionDeps,
  asker: Asker,
  { description, tier: wanted }: JsonRecord,
): Promise<ActionAnswer> {
  // A NUL is in nobody's words, and stores refuse it.
  if (typeof description !== 'string' || description.trim() === '' || description.includes('\0'))
    return refused('error', 'invalid request: "description" must be text')
  if (description.length > MAX_DESCRIPTION_CHARS)
    return refused(
      'error',
      `invalid request: "description" has more than ${MAX_DESCRIPTION_CHARS} characters`,
    )
  const tier = tierOf(wanted)
  const owner = ownerOf(asker.peer, asker.resolution)
  if (owner === undefined) return refused('blocked', 'the caller cannot be told from others')
  if (tier === 'blocked') {
    await record(queueRecord('queue_block', asker, { tier, status: 'blocked' }))
    return refused('blocked', 'an action of tier "blocked" is never carried out')
  }
  const { id } = await approvals.submit(
    {
      agentId: owner.id,
      agentName: owner.name,
      action: SUBMITTED,
      resource: resourceOf(asker.peer),
      summary: `submitted, tier ${tier}`,
      reason: description,
      params: { description, tier },
      policies: ['queue'],
    },
    // A process is soon started: all of them together may ask as much as one agent.
    asker.resolution.kind === 'claimed' ? undefined : PROCESS_OWNERS,
  )
  await record(queueRecord('queue_submit', asker, { id, tier, status: 'queued' }))
  return {
    ok: true,
    id,
    status: 'queued',
    message: `an operator decides: vestry approval allow ${id}`,
  }
}

/** Of one's own actions only. */
export async function poll(
  { approvals, now }: SubmissionDeps,
  { peer, resolution }: Asker,
  { id: given }: JsonRecord,
): Promise<ActionAnswer> {
  const bare = typeof given === 'string' ? given.replace(ID_PREFIX, '').toLowerCase() : ''
  if (bare.length < MIN_ID_CHARS || !ID.test(bare))
    return refused('error', `invalid request: "id" needs at least ${MIN_ID_CHARS} characters of it`)
  const owner = ownerOf(peer, resolution)
  const found = owner === undefined ? [] : await approvals.owned(owner.id, `${ID_PREFIX}${bare}`)
  const [action, another] = found
  if (action === undefined) return { ...refused('error', 'there is no such action'), id: given }
  if (another !== undefined)
    return { ...refused('error', 'several actions have an id that begins so'), id: given }
  return { ok: true, id: action.id, status: statusOf(action, now()), action: action.summary }
}

/** The record of an operator's answer to something that was submitted. */
export function decidedRecord(approval: Approval): AuditEntry | undefined {
  if (approval.action !== SUBMITTED) return undefined
  const allowed = approval.state === 'allowed'
  const pid = Number(/^pid (\d+)/.exec(approval.resource)?.[1] ?? Number.NaN)
  const status = allowed ? 'approved' : 'blocked'
  return {
    action: allowed ? 'queue_approve' : 'queue_block',
    phase: 'single',
    detail: `id=${approval.id} status=${status}`,
    success: allowed,
    actor: `operator:${approval.decided_by ?? ''}`,
    source: 'queue',
    ...(Number.isSafeInteger(pid) && { pid }),
    data: { id: approval.id, status, asked_by: approval.agent },
  }
}

/** @throws VestryError never. */
export function queueRecord(
  action: 'queue_submit' | 'queue_block',
  { peer, resolution }: Asker,
  data: { readonly status: ActionStatus; readonly [more: string]: unknown },
): AuditEntry {
  const told = Object.entries(data)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(' ')
  const claim = resolution.kind === 'claimed' ? resolution.claim : undefined
  return {
    action,
    phase: 'single',
    detail: told,
    success: data.status !== 'blocked',
    actor: claim === undefined ? 'anonymous' : `agent:${claim.agentName}`,
    ...(claim !== undefined && { agent: claim.agentName }),
    source: 'queue',
    ...(!('unavailable' in peer) && { pid: peer.pid, uid: peer.uid }),
    data: { ...data, ...(claim !== undefined && { claim: claim.id }) },
  }
}

function statusOf({ state, expires_at }: Approval, nowMs: number): ActionStatus {
  switch (state) {
    case 'pending':
      return expires_at > nowMs ? 'queued' : 'cancelled'
    case 'allowed':
      return 'approved'
    case 'denied':
      return 'blocked'
    case 'used':
      return 'executed'
    default:
      state satisfies never
      throw new VestryError('INTERNAL_ERROR')
  }
}

/** A tier that nobody knows means what the strictest of them means. */
function tierOf(value: unknown): Tier {
  return TIERS.find((tier) => tier === value) ?? 'staged'
}

function resourceOf(peer: ProcessPeer | UnknownPeer): string {
  return 'unavailable' in peer ? 'unknown process' : `pid ${peer.pid}, uid ${peer.uid}`
}
