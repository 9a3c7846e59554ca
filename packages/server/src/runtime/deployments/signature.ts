/** Whether a request comes from the provider that it names: each one's own scheme, over the bytes as they came. Pure. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { WebhookProvider } from '../../dsl/definition.ts'

export interface SignedRequest {
  readonly provider: WebhookProvider
  readonly header: (name: string) => string | undefined
  readonly body: Uint8Array
  /** Epoch ms. */
  readonly nowMs: number
}

/** A signature that is older, or newer, than this is refused, where a provider signs the time. */
const FRESH_SECONDS = 300
const HEX = /^[0-9a-f]{64}$/
const SECONDS = /^\d{1,12}$/
/** While a secret is replaced, Stripe signs with each of both. */
const MAX_SIGNATURES = 8

/** Where each provider puts its signature. */
const HEADERS: Readonly<Record<WebhookProvider, string>> = {
  github: 'x-hub-signature-256',
  gitlab: 'x-gitlab-token',
  slack: 'x-slack-signature',
  stripe: 'stripe-signature',
  custom: 'x-signature',
}

/** Whether there is a signature to look at. @param provider Undefined: of any of them. */
export function hasSignature(
  header: SignedRequest['header'],
  provider: WebhookProvider | undefined,
): boolean {
  const names = provider === undefined ? Object.values(HEADERS) : [HEADERS[provider]]
  return names.some((name) => (header(name) ?? '') !== '')
}

export function isSigned(request: SignedRequest, secret: Uint8Array): boolean {
  // Anybody can compute what an empty secret signs.
  if (secret.length === 0) return false
  switch (request.provider) {
    case 'github':
      return isGithub(request, secret)
    case 'gitlab':
      return isSameText(request.header('x-gitlab-token'), secret)
    case 'slack':
      return isSlack(request, secret)
    case 'stripe':
      return isStripe(request, secret)
    case 'custom':
      return isHex(request.header('x-signature')?.replace(/^sha256=/, ''), secret, [request.body])
  }
}

function isGithub({ header, body }: SignedRequest, secret: Uint8Array): boolean {
  const given = header('x-hub-signature-256')
  return given?.startsWith('sha256=') === true && isHex(given.slice(7), secret, [body])
}

function isSlack({ header, body, nowMs }: SignedRequest, secret: Uint8Array): boolean {
  const at = header('x-slack-request-timestamp') ?? ''
  const given = header('x-slack-signature')
  if (!isFresh(at, nowMs) || given?.startsWith('v0=') !== true) return false
  return isHex(given.slice(3), secret, [`v0:${at}:`, body])
}

function isStripe({ header, body, nowMs }: SignedRequest, secret: Uint8Array): boolean {
  const parts = (header('stripe-signature') ?? '').split(',').map((part) => part.trim())
  const times = parts.filter((part) => part.startsWith('t=')).map((part) => part.slice(2))
  const given = parts.filter((part) => part.startsWith('v1=')).map((part) => part.slice(3))
  const [at = ''] = times
  // Two times would be two requests in one.
  if (times.length !== 1 || given.length > MAX_SIGNATURES || !isFresh(at, nowMs)) return false
  return given.some((one) => isHex(one, secret, [`${at}.`, body]))
}

function isFresh(at: string, nowMs: number): boolean {
  return SECONDS.test(at) && Math.abs(nowMs / 1_000 - Number(at)) <= FRESH_SECONDS
}

function isHex(
  given: string | undefined,
  secret: Uint8Array,
  signed: readonly (string | Uint8Array)[],
): boolean {
  if (given === undefined || !HEX.test(given)) return false
  const hmac = createHmac('sha256', secret)
  for (const part of signed) hmac.update(part)
  return timingSafeEqual(hmac.digest(), Buffer.from(given, 'hex'))
}

/** Compared as keyed hashes: equal lengths, and nothing to learn from how long it takes. */
function isSameText(given: string | undefined, secret: Uint8Array): boolean {
  if (given === undefined) return false
  const key = randomBytes(32)
  const digest = (value: Uint8Array) => createHmac('sha256', key).update(value).digest()
  // Headers come as Latin-1, a character for each byte that was sent.
  return timingSafeEqual(digest(Buffer.from(given, 'latin1')), digest(secret))
}
