/** What a redirect may do (wire contract §8.5). Pure: says where to go next, with what, or why not. */
import { VestryError } from '@vestry/contract/errors'
import { type AddressRules, refuse } from './addresses.ts'
import { parseLocation, sameOrigin, type Target } from './url.ts'

export interface Hop {
  target: Target
  method: string
  /** False once a redirect has turned the request into one without a body. */
  sendsBody: boolean
}

export interface RedirectPolicy {
  /** A request with a credential never leaves the origin it began at. */
  carriesCredential: boolean
  /** Redirects followed at most. */
  maxRedirects: number
  rules: AddressRules
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

export function isRedirect(status: number): boolean {
  return REDIRECTS.has(status)
}

/**
 * @param visited Every hop so far, the first one first; the reply came from the last.
 * @throws VestryError `REDIRECT_BLOCKED`, or `SSRF_BLOCKED` for a forbidden address as literal. The next hop still has to be authorised and vetted.
 */
export function nextHop(
  visited: readonly Hop[],
  status: number,
  location: string,
  policy: RedirectPolicy,
): Hop {
  const first = visited[0]
  const last = visited.at(-1)
  if (first === undefined || last === undefined) throw blocked('there was no request')
  const { maxRedirects } = policy
  if (visited.length > maxRedirects) throw blocked(`there were more than ${maxRedirects}`)
  const target = parse(location, last.target)
  const forbidden = target.literal && refuse(target.literal, target.port, policy.rules)
  if (forbidden !== undefined) {
    throw new VestryError('SSRF_BLOCKED', `The redirect leads to a ${forbidden} address`, {
      context: { range: forbidden },
    })
  }
  if (last.target.scheme === 'https' && target.scheme === 'http') {
    throw blocked('it leads from https to http')
  }
  if (policy.carriesCredential && !sameOrigin(first.target, target)) {
    throw blocked('it leads to another origin, where the credential must not go')
  }
  const becomesGet =
    (status === 303 && last.method !== 'HEAD') ||
    ((status === 301 || status === 302) && last.method === 'POST')
  const hop: Hop = {
    target,
    method: becomesGet ? 'GET' : last.method,
    sendsBody: last.sendsBody && !becomesGet,
  }
  const again = visited.some(
    ({ target: { href }, method }) => href === target.href && method === hop.method,
  )
  if (again) throw blocked('it leads in a circle')
  return hop
}

function parse(location: string, base: Target): Target {
  try {
    return parseLocation(location, base)
  } catch (error) {
    if (error instanceof VestryError && error.code !== 'INVALID_PARAMS') throw error
    throw blocked('its location is not a usable URL')
  }
}

function blocked(reason: string): VestryError {
  return new VestryError('REDIRECT_BLOCKED', `The redirect was not followed: ${reason}`, {
    hint: 'Ask without follow_redirects and decide on the location yourself.',
  })
}
