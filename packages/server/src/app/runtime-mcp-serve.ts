/** Puts Vestry as an MCP server together: the endpoint `/mcp` on the common port, and who may speak to it. */
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { bearerToken } from '../identity/api-key.ts'
import type { BodyMemory } from '../llm/wire/request-body.ts'
import { ChangeTeller } from '../mcp/serve/change-teller.ts'
import type { McpClient } from '../mcp/serve/client.ts'
import { serve } from '../mcp/serve/endpoint.ts'
import { ServedTools } from '../mcp/serve/served-tools.ts'
import { Sessions } from '../mcp/serve/sessions.ts'
import type { ClientAddress } from '../runtime/wire/client-address.ts'
import { corsHeaders, PREFLIGHT_HEADERS } from '../runtime/wire/cors.ts'
import { type IdentifyDeps, identify } from '../runtime/wire/identify.ts'
import type { RequestRate } from '../runtime/wire/rate.ts'
import type { Parts } from './assemble.ts'
import type { GatewayPart } from './gateway-parts.ts'
import type { McpPiece } from './runtime-mcp.ts'
import type { RuntimePiece } from './runtime-part.ts'
import { isLoopback } from './tcp-listening.ts'

export interface McpServeDeps {
  readonly mcp: McpPiece
  readonly gateway: GatewayPart
  readonly identify: IdentifyDeps
  readonly rate: RequestRate
  readonly clientAddress: ClientAddress
  readonly bodies: BodyMemory
  readonly draining: () => boolean
  readonly warn: (line: string) => void
}

export const MCP_PATH = '/mcp'

const MAX_TOKEN = 10_000
/** Of the time a stopping daemon has. */
const FOR_CALLS = 0.8
const LOOK_MS = 10
/** On these hangs which tools somebody may call. */
const DECIDING = ['policy', 'agent', 'tool', 'api_key', 'operator', 'mcp_server', 'tool_signature']
const MCP_HEADERS = 'authorization, content-type, mcp-session-id, mcp-protocol-version, traceparent'
const LOCAL_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i

export function assembleMcpServe(parts: Parts, deps: McpServeDeps): RuntimePiece {
  const { config, seal, vault } = parts
  const { gateway } = deps.gateway
  const { mcp, warn } = deps
  const { cors_origins: origins } = config.runtime
  const isLocal = isLoopback(config.http.host)
  const addressOf = ({ socket, headersDistinct }: IncomingMessage) =>
    deps.clientAddress(socket.remoteAddress ?? '', headersDistinct['x-forwarded-for']?.join(','))

  const tools = new ServedTools({
    stations: vault.stations,
    hub: mcp.servers,
    known: mcp.known,
    gateway,
    call: mcp.call,
    timeoutMs: mcp.timeoutMs,
  })
  const sessions = new Sessions({ monotonic: () => performance.now() })
  const teller = new ChangeTeller({
    sessions,
    tools,
    warn,
  })
  mcp.servers.onTools(() => teller.trigger())
  const underWay = new Set<AbortController>()

  const identified = async (request: IncomingMessage): Promise<McpClient> => {
    try {
      const { principal, keyId } = await identify(deps.identify, request)
      return { principal, keyId, txn: undefined, token: undefined }
    } catch (error) {
      const given = request.headersDistinct['authorization'] ?? []
      const token = given.length === 1 ? bearerToken(given[0], MAX_TOKEN) : undefined
      const isRefused = asVestryError(error).code === 'UNAUTHORIZED'
      // Keys have one dot and say what they are; what else came may be a token of the gateway.
      if (!isRefused || token === undefined || token.startsWith('key_')) throw error
      return byGatewayToken(request, token)
    }
  }
  const byGatewayToken = async (request: IncomingMessage, token: string): Promise<McpClient> => {
    const presented = { token, proof: undefined, tokenId: undefined }
    const accepted = await gateway.tokens.accept(presented, addressOf(request), () => undefined)
    const { agent, row } = accepted
    const txnToken = request.headers['txn-token']
    const txn = await gateway.tokens.txnOf(
      accepted,
      typeof txnToken === 'string' ? txnToken : undefined,
    )
    return {
      principal: { kind: 'agent', agent },
      keyId: `token:${row.tokenId}`,
      txn,
      token: {
        id: row.tokenId,
        tools: row.tools,
        permissions: row.permissions,
        intent: row.intent,
      },
    }
  }
  const limit = (who: string): void => {
    try {
      deps.rate.take(who)
    } catch (error) {
      vault.stations.refused(who, 'mcp.requests')
      throw error
    }
  }

  return {
    onChange: (tables) => {
      if (tables.some((table) => DECIDING.includes(table))) teller.trigger()
    },
    drain: async (budgetMs) => {
      for (const { stream } of sessions.listening()) stream?.end()
      const endsAtMs = performance.now() + budgetMs * FOR_CALLS
      while (underWay.size > 0 && performance.now() < endsAtMs) await sleep(LOOK_MS)
      for (const late of underWay) late.abort(new VestryError('SHUTTING_DOWN'))
    },
    close: async () => {
      for (const late of underWay) late.abort(new VestryError('VAULT_LOCKED'))
      sessions.close()
    },
    mount: (http) => {
      http.register(
        async (app) => {
          app.addHook('onRequest', (request, reply, done) => {
            reply.hijack()
            void serve(
              {
                tools,
                sessions,
                admit: async (asking) => {
                  assertOwnPage(asking, { origins, isLocal })
                  try {
                    const client = await identified(asking)
                    limit(
                      client.keyId === 'anonymous'
                        ? `ip:${addressOf(asking)}`
                        : `key:${client.keyId}`,
                    )
                    return client
                  } catch (error) {
                    if (asVestryError(error).status === 401) {
                      vault.stations.refused('anonymous', 'mcp.unauthenticated')
                      limit(`ip:${addressOf(asking)}`)
                    }
                    throw error
                  }
                },
                isStill: async (asking, { keyId }) => {
                  if (seal.state !== 'unsealed') return false
                  const now = await identified(asking).catch(() => undefined)
                  return now?.keyId === keyId
                },
                peer: (asking) => ({ transport: 'http', address: addressOf(asking) }),
                cors: (origin) => {
                  const headers = corsHeaders(origin, origins)
                  if (headers === undefined) return {}
                  return {
                    ...headers,
                    ...PREFLIGHT_HEADERS,
                    'access-control-allow-headers': MCP_HEADERS,
                    'access-control-expose-headers': 'Mcp-Session-Id',
                  }
                },
                bodies: deps.bodies,
                sealed: () => seal.state !== 'unsealed',
                draining: deps.draining,
                onListening: () => teller.trigger(),
                underWay,
                onInternalError: (requestId, error) =>
                  warn(
                    `internal error in ${requestId}: ${error instanceof Error ? error.stack : error}`,
                  ),
              },
              request.raw,
              reply.raw,
            )
            done()
          })
          // Never reached; it gives the hook its path.
          app.all('/', async () => undefined)
        },
        { prefix: MCP_PATH },
      )
    },
  }
}

/**
 * A page in a browser says where it comes from, and one that was moved to this address by DNS still calls it by its
 * own name: pages speak to this endpoint only where an operator listed them.
 */
function assertOwnPage(
  { headers }: IncomingMessage,
  { origins, isLocal }: { origins: readonly string[]; isLocal: boolean },
): void {
  const { origin, host = '' } = headers
  const isListed = origin === undefined || corsHeaders(origin, origins) !== undefined
  if (isListed && (!isLocal || LOCAL_HOST.test(host))) return
  throw new VestryError('ACCESS_DENIED', 'Pages of this origin may not call here', {
    hint: 'List the origin in runtime.cors_origins',
  })
}
