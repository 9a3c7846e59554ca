/**
 * Agent Operation Taxonomy, `aotp/0.1`: the envelope, its kinds and their older names. Shared by what
 * emits envelopes and by the collector that stores them; no I/O.
 */

export const SPEC = 'aotp/0.1'
/** `subject.framework` of what no adapter emitted. */
export const FRAMEWORK = 'envpod-coat'

/** From the least told to the most. */
export const CAPTURE_MODES = ['none', 'hash', 'summary', 'redacted', 'raw'] as const
export type CaptureMode = (typeof CAPTURE_MODES)[number]

/** @returns The one that tells less. */
export function lesser(one: CaptureMode, other: CaptureMode): CaptureMode {
  return CAPTURE_MODES.indexOf(one) <= CAPTURE_MODES.indexOf(other) ? one : other
}

/** The sixteen core kinds; they are never dropped for lack of room while something else can be. */
export const CORE_KINDS = [
  'agent.session.start',
  'agent.session.end',
  'agent.run.start',
  'agent.run.end',
  'agent.step.start',
  'agent.step.end',
  'agent.llm.request',
  'agent.llm.response',
  'agent.tool.call',
  'agent.tool.result',
  'agent.memory.read',
  'agent.memory.write',
  'agent.memory.delete',
  'agent.subagent.start',
  'agent.subagent.end',
  'agent.human.request',
] as const
export type CoreKind = (typeof CORE_KINDS)[number]

export const EXTENSION_KINDS = ['x.coat.tie', 'x.coat.io', 'x.coat.health'] as const
export type ExtensionKind = (typeof EXTENSION_KINDS)[number]

export const KIND_GRAMMAR = /^(?:agent|x)(?:\.[a-z0-9_]+){2,3}$/

export type Status = 'ok' | 'error' | 'cancelled' | 'abandoned' | 'unobserved'

/** Every member is present; `""` where it does not apply. */
export interface Ids {
  readonly session_id: string
  readonly run_id: string
  readonly step_id: string
  /** `tr_` and a W3C trace id, 32 hex digits. */
  readonly trace_id: string
  /** `sp_` and a W3C parent id, 16 hex digits. */
  readonly span_id: string
  readonly parent_span_id: string
}

export interface Subject {
  readonly agent_id: string
  readonly agent_role: string
  readonly framework: string
  readonly framework_version: string
}

export interface Capture {
  readonly mode: CaptureMode
  readonly requested?: CaptureMode
  readonly hash?: { readonly alg: 'hmac-sha256-128'; readonly key_id: string }
}

/** Self-reported, so never trusted for more than noticing losses. */
export interface Producer {
  /** `p_` and 16 hex digits, one per instance of the library. */
  readonly id: string
  /** 1, 2, 3 … as emitted, before anything is dropped. */
  readonly seq: number
  readonly pid?: number
  readonly tid?: number
  readonly lang?: string
  /** Events dropped so far, when there are any. */
  readonly dropped?: number
}

export interface Envelope {
  readonly spec: typeof SPEC
  readonly kind: string
  /** RFC 3339, UTC, milliseconds, `Z`. */
  readonly ts: string
  readonly ids: Ids
  readonly subject: Subject
  readonly capture: Capture
  readonly payload: Readonly<Record<string, unknown>>
  readonly producer?: Producer
  /** The collector's alone: whatever a producer puts here is discarded. */
  readonly envpod?: Stamp
}

/** Who sent an envelope, as the kernel and the registry of claims say. */
export interface Stamp {
  readonly pod_id: string
  readonly pid: number
  readonly uid: number
  readonly claim_kind: 'claimed' | 'anonymous'
  readonly agent_claim_id?: string
  readonly capabilities?: readonly string[]
  readonly session?: string
  readonly agent_uuid?: string
  readonly anonymous?: {
    readonly pid: number
    readonly uid: number
    readonly session: string
    readonly fingerprint: string
  }
  readonly ns_pid?: number
  readonly start_time?: string
  readonly recv_ts?: string
  readonly overwrote?: readonly string[]
  readonly stale_peer?: true
  readonly peercred?: 'unavailable'
}

/**
 * Members of a payload whose values obey the capture mode, whoever emitted them; all else is metadata.
 * Of `preview`, each member counts by itself; `args` and `yields` element by element.
 */
export const CAPTURED_MEMBERS = [
  'preview',
  'locals',
  'data',
  'query',
  'task',
  'prompt',
  'answer',
] as const
