/**
 * What a running program reaches: nothing but this. The interpreter computes; every effect, and everything that is
 * not the same at each run, is one of these calls, so that a run can be repeated over what it has already done.
 */

/** Errors are values of `error`, not exceptions; a secret is never shown, compared or joined to text. */
export type Value =
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | ValueRecord
  | SecretRef
  | Duration
  | Size
  | Tagged
  | Lambda

export interface ValueRecord {
  readonly [key: string]: Value
}

/** Where a secret is, not what it is: opened only where it is sent. */
export class SecretRef {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
  toString(): string {
    return '[secret]'
  }
  toJSON(): string {
    return '[secret]'
  }
}

export class Duration {
  readonly ms: number
  constructor(ms: number) {
    this.ms = ms
  }
}

export class Size {
  readonly bytes: number
  constructor(bytes: number) {
    this.bytes = bytes
  }
}

/** `Ok(1)`, `Error("no")`, `Some(x)`, `None` */
export class Tagged {
  readonly tag: string
  readonly args: readonly Value[]
  constructor(tag: string, args: readonly Value[]) {
    this.tag = tag
    this.args = args
  }
}

/** A function value; only the interpreter can call it. */
export class Lambda {
  readonly call: (value: Value) => Promise<Value>
  constructor(call: (value: Value) => Promise<Value>) {
    this.call = call
  }
}

/** The calls that leave the program. Names are those of the language. */
export const EFFECTS = [
  'validate_signature',
  'parse_payload',
  'trigger_workflow',
  'log',
  'publish',
  'call_tool',
  'ask',
  'search_knowledge',
  'remember',
  'recall',
  'secret',
  'http_request',
  'now',
  'generate_id',
  'verify_hmac_sha256',
] as const
export type EffectName = (typeof EFFECTS)[number]

export interface EffectCall {
  readonly name: EffectName
  readonly args: readonly Value[]
  readonly named: Readonly<Record<string, Value>>
  /** Counts effects of this run from 0: the same at each run over the same results. */
  readonly index: number
  /** Of the source. */
  readonly line: number
}

export interface Host {
  /**
   * Does it, or tells what it answered when it was done before.
   * @throws VestryError: an error that the program may catch, unless `isFatal` of it.
   */
  effect(call: EffectCall, signal: AbortSignal): Promise<Value>
  /** For the record of the run: what the program is at. Must not throw. */
  progress(step: ProgramStep): void
}

export interface ProgramStep {
  /** Of the action or function, and of the call in it: `process_webhook/validate_signature`. */
  readonly id: string
  readonly status: 'running' | 'completed' | 'failed'
  readonly line: number
  readonly duration_ms: number
  readonly error?: { readonly code: string; readonly message: string }
}
