/** Who a process is: what the kernel tells of the peer of a connection, and what that peer has claimed. */

/** The process at the other end of a Unix socket, read once when it connected. */
export interface ProcessPeer {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  /** Clock ticks since boot (field 22 of `/proc/<pid>/stat`): tells a reused pid from its first owner. */
  readonly startTime: string
  /** POSIX session id; the pid where it cannot be read. */
  readonly sessionId: number
  /** The pid in its own namespace, where that is another one. */
  readonly nsPid?: number | undefined
}

/** The kernel cannot be asked, or did not tell: every such caller is anonymous, and claims nothing. */
export interface UnknownPeer {
  readonly unavailable: string
}

export interface Claim {
  /** `jti_…` */
  readonly id: string
  readonly agentId: string
  readonly agentName: string
  readonly agentRole: string
  readonly capabilities: readonly string[]
  /** `sess_…` of the claim; nothing to do with `ids.session_id`. */
  readonly session: string
  readonly scope: 'process' | 'tree'
  readonly pid: number
  readonly startTime: string
  readonly uid: number
  /** Epoch ms. */
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  /** What its process showed beyond its user: asked for again when the terms are changed. */
  readonly shown?: Shown
}

export interface Shown {
  /** A token of the agent. */
  readonly token: boolean
  /** SHA-256 of its program, where that was listed. */
  readonly exeSha256?: string
  /** That program's file, as device and number: another one has not been shown. */
  readonly program?: string
}

export type Resolution =
  | { readonly kind: 'claimed'; readonly claim: Claim }
  /** `stale`: the process that connected is gone, or its pid belongs to another one by now. */
  | { readonly kind: 'anonymous'; readonly stale: boolean }

/** Answers for every line that arrives, so it keeps what it found until a claim changes. */
export interface ClaimResolver {
  resolve(peer: ProcessPeer): Resolution
}
