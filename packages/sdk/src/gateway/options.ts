/** The client's options: what they are, what they default to, and what is refused before anything runs. */

import { isTxnToken, type TxnToken } from '../vault/txn-token.ts'
import { invalid } from './errors.ts'
import type { GatewayLogger } from './log.ts'
import { DEFAULT_RETRY, type RetryOptions } from './retry.ts'
import type { Fetch } from './transport.ts'

export interface GatewayClientOptions {
  /** `https://gateway.internal`, with a path prefix if need be; `mock://localhost` for tests without a gateway. */
  baseUrl: string
  agentId: string
  /** PEM, RSA or Ed25519: signs token requests. Text that is no key is never sent and never used. */
  agentPrivateKeyPem: string
  /** Default: none. */
  defaultIntent?: string
  /** Joins a run: tokens and calls end with it. A function is asked at each attempt. Default: none. */
  txnToken?: TxnToken
  /** Milliseconds for each attempt. Default 6 000; a whole call takes at most that times its attempts. */
  timeoutMs?: number
  /** Replace tokens that came from elsewhere as well when they are about to expire. Default false. */
  autoRotate?: boolean
  /** Told of each replacement. */
  onTokenRotated?: (rotation: TokenRotation) => void
  /** Told of each attempt; parameters arrive masked. */
  logger?: GatewayLogger
  /** Default: the 3 retries of the gateway's clients, after 1, 2 and 4 seconds. */
  retry?: Pick<RetryOptions, 'maxRetries' | 'baseDelayMs' | 'maxDelayMs'>
  /** Instead of the built-in one. */
  fetch?: Fetch
}

export interface TokenRotation {
  /** The token that was in use so far. */
  previous: string
  /** The one to use from now on; the client already does. */
  token: string
  /** Milliseconds since the epoch. */
  expiresAtMs: number
}

const NAMES: readonly string[] = [
  'baseUrl',
  'agentId',
  'agentPrivateKeyPem',
  'defaultIntent',
  'txnToken',
  'timeoutMs',
  'autoRotate',
  'onTokenRotated',
  'logger',
  'retry',
  'fetch',
]

const DEFAULT_TIMEOUT_MS = 6_000

/** @throws GatewayError `INVALID_PARAMS` that names the option. */
export function resolveOptions(given: GatewayClientOptions) {
  const unknown = Object.keys(given).find((name) => !NAMES.includes(name))
  if (unknown !== undefined) {
    throw invalid(`Unknown option ${unknown}. Known options: ${NAMES.join(', ')}.`)
  }
  const { agentId, agentPrivateKeyPem, timeoutMs = DEFAULT_TIMEOUT_MS } = given
  if (typeof agentId !== 'string' || agentId === '') throw invalid('agentId must be a text')
  if (typeof agentPrivateKeyPem !== 'string') throw invalid('agentPrivateKeyPem must be a text')
  if (given.txnToken !== undefined && !isTxnToken(given.txnToken)) {
    throw invalid('txnToken must be a transaction token, or a function that gives one')
  }
  if (!isPositive(timeoutMs)) throw invalid('timeoutMs must be a positive number')
  for (const name of ['onTokenRotated', 'logger', 'fetch'] as const) {
    if (given[name] !== undefined && typeof given[name] !== 'function') {
      throw invalid(`${name} must be a function`)
    }
  }
  return {
    ...given,
    url: baseUrlOf(given.baseUrl),
    timeoutMs,
    defaultIntent: given.defaultIntent ?? '',
    autoRotate: given.autoRotate ?? false,
    retry: resolveRetry(given.retry ?? {}),
  }
}

function resolveRetry(given: NonNullable<GatewayClientOptions['retry']>) {
  const {
    maxRetries = DEFAULT_RETRY.maxRetries,
    baseDelayMs = DEFAULT_RETRY.baseDelayMs,
    maxDelayMs = DEFAULT_RETRY.maxDelayMs,
  } = given
  const sound = Number.isInteger(maxRetries) && maxRetries >= 0
  if (!sound || !isPositive(baseDelayMs) || !isPositive(maxDelayMs)) {
    throw invalid('retry needs maxRetries of 0 or more, and positive baseDelayMs and maxDelayMs')
  }
  return { maxRetries, baseDelayMs, maxDelayMs }
}

function baseUrlOf(text: string): URL {
  if (!URL.canParse(text)) throw invalid('baseUrl must be an absolute URL')
  const url = new URL(text)
  if (url.protocol === 'mock:') return url
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw invalid('baseUrl must begin with https:, http: or mock:')
  }
  // Messages quote addresses: a password in one would end up in a log.
  if (url.username !== '' || url.password !== '') throw invalid('baseUrl must not hold a password')
  if (url.search !== '' || url.hash !== '') throw invalid('baseUrl must end with its path')
  return url
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}
