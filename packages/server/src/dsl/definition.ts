/** An agent as a source describes it, in one normal form: what is stored, shown, run and compared. Plain JSON. */
import type { ActionPart, BehaviorItem, FunctionItem, PolicyItem, WithPart } from './ast.ts'

export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json }

/** In the words of the wire, which is why names have underscores. */
export interface ProgramDefinition {
  readonly name: string
  readonly version: string
  /** SHA-256 hex of the source. */
  readonly source_hash: string
  readonly dialect: string
  readonly metadata: Readonly<Record<string, Json>>
  readonly attributes: Readonly<Record<string, Json>>
  readonly parameters: readonly NamedType[]
  readonly return_type: string | null
  readonly capabilities: readonly string[]
  readonly policies: readonly {
    readonly name: string
    readonly rules: readonly {
      readonly effect: string
      /** As the formatter writes it. */
      readonly target: string
      readonly condition: string | null
    }[]
  }[]
  readonly triggers: readonly TriggerDefinition[]
  readonly actions: readonly CallableDefinition[]
  readonly functions: readonly CallableDefinition[]
  readonly with: readonly {
    readonly attributes: Readonly<Record<string, Json>>
    readonly sandbox: string | null
    readonly timeout_seconds: number | null
  }[]
  readonly schedules: readonly ScheduleDefinition[]
  readonly channels: readonly Readonly<Record<string, Json>>[]
  readonly memories: readonly Readonly<Record<string, Json>>[]
  readonly webhooks: readonly WebhookDefinition[]
}

export interface NamedType {
  readonly name: string
  readonly type: string
}

export type WebhookProvider = 'github' | 'gitlab' | 'slack' | 'stripe' | 'custom'

export interface TriggerDefinition {
  readonly name: string
  readonly provider: WebhookProvider
  /** Below the prefix of the API: `hooks/<agent>/<trigger>`. */
  readonly path: string
  readonly events: readonly { readonly event: string; readonly filter: Json }[]
  /** Names of actions; all of them where the source names none. */
  readonly run: readonly string[]
  /** Of the agent's own secrets: `webhook/<trigger>`; or a vault path, `vault://…`. */
  readonly secret_ref: string
  readonly filter: Json
}

export interface CallableDefinition {
  readonly name: string
  readonly parameters: readonly NamedType[]
  readonly return_type: string | null
  /** As the formatter writes them, one for each statement. */
  readonly statements: readonly string[]
}

export interface ScheduleDefinition {
  readonly name: string
  readonly cron: string | null
  /** RFC 3339. */
  readonly at: string | null
  readonly timezone: string
  readonly agent: string
  readonly one_shot: boolean
  readonly audit: string
  readonly policy: string | null
  readonly deliver: Json
}

export interface WebhookDefinition {
  readonly name: string
  readonly path: string
  readonly provider: WebhookProvider
  readonly secret_ref: string
  readonly agent: string | null
  readonly filter: {
    readonly json_path: string
    readonly equals: Json
    readonly contains: string | null
  } | null
}

/** One agent of a checked source: its definition, and the parts of the tree that are run. */
export interface CheckedAgent {
  readonly definition: ProgramDefinition
  readonly code: ProgramCode
}

export interface ProgramCode {
  /** In the order of the source; behaviours of the agent are among them. */
  readonly actions: readonly (ActionPart | BehaviorItem)[]
  /** Of the file and of the agent. */
  readonly functions: readonly (FunctionItem | BehaviorItem)[]
  readonly policies: readonly PolicyItem[]
  readonly bodies: readonly WithPart[]
}
