/** Who sends a request: the holder of an API key, of the static token, of a client's own token, or nobody. */
import type { IncomingMessage } from 'node:http'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { AgentStore } from '../../identity/agent-store.ts'
import { bearerToken } from '../../identity/api-key.ts'
import type { ApiKeyStore } from '../../identity/api-key-store.ts'
import type { Principal } from '../../identity/caller.ts'
import type { OperatorRole } from '../../identity/operator.ts'
import type { Secret } from '../../seal/secret.ts'
import { isClientToken, readClientToken } from './client-token.ts'
import { corsHeaders } from './cors.ts'
import type { StaticToken } from './static-token.ts'

export interface Identified {
  readonly principal: Principal
  /** Names the proof: what limits and repeated requests are counted by. */
  readonly keyId: string
}

export interface IdentifyDeps {
  readonly apiKeys: Pick<ApiKeyStore, 'authenticate'>
  readonly agents: Pick<AgentStore, 'byName'>
  readonly staticToken: StaticToken | undefined
  /** The secret of clients' own tokens; undefined: none are accepted. The caller disposes it. */
  readonly clientSecret: (() => Promise<Secret | undefined>) | undefined
  /** Requests without a key act as an administrator. */
  readonly anonymous: boolean
  readonly corsOrigins: readonly string[]
  readonly now: () => number
}

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i

/** @throws VestryError UNAUTHORIZED, the same for every reason; TOKEN_EXPIRED; VAULT_LOCKED. */
export async function identify(
  deps: IdentifyDeps,
  { headersDistinct, headers, socket }: IncomingMessage,
): Promise<Identified> {
  const given = headersDistinct['authorization'] ?? []
  const [header] = given
  if (header === undefined && deps.anonymous && isOwnMachine(deps, headers, socket.remoteAddress))
    return { principal: operator('anonymous', 'anonymous', 'admin'), keyId: 'anonymous' }
  const token = given.length === 1 ? bearerToken(header, MAX_TOKEN) : undefined
  if (token === undefined) throw refused()
  if (deps.clientSecret !== undefined && isClientToken(token))
    return byClientToken(deps, deps.clientSecret, token)
  const isStatic = await deps.staticToken?.accepts(token)
  if (isStatic === true)
    return { principal: operator('static-token', 'static-token', 'admin'), keyId: 'static-token' }
  try {
    const { key, principal } = await deps.apiKeys.authenticate(token)
    return { principal, keyId: key.id }
  } catch (error) {
    throw asVestryError(error).code === 'AUTH_FAILED' ? refused() : error
  }
}

/** Clients' own tokens are longer than keys. */
const MAX_TOKEN = 10_000

async function byClientToken(
  { agents, now }: IdentifyDeps,
  clientSecret: () => Promise<Secret | undefined>,
  token: string,
): Promise<Identified> {
  using secret = await clientSecret()
  if (secret === undefined) throw refused()
  const { subject, grants } = readClientToken(token, secret.bytes, now())
  // Not to be mistaken for an operator of that name.
  const id = `token:${subject}`
  if (grants === 'admin') return { principal: operator(id, id, 'admin'), keyId: id }
  if (grants === 'read') return { principal: operator(id, id, 'auditor'), keyId: id }
  const agent = await agents.byName(subject)
  if (agent?.status !== 'enabled') throw refused()
  return { principal: { kind: 'agent', agent }, keyId: id }
}

/**
 * Without a key nothing tells the person at this machine from a web page in their browser, but what the browser
 * says: pages name their origin, and one that was moved to this address by DNS still calls it by its own name.
 */
function isOwnMachine(
  { corsOrigins }: IdentifyDeps,
  headers: IncomingMessage['headers'],
  remote: string | undefined,
): boolean {
  const { origin, host = '', 'sec-fetch-site': site } = headers
  // A proxy on this machine asks for somebody who may be anywhere.
  if (PROXY_HEADERS.some((name) => headers[name] !== undefined)) return false
  if (!/^(?:127\.|::1$|::ffff:127\.)/.test(remote ?? '') || !LOOPBACK_HOST.test(host)) return false
  if (origin !== undefined) return corsHeaders(origin, corsOrigins) !== undefined
  return site === undefined || site === 'none' || site === 'same-origin'
}

const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']

function operator(id: string, name: string, role: OperatorRole): Principal {
  return { kind: 'operator', operator: { id, name, role, status: 'enabled', createdAt: 0 } }
}

function refused(): VestryError {
  return new VestryError('UNAUTHORIZED', undefined, {
    hint: 'Send "Authorization: Bearer <key>" with a key that is valid',
  })
}
