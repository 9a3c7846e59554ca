/**
 * Resolves a host once and vets every answer (wire contract §8.3): one forbidden address refuses the request.
 * The connector then uses only addresses that came out of here.
 */
import { lookup } from 'node:dns/promises'
import { VestryError } from '@vestry/contract/errors'
import { type AddressRules, parseAddress, refuse } from './addresses.ts'
import { markTransient } from './failure.ts'
import type { Target } from './url.ts'

/** All A and AAAA records of a name as text; an empty list when it has none. */
export type Resolver = (host: string) => Promise<readonly string[]>

/** An address that passed. */
export interface VettedAddress {
  text: string
  bytes: Uint8Array
}

export interface ResolveDeps {
  resolver: Resolver
  rules: AddressRules
}

const BUDGET_MS = 5_000

/** The operating system's resolver, hosts file included. Not cached here: each request sees the present answer. */
export const systemResolver: Resolver = async (host) => {
  try {
    return (await lookup(host, { all: true, order: 'verbatim' })).map((answer) => answer.address)
  } catch (error) {
    if (hasCode(error, 'ENOTFOUND') || hasCode(error, 'ENODATA')) return []
    throw error
  }
}

/**
 * The addresses that `target` may be reached at, in resolver order.
 *
 * @throws VestryError `SSRF_BLOCKED` if any is forbidden, `UPSTREAM_ERROR` if there is none,
 *   `UPSTREAM_TIMEOUT` after 5 s; whatever aborted `signal`, unchanged.
 */
export async function vet(
  target: Target,
  { resolver, rules }: ResolveDeps,
  signal: AbortSignal,
): Promise<VettedAddress[]> {
  const answers =
    target.literal === undefined
      ? await answersFor(target.host, resolver, signal)
      : [target.host.replace(/^\[|\]$/g, '')]
  if (answers.length === 0) {
    throw markTransient(
      new VestryError('UPSTREAM_ERROR', `Host "${target.host}" has no address`, {
        context: { host: target.host },
      }),
    )
  }
  // Vetted in full before any is used: a forbidden address anywhere spoils the answer.
  return [...new Set(answers)].map((text) => {
    const bytes = parseAddress(text)
    const reason = bytes === undefined ? 'scoped' : refuse(bytes, target.port, rules)
    if (bytes === undefined || reason !== undefined) throw blocked(target.host, reason)
    return { text, bytes }
  })
}

/** @param reason Name of the range; the address itself stays unsaid, since it would map the inner network. */
function blocked(host: string, reason: string | undefined): VestryError {
  return new VestryError(
    'SSRF_BLOCKED',
    `Host "${host}" has an address that is not allowed: ${reason}`,
    {
      hint: 'An operator can open a block of addresses with egress.allow_cidrs.',
      context: { host, range: reason },
    },
  )
}

/** The resolver cannot be cancelled, so its late answer is dropped. */
async function answersFor(
  host: string,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<readonly string[]> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  const timer = setTimeout(
    () => reject(new VestryError('UPSTREAM_TIMEOUT', `Resolving "${host}" took too long`)),
    BUDGET_MS,
  )
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([resolver(host), promise])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
