/** What the walk over the steps of a workflow is given, and what comes of it. */
import type { VestryError } from '@vestry/contract/errors'
import type { Steps } from '../../journal/step.ts'
import type { Definition, StepKind } from './definition.ts'
import type { Places } from './places.ts'

export interface StepView {
  readonly id: string
  readonly kind: StepKind
  readonly status: 'running' | 'waiting' | 'completed' | 'failed' | 'skipped'
  /** Epoch ms. */
  readonly startedAtMs: number
  readonly durationMs: number
  readonly output?: unknown
  readonly error?: { readonly code: string; readonly message: string }
}

export interface StepCall {
  readonly kind: StepKind
  /** Of the step within the run: `load`, `each[3]`. */
  readonly key: string
  /** Expressions are filled in. */
  readonly given: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

export interface Walk {
  readonly steps: Steps
  /** Does what a step does. @returns JSON. */
  readonly body: (call: StepCall) => Promise<unknown>
  /** What a step waits for, if it has come. @throws VestryError when it will not come. */
  readonly came: (
    call: Omit<StepCall, 'signal'>,
  ) => Promise<{ readonly value: unknown } | undefined>
  /** @throws VestryError WORKFLOW_NOT_FOUND, ACCESS_DENIED, VALIDATION_ERROR */
  readonly child: (
    id: string,
    params: Readonly<Record<string, unknown>>,
    key: string,
  ) => Promise<{ readonly definition: Definition; readonly params: unknown }>
  readonly onStep: (view: StepView) => void
  readonly signal: AbortSignal
  /** Epoch ms. */
  readonly now: () => number
  /** Bodies at once. */
  readonly places: Places
}

export type Walked =
  | { readonly state: 'done'; readonly outputs: Readonly<Record<string, unknown>> }
  | { readonly state: 'failed'; readonly step: string; readonly error: VestryError }
  /** Nothing can be done before then, unless something comes. Epoch ms. */
  | { readonly state: 'waiting'; readonly untilMs: number }

/** What became of one step in this walk. */
export type Settled =
  | { readonly state: 'done'; readonly output: unknown }
  | { readonly state: 'skipped' }
  | { readonly state: 'failed'; readonly error: VestryError }
  | { readonly state: 'waiting'; readonly untilMs: number }
