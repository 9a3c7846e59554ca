/** The client's options: what they are, what they default to, and what is refused before anything runs. */

import type { Passphrase } from './key-file.ts'
import { defaultKnownServerPath } from './known-server.ts'
import { DEFAULT_RECONNECT, type ReconnectPolicy } from './retry.ts'
import type { Signer } from './signer.ts'
import { isTxnToken, type TxnToken } from './txn-token.ts'
import { vaultError } from './wire-error.ts'

/** Times are milliseconds. */
export interface ClientOptions {
  /** Default `~/.sanctum/vault.sock`. */
  socketPath?: string
  /** TCP, together with `port`; one alone is an error. */
  host?: string
  port?: number
  /** Default `~/.sanctum/keys/<agent>.key`, or `.key.enc` beside it. */
  keyPath?: string
  /** Opens a `.key.enc` file; a function is called only when one is opened. */
  passphrase?: Passphrase
  /** 32 bytes of Ed25519 seed instead of a file. */
  seed?: Uint8Array
  /** A key held elsewhere: signs the bytes it is given, 64 bytes out, within 30 s. */
  signer?: Signer
  /** Joins a run: what the session takes ends with it. A function is asked at each sign-in. Default: none. */
  txnToken?: TxnToken
  /** For the socket and for each step of the handshake. Default 5 000. */
  connectTimeoutMs?: number
  /** For a whole call, repeats included. Default 35 000. */
  requestTimeoutMs?: number
  /** Sign in again when the session expired. Default true. */
  autoReauth?: boolean
  /** Dial again when the connection is lost. Default `{ retries: 5, minMs: 100, maxMs: 2000 }`. */
  reconnect?: false | ReconnectPolicy
  /** How often one call waits out `RATE_LIMITED`. Default 0. */
  rateLimitRetries?: number
  /** Bound on giving leases back in close(). Default 2 000. */
  releaseOnCloseTimeoutMs?: number
  /** Refuse a key file that others can touch, instead of warning. Default false. */
  strictKeyPermissions?: boolean
  /**
   * The daemon must prove its identity: trusted on first use, refused on change. A string names the
   * file that remembers it. Default false; the default file is `~/.sanctum/known_server`.
   */
  pinServer?: boolean | string
}

const DEFAULTS = {
  connectTimeoutMs: 5_000,
  requestTimeoutMs: 35_000,
  autoReauth: true,
  reconnect: DEFAULT_RECONNECT,
  rateLimitRetries: 0,
  releaseOnCloseTimeoutMs: 2_000,
  strictKeyPermissions: false,
  pinServer: false,
} as const satisfies ClientOptions

const NAMES: readonly string[] = [
  'socketPath',
  'host',
  'port',
  'keyPath',
  'passphrase',
  'seed',
  'signer',
  'txnToken',
  ...Object.keys(DEFAULTS),
]

const AGENT_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

/** The name becomes part of a file name, so its pattern is a safety rule as well. */
export function checkAgentName(name: unknown): asserts name is string {
  if (typeof name === 'string' && AGENT_NAME.test(name)) return
  throw invalid(
    'An agent name is 1 to 64 letters, digits, - or _, and begins with a letter or digit',
  )
}

/** @throws VaultError `INVALID_PARAMS` that names the option. */
export function resolveOptions(given: ClientOptions) {
  for (const name of Object.keys(given)) {
    if (!NAMES.includes(name)) throw unknownOption(name)
  }
  const present = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as ClientOptions // the same members, without those set to undefined
  const options = { ...DEFAULTS, ...present }

  const keys = [options.keyPath, options.seed, options.signer].filter((key) => key !== undefined)
  if (keys.length > 1) throw invalid('Give one of keyPath, seed and signer')
  if (options.signer !== undefined && typeof options.signer !== 'function') {
    throw invalid('signer must be a function')
  }
  if (options.txnToken !== undefined && !isTxnToken(options.txnToken)) {
    throw invalid('txnToken must be a transaction token, or a function that gives one')
  }
  for (const name of ['connectTimeoutMs', 'requestTimeoutMs', 'releaseOnCloseTimeoutMs'] as const) {
    if (!isPositive(options[name])) throw invalid(`${name} must be a positive number`)
  }
  if (!Number.isInteger(options.rateLimitRetries) || options.rateLimitRetries < 0) {
    throw invalid('rateLimitRetries must be an integer, 0 or more')
  }
  if (options.reconnect !== false) checkReconnect(options.reconnect)
  return { ...options, knownServerPath: knownServerPathOf(options.pinServer) }
}

function checkReconnect(policy: ReconnectPolicy): void {
  const { retries, minMs, maxMs } = policy
  const sound = Number.isInteger(retries) && retries >= 1 && isPositive(minMs) && isPositive(maxMs)
  if (!sound || minMs > maxMs) {
    throw invalid('reconnect needs retries of 1 or more, and minMs up to maxMs; or false')
  }
}

function knownServerPathOf(pin: boolean | string): string | undefined {
  if (pin === false) return undefined
  return pin === true ? defaultKnownServerPath() : pin
}

function isPositive(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}

function unknownOption(name: string) {
  const plain = (text: string): string => text.replaceAll('_', '').toLowerCase()
  const meant = NAMES.find((known) => plain(known) === plain(name))
  const suggestion = meant ? `Did you mean ${meant}?` : `Known options: ${NAMES.join(', ')}.`
  return vaultError('INVALID_PARAMS', `Unknown option ${name}`, { suggestion })
}

function invalid(detail: string) {
  return vaultError('INVALID_PARAMS', detail)
}
