/** Steps of a review taken one after another, each with its place in the chain. Pure. */
import { type Priority, type Step, submitted, take } from './machine.ts'
import type { Session, SessionFacts } from './session.ts'
import {
  type ChainHead,
  EMPTY_CHAIN,
  type Transition,
  transitionAfter,
} from './transition-chain.ts'

export interface NewSession {
  readonly id: string
  readonly toolJson: string
  readonly schemaHash: string
  readonly toolName: string
  readonly providerName: string
  readonly submittedBy: string
  readonly submittedActor: string
  readonly owner: string
  readonly priority: Priority
  readonly reason: string | undefined
  readonly beforeJson: string | undefined
}

/** One step, who took it, and what is kept of it. */
export interface Move {
  readonly step: Step
  readonly actor: string
  readonly detail?: Readonly<Record<string, unknown>>
  readonly set?: Partial<
    Omit<SessionFacts, 'chain'> & Pick<Session, 'analysedAtMs' | 'decidedAtMs'>
  >
}

export interface Moved {
  readonly session: Session
  /** Empty when there was nothing to do. */
  readonly transitions: readonly Transition[]
}

/** What a submission becomes: it is queued at once. */
export function begin(input: NewSession, nowMs: number): Moved {
  const empty: Session = {
    ...input,
    ...submitted(input.priority),
    chain: EMPTY_CHAIN,
    attempts: 0,
    runner: undefined,
    failure: undefined,
    summary: undefined,
    decided: undefined,
    version: 0,
    submittedAtMs: nowMs,
    updatedAtMs: nowMs,
    analysedAtMs: undefined,
    decidedAtMs: undefined,
  }
  const actor = input.submittedActor
  const first = transitionAfter(EMPTY_CHAIN, {
    atMs: nowMs,
    reviewId: input.id,
    from: '',
    to: 'submitted',
    actor,
    detail: {
      step: 'submit',
      submitted_by: input.submittedBy,
      priority: input.priority,
      schema_hash: input.schemaHash,
      ...(input.reason !== undefined && { reason: input.reason }),
    },
  })
  const { session, transitions } = walk(
    { ...empty, chain: headOf(first) },
    [{ step: { step: 'queue' }, actor: 'system' }],
    nowMs,
  )
  return { session, transitions: [first, ...transitions] }
}

/** @throws VestryError INVALID_STATE_TRANSITION at the first step that may not be taken. */
export function walk(before: Session, moves: readonly Move[], nowMs: number): Moved {
  // A clock that was put back must not make a step come before the one it follows.
  const atMs = Math.max(nowMs, before.updatedAtMs)
  const transitions: Transition[] = []
  let session = before
  for (const { step, actor, detail = {}, set = {} } of moves) {
    const position = take(session, step)
    const transition = transitionAfter(session.chain, {
      atMs,
      reviewId: session.id,
      from: session.status,
      to: position.status,
      actor,
      detail: { step: step.step, ...detail },
    })
    transitions.push(transition)
    session = { ...session, ...position, ...set, chain: headOf(transition), updatedAtMs: atMs }
  }
  if (transitions.length === 0) return { session: before, transitions }
  return { session: { ...session, version: before.version + 1 }, transitions }
}

function headOf({ seq, hash }: Transition): ChainHead {
  return { seq, hash }
}
