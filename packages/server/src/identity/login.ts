/**
 * Answers a challenge: one verdict for every way to be wrong. Unknown, revoked, disabled and malformed
 * names go the way of a wrong signature, through the same number of signature checks.
 */
import { createPublicKey, type KeyObject, randomFillSync } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { Challenge, ChallengeBook } from './challenge.ts'
import { importSeed, SIGNATURE_BYTES, verify } from './ed25519.ts'
import { agentMessage } from './sig-v2.ts'

export interface CandidateKey {
  readonly key: KeyObject
  readonly fingerprint: string
  /** Epoch ms at which a retiring key stops counting. */
  readonly expiresAt?: number
}

/** Who may answer for a name: nobody (`subject` undefined) is a candidate like any other. */
export interface Candidate<S> {
  readonly subject: S | undefined
  /** At most {@link CHECKS_ON_REFUSAL}; newest first. */
  readonly keys: readonly CandidateKey[]
  readonly requireSigV2: boolean
}

export interface Answer {
  sessionId: string
  /** Hex, as received. */
  signature?: string
  signatureV2?: string
}

export interface LoggedIn<S> {
  readonly subject: S
  /** The name that was asked for, and is theirs. */
  readonly name: string
  readonly sessionId: string
  readonly key: CandidateKey
  readonly sigV2: boolean
}

export type RefusalReason =
  | 'no_challenge'
  | 'challenge_expired'
  | 'foreign_session'
  | 'malformed_signature'
  | 'unknown_name'
  | 'sig_v2_required'
  | 'bad_signature'

const NOT_TAKEN = {
  none: 'no_challenge',
  expired: 'challenge_expired',
  foreign: 'foreign_session',
} as const satisfies Record<string, RefusalReason>

/** Every refusal costs this many signature checks, however many keys the name has. */
export const CHECKS_ON_REFUSAL = 2

/** AUTH_FAILED with the same text for all; the true reason is for our log and never serialised. */
export class LoginRefused extends VestryError {
  readonly #reason: RefusalReason
  readonly #claimed: string | undefined

  constructor(reason: RefusalReason, claimed: string | undefined, attemptsLeft: number) {
    super('AUTH_FAILED', undefined, {
      hint: 'Check the agent name, and that the agent is enabled and signs with its current key.',
      context: { attempts_left: attemptsLeft },
    })
    this.#reason = reason
    this.#claimed = claimed
  }

  get reason(): RefusalReason {
    return this.#reason
  }

  /** The name the peer claimed: its words, not a fact. */
  get claimed(): string | undefined {
    return this.#claimed
  }
}

export interface LoginDeps<S> {
  book: ChallengeBook
  lookup: (name: string) => Promise<Candidate<S>>
  /** The daemon's id (32 raw bytes) that signature_v2 covers. */
  serverId: () => Uint8Array
}

/** @throws LoginRefused */
export async function login<S>(
  deps: LoginDeps<S>,
  connection: object,
  answer: Answer,
): Promise<LoggedIn<S>> {
  const refuse = (reason: RefusalReason, claimed: string | undefined) =>
    new LoginRefused(reason, claimed, deps.book.failed(connection))

  const taken = deps.book.take(connection, answer.sessionId)
  if (taken.state !== 'open') throw refuse(NOT_TAKEN[taken.state], taken.agentName)
  const { challenge } = taken

  // Which signature is judged depends on the request alone, never on who is asked for.
  const sigV2 = answer.signatureV2 !== undefined
  const signature = decodeSignature(answer.signatureV2 ?? answer.signature)
  if (signature === undefined) throw refuse('malformed_signature', challenge.agentName)

  const candidate = await deps.lookup(challenge.agentName)
  const message = sigV2 ? v2Message(challenge, deps.serverId()) : challenge.bytes
  const key = firstMatch(candidate.keys, message, signature)
  if (key === undefined) {
    const known = candidate.subject !== undefined
    throw refuse(known ? 'bad_signature' : 'unknown_name', challenge.agentName)
  }
  if (candidate.subject === undefined) throw refuse('unknown_name', challenge.agentName)
  if (candidate.requireSigV2 && !sigV2) throw refuse('sig_v2_required', challenge.agentName)
  deps.book.succeeded(connection)
  const { agentName: name, sessionId } = challenge
  return { subject: candidate.subject, name, sessionId, key, sigV2 }
}

function firstMatch(
  keys: readonly CandidateKey[],
  message: Uint8Array,
  signature: Uint8Array,
): CandidateKey | undefined {
  for (const candidate of keys) if (verify(candidate.key, message, signature)) return candidate
  for (let n = keys.length; n < CHECKS_ON_REFUSAL; n += 1) verify(dummyKey, message, signature)
  return undefined
}

/** Its private half is forgotten at once; it only keeps refusals busy. */
const dummyKey: KeyObject = createPublicKey(importSeed(randomFillSync(new Uint8Array(32))))

function v2Message(challenge: Challenge, serverId: Uint8Array): Uint8Array {
  const { bytes, sessionId, agentName } = challenge
  return agentMessage({ serverId, agentName, sessionId, challenge: bytes })
}

function decodeSignature(hex: string | undefined): Uint8Array | undefined {
  if (hex === undefined || hex.length !== SIGNATURE_BYTES * 2) return undefined
  return /^[0-9a-fA-F]+$/.test(hex) ? Buffer.from(hex, 'hex') : undefined
}
