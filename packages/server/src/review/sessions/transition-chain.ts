/**
 * Every step of a review, each naming the hash of the one before. The hash of the last one stands in the review's own
 * row, which is signed, so a step that was changed, removed, added or cut off is noticed. Pure.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import type { Status } from './machine.ts'

const DOMAIN = 'vestry review transition v1\n'
/** What the first transition follows. */
export const GENESIS = '0'.repeat(64)

export interface ChainHead {
  /** 0 before the first transition. */
  readonly seq: number
  /** 64 hex digits. */
  readonly hash: string
}

export const EMPTY_CHAIN: ChainHead = { seq: 0, hash: GENESIS }

export interface Transition {
  /** 1, 2, 3 … of one review. */
  readonly seq: number
  readonly atMs: number
  readonly reviewId: string
  /** `''` for the first. */
  readonly from: Status | ''
  readonly to: Status
  /** `operator:ada`, `agent:scout`, `mcp:notes` or `system`. */
  readonly actor: string
  /** What there is to say of it: who reviewed, in which words, with which result. */
  readonly detail: Readonly<Record<string, unknown>>
  readonly prevHash: string
  readonly hash: string
}

export function transitionAfter(
  head: ChainHead,
  what: Omit<Transition, 'seq' | 'prevHash' | 'hash'>,
): Transition {
  const unsigned = { ...what, seq: head.seq + 1, prevHash: head.hash }
  return { ...unsigned, hash: hashOf(unsigned) }
}

/** @returns What is wrong, in a person's words; undefined when all is as it was written. */
export function chainProblem(
  transitions: readonly Transition[],
  head: ChainHead,
): string | undefined {
  let last = EMPTY_CHAIN
  for (const transition of transitions) {
    const wanted = last.seq + 1
    if (transition.seq !== wanted) return `step ${wanted} is missing`
    if (transition.prevHash !== last.hash) return `step ${wanted} does not follow the one before`
    if (transition.hash !== hashOf(transition)) return `step ${wanted} was altered`
    last = transition
  }
  if (last.seq === head.seq && last.hash === head.hash) return undefined
  return last.seq < head.seq
    ? `steps after ${last.seq} are missing`
    : `step ${last.seq} is not the one that was last written`
}

function hashOf(transition: Omit<Transition, 'hash'>): string {
  const { seq, atMs, reviewId, from, to, actor, detail, prevHash } = transition
  const form = { seq, at: atMs, review_id: reviewId, from, to, actor, detail, prev_hash: prevHash }
  return hash('sha256', DOMAIN + canonicalJson(form))
}
