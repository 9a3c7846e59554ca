/** What a program asks for: from the file alone, in a form that is compared, shown, and made into Cedar. */

/** One thing that a program may do. Two are the same where all of it is. */
export interface Permission {
  readonly kind:
    | 'tool'
    | 'mcp'
    | 'model'
    | 'credential'
    | 'secret'
    | 'host'
    | 'knowledge'
    | 'agent'
    | 'workflow'
  /** `notes:append`, `openai:gpt-4o`, `db/password`, `api.example.com`, `confidential`; `*` for any. */
  readonly name: string
  /** `read` or `write` knowledge; `cleartext`: a host without encryption too. */
  readonly access?: string
  /** Under these conditions of the file only: `guard#1`. Empty: always. */
  readonly conditions: readonly string[]
  /** Line of the source that asks for it first; 0: an attribute or a capability of the agent. */
  readonly line: number
}

export interface Permissions {
  readonly allows: readonly Permission[]
  /** What the file itself forbids, whatever else allows it. */
  readonly denies: readonly Permission[]
  readonly budgets: {
    /** `5/s burst 20`, as obligations are written. */
    readonly rate?: string
    /** `100/24h sliding` */
    readonly quota?: string
    /** Millionths of a dollar for one run. */
    readonly costMicros?: number
    readonly maxTokens?: number
    readonly timeoutSeconds?: number
  }
  /** What the conditions mean: name of the rule → its condition as written, so that a changed one is seen. */
  readonly rules: Readonly<Record<string, string>>
  /** What must hold before a run starts, as written. Sorted; absent: nothing. */
  readonly requires?: readonly string[]
  /** For who reads it: what the file does and does not ask for, and why. Sorted. */
  readonly notes: readonly string[]
}

/** One line for people: what changed, and whether it is more than before. */
export interface PermissionChange {
  readonly direction: 'wider' | 'narrower'
  /** "may now call tool notes:append", without a full stop. */
  readonly text: string
}
