/** What the log says of claims: who got which identity, until when, and who was refused. */
import { redactText } from '@vestry/coat/redaction'
import type { AuditEntry } from '../../audit/record.ts'
import type { ClaimEnd } from './claim-book.ts'
import type { Executable } from './executable.ts'
import { isUnknown } from './process-peer.ts'
import type { Claim, ProcessPeer, UnknownPeer } from './resolution.ts'

/** A release that somebody else ordered is a release, too; `reason` says whose. */
const END_ACTIONS: Readonly<Record<ClaimEnd, string>> = {
  release: 'identity_release',
  replaced: 'identity_release',
  operator: 'identity_release',
  agent_ended: 'identity_release',
  terms_changed: 'identity_release',
  expire: 'identity_expire',
  exit: 'identity_exit',
  program_changed: 'identity_exit',
}

/** Characters of a name that a stranger gave. */
const MAX_ASKED_CHARS = 128

export function grantRecord(
  action: 'identity_claim' | 'identity_renew',
  claim: Claim,
  executable: Executable | undefined,
): AuditEntry & { readonly data: Record<string, unknown> } {
  const word = action === 'identity_claim' ? 'claimed' : 'renewed'
  return {
    ...common(action, `${claim.agentName} ${word} by process ${claim.pid}`, true),
    ...holder(claim),
    data: {
      ...facts(claim),
      ...program(executable),
      capabilities: [...claim.capabilities],
      expires_at: new Date(claim.expiresAtMs).toISOString(),
    },
  }
}

/** After a restart, which may have come between a grant and its record. */
export function resumedRecord(claim: Claim): AuditEntry {
  const { data, ...record } = grantRecord('identity_claim', claim, undefined)
  const { exe: _, exe_sha256: __, ...known } = data
  return { ...record, data: { ...known, resumed: true } }
}

export function endRecord(claim: Claim, reason: ClaimEnd, actor?: string): AuditEntry {
  return {
    ...common(END_ACTIONS[reason], `${claim.agentName} no longer process ${claim.pid}`, true),
    ...holder(claim),
    ...(actor !== undefined && { actor }),
    data: { ...facts(claim), reason },
  }
}

export function refusalRecord(
  peer: ProcessPeer | UnknownPeer,
  { type, asked, code }: { type: string; asked: string | undefined; code: string },
  executable: Executable | undefined,
): AuditEntry {
  // What was pasted by mistake may be a key; half of one would look like none.
  const name = asked && redactText(asked).text.slice(0, MAX_ASKED_CHARS).toWellFormed()
  return {
    ...common('identity_reject', `${type} refused: ${code}`, false),
    actor: 'anonymous',
    ...(!isUnknown(peer) && { pid: peer.pid, uid: peer.uid }),
    data: {
      code,
      request: type,
      // A name that was asked for and not given: it is no agent of this record.
      ...(name !== undefined && { asked: name }),
      ...(isUnknown(peer)
        ? { peercred: peer.unavailable }
        : { start_time: peer.startTime, ...program(executable) }),
    },
  }
}

function common(action: string, detail: string, success: boolean) {
  return { action, phase: 'single' as const, detail, success, source: 'identity' as const }
}

function holder(claim: Claim) {
  const { agentName: agent, pid, uid } = claim
  return { actor: `agent:${agent}`, agent, pid, uid }
}

function facts(claim: Claim) {
  return {
    claim_id: claim.id,
    agent_uuid: claim.agentId,
    session: claim.session,
    scope: claim.scope,
    start_time: claim.startTime,
  }
}

function program(executable: Executable | undefined) {
  return {
    exe: executable?.path ?? null,
    exe_sha256: executable?.sha256 ?? null,
  }
}
