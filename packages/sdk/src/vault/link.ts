/**
 * Keeps one authenticated connection for a client: signs in, signs in again when the session ends,
 * dials again when the socket goes. What is repeated and what is not is decided in retry.ts.
 */
import { RpcConnection } from './connection.ts'
import { RateLimited, VaultError } from './errors.ts'
import type { Message } from './frame.ts'
import {
  backoffMs,
  type Failure,
  nextStep,
  type ReconnectPolicy,
  worthRedialling,
} from './retry.ts'
import type { Signer } from './signer.ts'
import type { Endpoint } from './target.ts'
import type { TxnToken } from './txn-token.ts'
import { sleep, within } from './wait.ts'
import { vaultError } from './wire-error.ts'

export interface LinkDeps {
  agentName: string
  connectTimeoutMs: number
  requestTimeoutMs: number
  autoReauth: boolean
  reconnect: ReconnectPolicy | false
  rateLimitRetries: number
  knownServerPath: string | undefined
  txnToken?: TxnToken
  /** Epoch milliseconds. */
  now: () => number
  /** In [0, 1). */
  random: () => number
}

export interface LinkCall {
  /** Milliseconds for the whole call, repeats and waits included. */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
  idempotent?: boolean | undefined
  /** False: only over the connection that is open now. */
  reconnect?: boolean | undefined
  onLate?: ((result: Message) => void) | undefined
}

/** A confirmed session on a connection; `epoch` grows with each new proof on it. */
interface Session {
  readonly connection: RpcConnection
  epoch: number
}

type State =
  | { kind: 'idle' }
  | { kind: 'connecting'; ready: Promise<Session> }
  | { kind: 'open'; session: Session }
  /** The next call dials again. */
  | { kind: 'lost'; error: VaultError }
  /** The daemon refused the key: only connect() tries again, or every call would count as an attack. */
  | { kind: 'refused'; error: VaultError }

interface Address {
  endpoint: Endpoint
  signer: Signer
}

export class Link {
  readonly #deps: LinkDeps
  #state: State = { kind: 'idle' }
  /** Where the last connect() went; a reconnect goes there again. */
  #address: Address | undefined
  /** Stops the dialling that is under way. */
  #dialling = new AbortController()
  #renewing: Promise<void> | undefined
  #loggedOut = false
  /** The client is closing: what was given up is not sent again. */
  #draining = false

  constructor(deps: LinkDeps) {
    this.#deps = deps
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open' && this.#state.session.connection.isOpen && !this.#loggedOut
  }

  /** Replaces whatever connection there is. Fails at the first failure: only losses are retried. */
  async connect(address: Address): Promise<void> {
    this.disconnect(vaultError('CONNECTION_CLOSED', 'The connection was replaced by connect()'))
    this.#address = address
    this.#loggedOut = false
    this.#draining = false
    await this.#begin(
      (signal) => this.#dial(address, signal),
      () => ({ kind: 'idle' }),
    )
  }

  /** Ends the connection at once; pending calls are rejected with `error`. */
  disconnect(error: VaultError): void {
    const state = this.#state
    this.#state = { kind: 'idle' }
    this.#dialling.abort(error)
    this.#dialling = new AbortController()
    if (state.kind === 'open') state.session.connection.destroy(error)
  }

  /** Ends the connection after what was written is flushed. */
  async close(): Promise<void> {
    const state = this.#state
    this.#state = { kind: 'idle' }
    this.#dialling.abort(notConnected())
    this.#dialling = new AbortController()
    this.#address = undefined
    if (state.kind === 'open') await state.session.connection.close()
  }

  /** Rejects what is pending on the open connection, for good, and keeps the connection. */
  abandonCalls(error: VaultError): void {
    this.#draining = true
    if (this.#state.kind === 'open') this.#state.session.connection.abandonCalls(error)
  }

  /** Calls are refused until connect(), instead of quietly beginning a new session. */
  forgetSession(): void {
    this.#loggedOut = true
  }

  /** @throws VaultError as {@link RpcConnection.call}, after the remedies that the rules allow. */
  async call(method: string, params: Message, options: LinkCall = {}): Promise<Message> {
    const timeoutMs = options.timeoutMs ?? this.#deps.requestTimeoutMs
    const deadline = this.#deps.now() + timeoutMs
    const tries = { reauthenticated: false, repeated: false, rateLimited: 0 }
    const bound = () => ({
      ms: deadline - this.#deps.now(),
      signal: options.signal,
      late: () => outOfTime(method, timeoutMs),
    })
    for (;;) {
      let session: Session | undefined
      let epoch = 0
      try {
        session = await this.#ready(options, bound())
        epoch = session.epoch
        return await session.connection.call(method, params, {
          timeoutMs: Math.max(deadline - this.#deps.now(), 1),
          signal: options.signal,
          onLate: options.onLate,
        })
      } catch (error) {
        // Without a session the failure is that of dialling, which has had its retries.
        if (!session || !(error instanceof VaultError)) throw error
        const step = nextStep(failureOf(error, method, options.idempotent ?? false, tries), {
          autoReauth: this.#deps.autoReauth && !this.#loggedOut,
          reconnect:
            !this.#draining && this.#deps.reconnect !== false && options.reconnect !== false,
          rateLimitRetries: this.#deps.rateLimitRetries,
        })
        if (step.do === 'fail') throw error
        if (step.do === 'reauthenticate') {
          tries.reauthenticated = true
          await within(this.#renew(session, epoch), bound()).catch((failed: unknown) => {
            // The call itself was refused unexecuted, so a new connection may carry it.
            const lost = failed instanceof VaultError && failed.code === 'CONNECTION_CLOSED'
            if (!lost || this.#draining || options.reconnect === false) throw failed
            tries.repeated = true
          })
        } else if (step.do === 'reconnect') {
          tries.repeated = true
        } else {
          tries.rateLimited += 1
          if (step.ms > deadline - this.#deps.now()) throw error
          await sleep(step.ms, options.signal)
        }
      }
    }
  }

  async #ready(options: LinkCall, bound: Parameters<typeof within>[1]): Promise<Session> {
    if (this.#loggedOut) throw loggedOut()
    // Its failure belongs to those who met the expiry; this call then learns the state for itself.
    if (this.#renewing)
      await within(
        this.#renewing.catch(() => {}),
        bound,
      )
    switch (this.#state.kind) {
      case 'open':
        return this.#state.session
      case 'connecting':
        return within(this.#state.ready, bound)
      case 'lost':
        if (this.#deps.reconnect === false || options.reconnect === false) throw this.#state.error
        return within(this.#restore(this.#deps.reconnect), bound)
      case 'refused':
        throw this.#state.error
      case 'idle':
        throw notConnected()
    }
  }

  /** Runs one attempt to get a session; its outcome becomes the state unless it was overtaken. */
  #begin(
    attempt: (signal: AbortSignal) => Promise<Session>,
    failed: (error: VaultError) => State,
  ): Promise<Session> {
    const { signal } = this.#dialling
    const ready = attempt(signal).then(
      (session) => {
        if (signal.aborted) {
          session.connection.destroy()
          throw signal.reason
        }
        this.#state = { kind: 'open', session }
        session.connection.onEnd((error) => this.#lose(session, error))
        return session
      },
      (error: unknown) => {
        if (!signal.aborted) this.#state = failed(asVaultError(error))
        throw error
      },
    )
    this.#state = { kind: 'connecting', ready }
    // Whoever waits gets the rejection; a reconnect in the background may have nobody waiting.
    ready.catch(() => {})
    return ready
  }

  async #dial({ endpoint, signer }: Address, signal: AbortSignal): Promise<Session> {
    const target = endpoint.kind === 'unix' ? endpoint.path : endpoint
    const timeoutMs = this.#deps.connectTimeoutMs
    const connection = await RpcConnection.open(target, { timeoutMs, signal })
    try {
      await this.#prove(connection, signer, signal)
      return { connection, epoch: 1 }
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  #prove(connection: RpcConnection, signer: Signer, signal: AbortSignal): Promise<unknown> {
    return connection.authenticate(this.#deps.agentName, signer, {
      timeoutMs: this.#deps.connectTimeoutMs,
      knownServerPath: this.#deps.knownServerPath,
      txnToken: this.#deps.txnToken,
      signal,
    })
  }

  #lose(session: Session, error: VaultError): void {
    if (this.#state.kind !== 'open' || this.#state.session !== session) return
    this.#state = { kind: 'lost', error }
    if (this.#deps.reconnect && !this.#loggedOut) void this.#restore(this.#deps.reconnect)
  }

  /** Dials again after a loss, with growing pauses. The pauses end with the policy's last attempt. */
  #restore(policy: ReconnectPolicy): Promise<Session> {
    const address = this.#address
    if (!address) return Promise.reject(notConnected())
    const attempts = async (signal: AbortSignal): Promise<Session> => {
      for (let attempt = 0; ; attempt += 1) {
        await sleep(backoffMs(attempt, policy, this.#deps.random()), signal)
        try {
          return await this.#dial(address, signal)
        } catch (error) {
          const hopeless = !(error instanceof VaultError && worthRedialling(error.code))
          if (signal.aborted || hopeless || attempt + 1 >= policy.retries) throw error
        }
      }
    }
    return this.#begin(attempts, afterLoss)
  }

  /** A new proof on the same connection, once for all callers that met the same expiry. */
  #renew(session: Session, seenEpoch: number): Promise<void> {
    if (this.#renewing) return this.#renewing
    const address = this.#address
    if (session.epoch !== seenEpoch || !session.connection.isOpen || !address) {
      return Promise.resolve()
    }
    const renewing = this.#prove(session.connection, address.signer, this.#dialling.signal)
      .then(
        () => {
          session.epoch += 1
        },
        (error: unknown) => {
          if (error instanceof VaultError && error.code === 'AUTH_FAILED')
            this.#refuse(session, error)
          throw error
        },
      )
      .finally(() => {
        this.#renewing = undefined
      })
    renewing.catch(() => {})
    this.#renewing = renewing
    return renewing
  }

  #refuse(session: Session, error: VaultError): void {
    if (this.#state.kind === 'open' && this.#state.session === session) {
      this.#state = { kind: 'refused', error }
    }
    session.connection.destroy()
  }
}

function afterLoss(error: VaultError): State {
  return error.code === 'AUTH_FAILED' ? { kind: 'refused', error } : { kind: 'lost', error }
}

function failureOf(
  error: VaultError,
  method: string,
  idempotent: boolean,
  tries: { reauthenticated: boolean; repeated: boolean; rateLimited: number },
): Failure {
  return {
    code: error.code,
    method,
    idempotent,
    maybeExecuted: error.context['maybe_executed'] !== false,
    retryAfterMs: error instanceof RateLimited ? error.retryAfterMs : undefined,
    ...tries,
  }
}

function asVaultError(error: unknown): VaultError {
  if (error instanceof VaultError) return error
  return vaultError('INTERNAL_ERROR', 'The connection could not be made', { cause: error })
}

function notConnected(): VaultError {
  return vaultError('CONNECTION_CLOSED', 'The client is not connected', {
    suggestion: 'Call connect() first.',
    context: { maybe_executed: false },
  })
}

function loggedOut(): VaultError {
  return vaultError('SESSION_EXPIRED', 'The session was ended by logout()', {
    suggestion: 'Call connect() to begin a new one.',
  })
}

function outOfTime(method: string, timeoutMs: number): VaultError {
  return vaultError('TIMEOUT', `${method} could not be sent within ${timeoutMs} ms`, {
    suggestion: 'Check that the daemon is running.',
    context: { method, timeout_ms: timeoutMs, maybe_executed: false },
  })
}
