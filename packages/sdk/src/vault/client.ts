/**
 * The vault client an agent uses: retrieve, list, use, and leases that are given back on close. It
 * holds no secret itself, and printing it shows none.
 */
import { activeTraceparent } from '@vestry/coat/traceparent'
import { asyncDispose } from './async-dispose.ts'
import type { VaultError } from './errors.ts'
import type { Message } from './frame.ts'
import { loadKey } from './key-file.ts'
import { LeaseBook } from './leases.ts'
import { Link, type LinkCall } from './link.ts'
import {
  type CipherOptions,
  type DecryptOptions,
  decryptParams,
  encryptParams,
  given,
  type HeaderOptions,
  type HttpRequest,
  headerParams,
  httpRequestParams,
  leastUseTimeoutMs,
  type SignOptions,
  signParams,
} from './operations.ts'
import { type ClientOptions, checkAgentName, resolveOptions } from './options.ts'
import {
  type AccessCheck,
  arrayMember,
  booleanMember,
  type CredentialEntry,
  type DecryptResult,
  type EncryptResult,
  type HttpHeaderResult,
  type HttpResult,
  type LeaseInfo,
  type LeaseStatus,
  leaseInfo,
  listPage,
  masked,
  type RetrieveResult,
  retrieveResult,
  type SignResult,
  type Status,
  stringMember,
  type UseResult,
  type WhoAmI,
} from './results.ts'
import { type Signer, signerFromSeed } from './signer.ts'
import { type Endpoint, endpointOf, endpointOfOptions, type Target } from './target.ts'
import { within } from './wait.ts'
import { vaultError } from './wire-error.ts'

/** What every call takes. */
export interface RequestOptions {
  /** Copied to the audit log, up to 256 characters; a policy may require it. */
  reason?: string
  /** Milliseconds for the whole call. Default: the client's `requestTimeoutMs`. */
  timeoutMs?: number
  /** Gives the call up with the signal's own reason. */
  signal?: AbortSignal
}

export interface RetrieveOptions extends RequestOptions {
  /** Seconds, 1 or more; the daemon may grant less. Default: what the policy says. */
  ttl?: number
  /** Default: the current version. */
  version?: number
}

export interface ListOptions extends RequestOptions {
  prefix?: string
  tag?: string
  type?: string
}

export interface UseOptions extends RequestOptions {
  /** Executing twice is fine: repeat the call when the connection is lost during it. Default false. */
  idempotent?: boolean
}

/** Pages a list may have before the client stops believing the daemon. */
const MOST_PAGES = 10_000

export class SanctumClient implements AsyncDisposable {
  readonly #agentName: string
  readonly #options: ReturnType<typeof resolveOptions>
  readonly #link: Link
  readonly #leases: LeaseBook
  #endpoint: Endpoint
  #signer: Signer | undefined
  #closing: Promise<void> | undefined
  /** Grows with every connect() and close(): reading a key takes time, and the later call wins. */
  #turn = 0

  /** @throws VaultError `INVALID_PARAMS` for a malformed name, an unknown option or half an address. */
  constructor(agentName: string, options: ClientOptions = {}) {
    checkAgentName(agentName)
    this.#agentName = agentName
    this.#options = resolveOptions(options)
    this.#endpoint = endpointOfOptions(options)
    const { seed, signer } = this.#options
    this.#signer = signer ?? (seed && signerFromSeed(seed))
    // The key object is enough from here on; the caller's bytes are the caller's to wipe.
    delete this.#options.seed
    this.#leases = new LeaseBook(Date.now)
    this.#link = new Link({
      ...this.#options,
      agentName,
      now: Date.now,
      random: Math.random,
    })
  }

  /** Connects, runs `fn`, and closes on every exit. An error of `fn` reaches the caller unchanged. */
  static async with<T>(
    agentName: string,
    fn: (client: SanctumClient) => Promise<T>,
    options: ClientOptions = {},
  ): Promise<T> {
    const client = new SanctumClient(agentName, options)
    try {
      await client.connect()
      return await fn(client)
    } finally {
      await client.close()
    }
  }

  /** Connected and authenticated, as far as this side knows. */
  get connected(): boolean {
    return this.#link.isOpen
  }

  /** Ids of the leases that close() will give back: a copy. */
  get leases(): ReadonlySet<string> {
    return this.#leases.ids()
  }

  /**
   * Connects and authenticates. An open connection is closed first; leases are kept.
   *
   * @param target Overrides the constructor's address, now and for later reconnects.
   * @throws AuthError for the key or the proof; VaultLocked; VaultError `DAEMON_UNREACHABLE`, `TIMEOUT`.
   */
  async connect(target?: Target): Promise<this> {
    if (target !== undefined) this.#endpoint = endpointOf(target)
    this.#turn += 1
    const turn = this.#turn
    await this.#closing
    const signer = this.#signer ?? (await loadKey(this.#agentName, this.#options))
    if (turn !== this.#turn) throw overtaken()
    await this.#link.connect({ endpoint: this.#endpoint, signer })
    return this
  }

  /** The secret as UTF-8 text. A number is `ttl` in seconds. The lease is given back on close(). */
  async retrieve(path: string, options?: number | RetrieveOptions): Promise<string> {
    const bytes = await this.retrieveBytes(path, options)
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    } catch {
      throw vaultError('UNUSABLE_CREDENTIAL', `The secret at ${path} is not UTF-8 text`, {
        suggestion: 'Use retrieveBytes().',
        context: { path },
      })
    } finally {
      bytes.fill(0)
    }
  }

  /** The secret's bytes. They are the caller's: wipe them with `fill(0)` after use. */
  async retrieveBytes(path: string, options?: number | RetrieveOptions): Promise<Uint8Array> {
    const { value } = await this.retrieveRaw(path, options)
    const bytes = new Uint8Array(value.length / 2)
    // Not through Buffer.from, whose memory may be a shared pool.
    for (let at = 0; at < bytes.length; at += 1) {
      bytes[at] = Number.parseInt(value.slice(at * 2, at * 2 + 2), 16)
    }
    return bytes
  }

  /** The whole result: `value` stays hex, with `lease_id`, `ttl` and the rest. */
  async retrieveRaw(path: string, options?: number | RetrieveOptions): Promise<RetrieveResult> {
    const { ttl, version, ...request } =
      typeof options === 'number' ? { ttl: options } : (options ?? {})
    checkWhole('ttl', ttl)
    checkWhole('version', version)
    const reply = await this.#call('retrieve', { path, ttl, version }, request, {
      onLate: (late) => this.#releaseQuietly(late['lease_id']),
    })
    const result = this.#granted(reply)
    this.#leases.add(result.lease_id, result.ttl)
    return result
  }

  /** Everything this agent may see, all pages of it, in the daemon's order (by path). */
  async list(options: ListOptions = {}): Promise<CredentialEntry[]> {
    const { prefix, tag, type, ...request } = options
    const all: CredentialEntry[] = []
    const seen = new Set<string>()
    let cursor: string | undefined
    do {
      const page = listPage(await this.#call('list', { prefix, tag, type, cursor }, request))
      all.push(...page.entries)
      cursor = page.cursor
      if (cursor === undefined) break
      if (seen.has(cursor) || seen.size >= MOST_PAGES) {
        throw vaultError('INTERNAL_ERROR', "The daemon's pages of the list do not end")
      }
      seen.add(cursor)
    } while (cursor !== undefined)
    return all
  }

  /** Gives a lease back. @throws LeaseExpired when it ran out before; then it is forgotten as well. */
  async releaseLease(leaseId: string, options: RequestOptions = {}): Promise<void> {
    try {
      await this.#call('release_lease', { lease_id: leaseId }, options)
      this.#leases.remove(leaseId)
    } catch (error) {
      if (endsLease(error)) this.#leases.remove(leaseId)
      throw error
    }
  }

  /** A new end for a lease: now + `ttl` seconds, as far as policy allows. */
  async renewLease(
    leaseId: string,
    ttl?: number,
    options: RequestOptions = {},
  ): Promise<LeaseInfo> {
    checkWhole('ttl', ttl)
    try {
      const info = leaseInfo(await this.#call('renew_lease', { lease_id: leaseId, ttl }, options))
      if (this.#leases.has(leaseId)) this.#leases.add(leaseId, info.ttl)
      return info
    } catch (error) {
      if (endsLease(error)) this.#leases.remove(leaseId)
      throw error
    }
  }

  /** This agent's leases, or the one that is named. */
  async leaseStatus(leaseId?: string, options: RequestOptions = {}): Promise<LeaseStatus[]> {
    const result = await this.#call('lease_status', { lease_id: leaseId }, options)
    return arrayMember(result, 'lease_status', 'leases') as LeaseStatus[] // as documented on the wire
  }

  /** Has the daemon do something with a credential. The result's members are the operation's own. */
  async use<R = UseResult>(
    path: string,
    operation: string,
    params?: Record<string, unknown>,
    options: UseOptions = {},
  ): Promise<R> {
    const { idempotent, ...request } = options
    const least = leastUseTimeoutMs(operation, params ?? {})
    const asked = request.timeoutMs ?? this.#options.requestTimeoutMs
    const result = await this.#call(
      'use',
      { path, operation, params },
      { ...request, timeoutMs: Math.max(asked, least) },
      { idempotent },
    )
    if (operation === 'http_header') masked(result, ['header', 'header_value'])
    return result as R // the caller names the shape of the operation it asked for
  }

  useCredential<R = UseResult>(
    path: string,
    operation: string,
    params?: Record<string, unknown>,
    options?: UseOptions,
  ): Promise<R> {
    return this.use<R>(path, operation, params, options)
  }

  /** An HTTP request made by the daemon with the credential injected; the agent sees the response. */
  httpRequest(path: string, request: HttpRequest, options?: UseOptions): Promise<HttpResult> {
    return this.use<HttpResult>(path, 'http_request', httpRequestParams(request), options)
  }

  /** A ready header. It reveals the secret: prefer {@link httpRequest}. */
  httpHeader(
    path: string,
    header: HeaderOptions = {},
    options?: UseOptions,
  ): Promise<HttpHeaderResult> {
    return this.use<HttpHeaderResult>(path, 'http_header', headerParams(header), options)
  }

  sign(
    path: string,
    data: string | Uint8Array,
    sign: SignOptions = {},
    options?: UseOptions,
  ): Promise<SignResult> {
    return this.use<SignResult>(path, 'sign', signParams(data, sign), options)
  }

  /** @param signature Base64 or hex. */
  async verify(
    path: string,
    data: string | Uint8Array,
    signature: string,
    sign: SignOptions = {},
    options?: UseOptions,
  ): Promise<boolean> {
    const params = { ...signParams(data, sign), signature }
    return booleanMember(await this.use(path, 'verify', params, options), 'verify', 'valid')
  }

  encrypt(
    path: string,
    data: string | Uint8Array,
    cipher: CipherOptions = {},
    options?: UseOptions,
  ): Promise<EncryptResult> {
    return this.use<EncryptResult>(path, 'encrypt', encryptParams(data, cipher), options)
  }

  decrypt(
    path: string,
    ciphertext: string,
    cipher: DecryptOptions = {},
    options?: UseOptions,
  ): Promise<DecryptResult> {
    return this.use<DecryptResult>(path, 'decrypt', decryptParams(ciphertext, cipher), options)
  }

  /** May I? Asks policy and executes nothing. The action is e.g. `retrieve` or `use:http_request`. */
  async checkAccess(
    path: string,
    action: string | { operation: string; params?: Record<string, unknown> },
    options: RequestOptions = {},
  ): Promise<AccessCheck> {
    const what = typeof action === 'string' ? { action } : action
    const result = await this.#call('check_access', { path, ...what }, options)
    return { ...result, allowed: booleanMember(result, 'check_access', 'allowed') }
  }

  async whoami(options: RequestOptions = {}): Promise<WhoAmI> {
    const result = await this.#call('whoami', {}, options)
    stringMember(result, 'whoami', 'agent')
    return result as unknown as WhoAmI // as documented on the wire
  }

  async status(options: RequestOptions = {}): Promise<Status> {
    const result = await this.#call('status', {}, options)
    booleanMember(result, 'status', 'sealed')
    return result as unknown as Status // as documented on the wire
  }

  /** Ends the session and keeps the socket. Every later call is refused until connect(). */
  async logout(options: RequestOptions = {}): Promise<void> {
    await this.#call('logout', {}, options)
    this.#link.forgetSession()
  }

  /**
   * Gives back every lease it tracks, at once and within `releaseOnCloseTimeoutMs`, then disconnects.
   * Never throws; a second call waits for the first. connect() opens the client again.
   */
  close(): Promise<void> {
    this.#turn += 1
    this.#closing ??= this.#shutDown().finally(() => {
      this.#closing = undefined
    })
    return this.#closing
  }

  [asyncDispose](): Promise<void> {
    return this.close()
  }

  retrieve_raw(path: string, options?: number | RetrieveOptions): Promise<RetrieveResult> {
    return this.retrieveRaw(path, options)
  }

  release_lease(leaseId: string): Promise<void> {
    return this.releaseLease(leaseId)
  }

  use_credential<R = UseResult>(
    path: string,
    operation: string,
    params?: Record<string, unknown>,
    options?: UseOptions,
  ): Promise<R> {
    return this.use<R>(path, operation, params, options)
  }

  async #call(
    method: string,
    params: Message,
    { reason, timeoutMs, signal }: RequestOptions,
    extra: Pick<LinkCall, 'onLate' | 'idempotent'> = {},
  ): Promise<Message> {
    if (this.#closing) throw closed()
    const message = given({ ...params, reason, traceparent: activeTraceparent() })
    return this.#link.call(method, message, { timeoutMs, signal, ...extra })
  }

  async #shutDown(): Promise<void> {
    this.#link.abandonCalls(closed())
    if (this.#link.isOpen) {
      const releases = [...this.#leases.ids()].map((id) => this.#release(id))
      const late = () => closed()
      const bound = { ms: this.#options.releaseOnCloseTimeoutMs, late }
      await within(Promise.allSettled(releases), bound).catch(() => {})
    }
    this.#leases.clear()
    await this.#link.close()
  }

  #granted(reply: Message): RetrieveResult {
    try {
      return retrieveResult(reply)
    } catch (error) {
      this.#releaseQuietly(reply['lease_id'])
      throw error
    }
  }

  /** A lease the caller never saw: its call was given up, or its reply was malformed. */
  #releaseQuietly(leaseId: unknown): void {
    if (typeof leaseId === 'string') this.#release(leaseId).catch(() => {})
  }

  #release(leaseId: string): Promise<Message> {
    const timeoutMs = this.#options.releaseOnCloseTimeoutMs
    return this.#link.call('release_lease', { lease_id: leaseId }, { timeoutMs, reconnect: false })
  }
}

/** The daemon no longer holds the lease, so there is nothing left to give back. */
function endsLease(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'LEASE_EXPIRED' || code === 'LEASE_NOT_FOUND'
}

function checkWhole(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) return
  throw vaultError('INVALID_PARAMS', `${name} must be a whole number, 1 or more`)
}

function overtaken(): VaultError {
  return vaultError('CONNECTION_CLOSED', 'connect() was overtaken by a later connect() or close()')
}

function closed(): VaultError {
  return vaultError('CONNECTION_CLOSED', 'The client was closed', {
    suggestion: 'Call connect() to use it again.',
  })
}
