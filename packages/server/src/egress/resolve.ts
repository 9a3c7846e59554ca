/**
 * Resolves a host once and vets every answer (wire contract §8.3): one forbidden address refuses the request.
 * The connector then uses only addresses that came out of here.
 */
import { lookup } from 'node:dns/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
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

/** One question that was put to the resolver, and what became of it. */
export interface Lookup {
  readonly host: string
  /** `deny`: an answer was forbidden. */
  readonly decision: 'allow' | 'deny'
  /** How many addresses came back; the addresses themselves would map the inner network. */
  readonly addresses: number
  readonly latencyMs: number
  /** Code of what went wrong instead. */
  readonly error?: string
}

/** Hears of every real lookup: an address that stands in a URL is none. */
export type OnLookup = (lookup: Lookup) => void

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
  deps: ResolveDeps,
  signal: AbortSignal,
  onLookup?: OnLookup,
): Promise<VettedAddress[]> {
  if (target.literal !== undefined)
    return vetted(target, [target.host.replace(/^\[|\]$/g, '')], deps)
  const startedMs = performance.now()
  const told = (lookup: Pick<Lookup, 'decision' | 'addresses' | 'error'>): void =>
    onLookup?.({ host: target.host, latencyMs: performance.now() - startedMs, ...lookup })
  let answers: readonly string[] = []
  try {
    answers = await answersFor(target.host, deps.resolver, signal)
    const addresses = vetted(target, answers, deps)
    told({ decision: 'allow', addresses: answers.length })
    return addresses
  } catch (error) {
    // Whoever gave up waiting learned nothing of the answer, and neither did we.
    const { code } = signal.aborted ? { code: 'ABORTED' } : asVestryError(error)
    const decision = code === 'SSRF_BLOCKED' ? 'deny' : 'allow'
    told({ decision, addresses: answers.length, error: code })
    throw error
  }
}

/** @throws VestryError `SSRF_BLOCKED`, `UPSTREAM_ERROR` */
function vetted(
  target: Target,
  answers: readonly string[],
  { rules }: ResolveDeps,
): VettedAddress[] {
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
