/** What the identity socket answers, in its own words. */

/** One process is one agent, until `expires_at`. */
export interface ClaimInfo {
  /** `jti_…`; every event of the process carries it. */
  readonly claim_id: string
  /** The agent's name. */
  readonly agent_id: string
  readonly agent_uuid: string
  readonly agent_role: string
  readonly capabilities: readonly string[]
  readonly session: string
  /** `tree`: the processes that this one starts are the agent, too. */
  readonly scope: 'process' | 'tree'
  /** RFC 3339. */
  readonly issued_at: string
  readonly expires_at: string
}

export interface GrantedClaim extends ClaimInfo {
  /** A signed JWT that says the same, bound to this process. */
  readonly token: string
}

/** What events of this process are stamped with. */
export interface WhoAmI {
  readonly claim_kind: 'claimed' | 'anonymous'
  readonly pod_id: string
  /** As the daemon sees it, which in a sandbox is another number than `process.pid`. */
  readonly pid: number
  readonly uid: number
  readonly ns_pid?: number
  readonly start_time?: string
  readonly subject: { readonly agent_id: string; readonly agent_role: string }
  /** Of this process, or of the one that it inherits from. */
  readonly claim?: ClaimInfo
  readonly anonymous?: {
    readonly pid: number
    readonly uid: number
    readonly session: string
    readonly fingerprint: string
  }
  /** The kernel does not tell the daemon who calls: nothing can be claimed there. */
  readonly peercred?: 'unavailable'
}

export interface ClaimableAgent {
  readonly name: string
  readonly role: string
  readonly capabilities: readonly string[]
}
