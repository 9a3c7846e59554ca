/**
 * Says once which agent this process is. The daemon asks the kernel which process that is, so nothing that is sent
 * later has to say it again. What is claimed belongs to the process: closing the client gives nothing back.
 */
import { asyncDispose } from '../vault/async-dispose.ts'
import type { ClaimableAgent, ClaimInfo, GrantedClaim, WhoAmI } from './answers.ts'
import { PodConnection } from './connection.ts'
import { agentToken, identitySocket } from './environment.ts'
import { ClaimError } from './errors.ts'
import { Renewal } from './renewal.ts'

export interface InPodClientOptions {
  /** Default: `ENVPOD_IDENTITY_SOCKET`, else `/run/envpod/identity.sock`. */
  readonly socketPath?: string | undefined
  /** Longest wait for one answer, and for the connection. Default 10 000. */
  readonly timeoutMs?: number | undefined
}

export interface ClaimOptions {
  /** 1 to what the agent's terms allow; default 3600, or that. */
  readonly ttlSecs?: number | undefined
  /** `tree`: also the processes that this one starts, where the agent's terms allow it. Default `process`. */
  readonly scope?: 'process' | 'tree' | undefined
  /** A part of the agent's; default all of them. */
  readonly capabilities?: readonly string[] | undefined
  /** Renews at half of its life, until released or the client is closed. Default false. */
  readonly autoRenew?: boolean | undefined
  /** The agent's own. Default: `ENVPOD_AGENT_TOKEN`, unless `ENVPOD_AGENT_NAME` is another agent. */
  readonly token?: string | undefined
  /** Takes the place of a claim that this process holds. Default false. */
  readonly replace?: boolean | undefined
  /** Called once when `autoRenew` has come to its end: the claim is over, or will be. */
  readonly onRenewError?: ((error: ClaimError) => void) | undefined
}

const DEFAULT_TIMEOUT_MS = 10_000

type Answer = Readonly<Record<string, unknown>>

export class InPodClient {
  readonly socketPath: string
  readonly #timeoutMs: number
  #connection: Promise<PodConnection> | undefined
  #renewal: Renewal | undefined
  #closed = false

  constructor(options: InPodClientOptions = {}) {
    const { socketPath, timeoutMs = DEFAULT_TIMEOUT_MS } = options
    this.socketPath = socketPath ?? identitySocket()
    if (!Number.isFinite(timeoutMs) || timeoutMs <= 0)
      throw new ClaimError('bad_request', 'timeoutMs must be a number above 0')
    this.#timeoutMs = timeoutMs
  }

  /** @throws ClaimError */
  async claim(name: string, options: ClaimOptions = {}): Promise<GrantedClaim> {
    const { ttlSecs, scope, capabilities, replace, autoRenew = false, onRenewError } = options
    const answer = await this.#request('claim', {
      agent: name,
      ttl_secs: ttlSecs,
      scope,
      capabilities,
      replace,
      token: options.token ?? agentToken(name),
    })
    const claim = claimOf(answer)
    this.#renewal?.stop()
    this.#renewal = undefined
    if (autoRenew && !this.#closed) this.#renewal = this.#keep(claim, { ttlSecs, onRenewError })
    return claim
  }

  /** @param claim Its id; default the one that this process holds. @throws ClaimError */
  async renew(
    options: { claimId?: string | undefined; ttlSecs?: number | undefined } = {},
  ): Promise<GrantedClaim> {
    const { claimId, ttlSecs } = options
    return claimOf(await this.#request('renew', { claim_id: claimId, ttl_secs: ttlSecs }))
  }

  /** @returns the id of the claim that is over. @throws ClaimError */
  async release(claimId?: string): Promise<string> {
    this.#renewal?.stop()
    this.#renewal = undefined
    const { released } = await this.#request('release', { claim_id: claimId })
    if (typeof released !== 'string') throw badAnswer()
    return released
  }

  /** @throws ClaimError */
  async whoami(): Promise<WhoAmI> {
    const { ok: _, id: __, ...answer } = await this.#request('whoami', {})
    if (answer['claim_kind'] !== 'claimed' && answer['claim_kind'] !== 'anonymous')
      throw badAnswer()
    return answer as unknown as WhoAmI // the daemon's own words
  }

  /** Agents that can be claimed here. @throws ClaimError */
  async agents(): Promise<readonly ClaimableAgent[]> {
    const { agents } = await this.#request('agents', {})
    if (!Array.isArray(agents)) throw badAnswer()
    return agents as ClaimableAgent[] // the daemon's own words
  }

  /** Ends the connection, and the renewing. The claim lasts until it expires or this process ends. */
  async close(): Promise<void> {
    this.#closed = true
    this.#renewal?.stop()
    this.#renewal = undefined
    const connection = await this.#connection?.catch(() => undefined)
    connection?.close()
  }

  [asyncDispose](): Promise<void> {
    return this.close()
  }

  #keep(
    claim: GrantedClaim,
    { ttlSecs, onRenewError }: Pick<ClaimOptions, 'ttlSecs' | 'onRenewError'>,
  ): Renewal {
    return new Renewal({
      expiresAtMs: Date.parse(claim.expires_at),
      renew: async () => {
        const renewed = await this.renew({ claimId: claim.claim_id, ttlSecs })
        return Date.parse(renewed.expires_at)
      },
      onError: (error) => onRenewError?.(error),
    })
  }

  async #request(type: string, members: Answer): Promise<Answer> {
    if (this.#closed) throw new ClaimError('closed', 'the client was closed')
    const connection = await this.#open()
    if (this.#closed) connection.close()
    const answer = await connection.request({ type, ...members }, this.#timeoutMs)
    if (answer['ok'] === true) return answer
    const { error, message } = answer
    if (typeof error !== 'string') throw badAnswer()
    throw new ClaimError(error, typeof message === 'string' ? message : error)
  }

  /** The one there is, or a new one: the daemon may have been started anew. */
  #open(): Promise<PodConnection> {
    const open = () => PodConnection.open(this.socketPath, this.#timeoutMs)
    const opening =
      this.#connection?.then((before) => (before.isOpen ? before : open()), open) ?? open()
    this.#connection = opening
    return opening
  }
}

function claimOf({ claim, token }: Answer): GrantedClaim {
  if (typeof claim !== 'object' || claim === null || typeof token !== 'string') throw badAnswer()
  const info = claim as ClaimInfo // the daemon's own words
  if (typeof info.claim_id !== 'string' || Number.isNaN(Date.parse(info.expires_at)))
    throw badAnswer()
  return { ...info, token }
}

function badAnswer(): ClaimError {
  return new ClaimError('bad_answer', 'the answer is none of this protocol')
}
