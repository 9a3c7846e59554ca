/**
 * The two methods of the inherited handshake, `authenticate` and `challenge_response`, for agents and
 * operators alike: opens a challenge, judges the answer, opens the session.
 */
import type { Keyring } from '../seal/keyring.ts'
import type { Peer, Principal } from './caller.ts'
import { CHALLENGE_SECONDS, type ChallengeBook } from './challenge.ts'
import { type Answer, type Candidate, LoginRefused, login } from './login.ts'
import type { Session, SessionBook } from './session.ts'
import { proveServer, type ServerProof } from './sig-v2.ts'

export interface AuthenticatorDeps<S> {
  book: ChallengeBook
  sessions: SessionBook
  lookup: (name: string) => Promise<Candidate<S>>
  principal: (subject: S) => Principal
  /** Throws VAULT_LOCKED while sealed. */
  serverKey: () => Keyring['serverKey']
}

/** Result of `authenticate`, as wire contract §6.2 and 5.7 write it. */
export interface ChallengeReply extends Partial<ServerProof> {
  session_id: string
  /** Hex of 32 bytes. */
  challenge: string
  /** Seconds. */
  expires_in: number
  algorithm: 'ed25519'
  features: readonly string[]
}

/** The run a session is opened in. */
export interface JoinedRun {
  readonly txn: string
  /** Epoch ms. */
  readonly expiresAt: number
}

/** The longest name worth remembering; the longest that can log in has 64 characters. */
const MAX_CLAIM_CHARS = 256

export class Authenticator<S> {
  readonly #deps: AuthenticatorDeps<S>

  constructor(deps: AuthenticatorDeps<S>) {
    this.#deps = deps
  }

  /**
   * Opens a challenge, for any name at all.
   *
   * @throws VestryError `VAULT_LOCKED`, `INVALID_PARAMS` for a malformed nonce.
   */
  begin(connection: object, agentName: string, clientNonce?: string): ChallengeReply {
    const serverKey = this.#deps.serverKey()
    // Cutting a name that cannot exist anyway keeps peers from parking megabytes here.
    const name = agentName.slice(0, MAX_CLAIM_CHARS)
    const { bytes, sessionId } = this.#deps.book.open(connection, name)
    const reply: ChallengeReply = {
      session_id: sessionId,
      challenge: Buffer.from(bytes).toString('hex'),
      expires_in: CHALLENGE_SECONDS,
      algorithm: 'ed25519',
      features: ['sig-v2'],
    }
    if (clientNonce === undefined) return reply
    const proof = { challenge: bytes, sessionId, agentName: name }
    return { ...reply, ...proveServer(serverKey, { ...proof, clientNonce: nonce(clientNonce) }) }
  }

  /**
   * Judges the answer and opens the session. A revocation that came while the record was being read finds no
   * session to end, so the record is read once more: from then on the session is there to be found.
   *
   * @param join Asked once the login has succeeded; what it throws refuses the session.
   * @throws LoginRefused; VestryError `VAULT_LOCKED`, or `RATE_LIMITED` for too many sessions.
   */
  async answer(
    connection: object,
    peer: Peer,
    answer: Answer,
    join?: (subject: S) => Promise<JoinedRun>,
  ): Promise<Session> {
    const { book, lookup, principal, serverKey, sessions } = this.#deps
    const serverId = Buffer.from(serverKey().id, 'hex')
    const done = await login({ book, lookup, serverId: () => serverId }, connection, answer)
    const run = await join?.(done.subject)
    const ends = [done.key.expiresAt, run?.expiresAt].filter((end) => end !== undefined)
    const session = sessions.open(connection, {
      id: done.sessionId,
      principal: principal(done.subject),
      peer,
      keyFingerprint: done.key.fingerprint,
      ...(ends.length > 0 && { notAfter: Math.min(...ends) }),
      ...(run !== undefined && { txn: run.txn }),
    })
    const { keys } = await lookup(done.name)
    if (keys.some(({ fingerprint }) => fingerprint === done.key.fingerprint)) return session
    sessions.endWhere((live) => live.id === session.id, 'revoked')
    throw new LoginRefused('bad_signature', done.name, book.failed(connection))
  }
}

function nonce(text: string): Uint8Array {
  // Buffer.from would silently stop at the first character that is no hex digit.
  return Buffer.from(/^[0-9a-fA-F]*$/.test(text) ? text : '', 'hex')
}
