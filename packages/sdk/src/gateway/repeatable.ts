/** Which tool calls may be sent again, and after which failure: an e-mail must not go out twice. */
import { GatewayNetworkError } from './errors.ts'
import { isRetryableError } from './retry.ts'

/** Executing these twice changes nothing. A tool that is not listed is taken to have effects. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'serpapi:search',
  'http_fetch:get',
  'http_fetch:head',
  'openai:chat',
  'openai:complete',
  'gmail_send:profile',
])

/** What the gateway accepts as an idempotency key; with any other text it would refuse the call. */
const IDEMPOTENCY_KEY = /^[A-Za-z0-9_.:-]{8,128}$/

export function isRepeatable(
  tool: string,
  action: string,
  params: Readonly<Record<string, unknown>>,
): boolean {
  return REPEATABLE.has(`${tool}:${action}`) || hasIdempotencyKey(params)
}

/** The gateway executes a key once, so that a keyed call may be sent as often as it takes. */
function hasIdempotencyKey(params: Readonly<Record<string, unknown>>): boolean {
  return [params['idempotency_key'], params['idempotencyKey']].some(
    (key) => typeof key === 'string' && IDEMPOTENCY_KEY.test(key),
  )
}

/** A request that never left may always be sent again, any other only when repeating is harmless. */
export function mayRepeat(error: unknown, repeatable: boolean): boolean {
  if (error instanceof GatewayNetworkError && !error.maybeSent) return true
  return repeatable && isRetryableError(error)
}
