/** Records of the log about itself. Pure. */
import { GENESIS, type Head, type SignedHead } from './chain.ts'
import type { AuditEntry } from './record.ts'
import type { PreviousSegment } from './recovery.ts'

export type OwnEntry = Pick<AuditEntry, 'action' | 'detail' | 'data'> & { success?: boolean }

/** Nobody but the log may write these: readers take what they say for true. */
export const OWN_ACTIONS: ReadonlySet<string> = new Set([
  'audit_open',
  'audit_checkpoint',
  'audit_close',
  'audit_tombstone',
])

export function ownEntry(what: OwnEntry): AuditEntry {
  return {
    ...what,
    phase: 'single',
    success: what.success ?? true,
    actor: 'system',
    source: 'collector',
  }
}

export interface Opening {
  chain: string
  podId: string | undefined
  podName: string
  /** The record it follows. */
  head: Head
  /** Lowest open intent, 0 for none: how far back a later start must look. */
  openFrom: number
  /** A new segment names what it follows, null for the very first; absent when a segment goes on. */
  previous?: PreviousSegment | null
  legacy?: readonly { file: string; sha256: string }[]
  /** Of a writer that starts: its process, and whether the one before it had closed the log. */
  started?: { pid: number; clean: boolean }
}

export function openEntry(opening: Opening): OwnEntry {
  const { chain, podId, podName, head, openFrom, previous, legacy = [], started } = opening
  const fresh = head.hash === GENESIS
  const goesOn = previous === undefined ? 'writer started' : 'log goes on in a new segment'
  return {
    action: 'audit_open',
    detail: fresh ? 'log begins' : goesOn,
    data: {
      chain,
      format: 2,
      pod_id: podId ?? null,
      pod_name: podName,
      open_from: openFrom,
      ...(previous !== undefined && { prev_segment: previous }),
      ...(legacy.length > 0 && { legacy }),
      ...(started !== undefined && { pid: started.pid, clean: fresh || started.clean }),
    },
  }
}

export function checkpointEntry(signed: SignedHead, openFrom: number): OwnEntry {
  return {
    action: 'audit_checkpoint',
    detail: `checkpoint at record ${signed.seq}`,
    data: { ...signed, open_from: openFrom },
  }
}

export function closeEntry(openFrom: number): OwnEntry {
  return { action: 'audit_close', detail: 'writer stopped', data: { open_from: openFrom } }
}
