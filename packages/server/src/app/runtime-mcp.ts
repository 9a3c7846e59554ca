/** Puts MCP together: the servers of operators, and what is known of their tools. */
import { rowGuard } from '../identity/row-guard.ts'
import { callMcpTool } from '../mcp/calls/call.ts'
import type { McpToolCall } from '../mcp/calls/mcp-call.ts'
import { defineCallMetrics } from '../mcp/calls/metrics.ts'
import { mcpCallVerbs } from '../mcp/calls/verbs.ts'
import type { ToolResult } from '../mcp/hub.ts'
import { KnownTools } from '../mcp/pins/known-tools.ts'
import { ToolPinStore } from '../mcp/pins/tool-pin-store.ts'
import { ServerStore } from '../mcp/server-store.ts'
import { McpServers } from '../mcp/servers.ts'
import { mcpVerbs } from '../mcp/verbs.ts'
import type { Registry } from '../metrics/registry.ts'
import type { ReviewedTools } from '../review/reviewed-tools.ts'
import { mcpRoutes } from '../runtime/routes/mcp.ts'
import { mcpCallRoutes } from '../runtime/routes/mcp-calls.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { SecretResolver } from '../secrets/resolver.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface McpPiece extends RuntimePiece {
  readonly servers: McpServers
  readonly known: KnownTools
  /** A call through all stations. */
  readonly call: (call: McpToolCall) => Promise<ToolResult>
  /** Of a call to the server that does not say. */
  readonly timeoutMs: (server: string) => number
}

export interface McpPieceDeps {
  readonly door: VerbDoor
  readonly secrets: SecretResolver
  readonly registry: Registry
  readonly env: NodeJS.ProcessEnv
  readonly warn: (line: string) => void
  /** Asked at each use: review comes up later than this. */
  readonly reviewed: () => ReviewedTools
}

export function assembleMcpPiece(parts: Parts, deps: McpPieceDeps): McpPiece {
  const { config, dev, home, store, seal, audit, vault } = parts
  const { now } = vault
  const settings = config.runtime
  const servers = new McpServers({
    store: new ServerStore({ store, guard: rowGuard(() => seal.keys), keys: () => seal.keys, now }),
    secrets: deps.secrets,
    egress: vault.egress.deps,
    audit,
    now,
    note: deps.warn,
    environment: deps.env,
    home: home.dir,
    enabled: settings.mcp_enabled,
    autoConnect: settings.mcp_auto_connect,
    random: Math.random,
  })
  const configOf = (server: string) =>
    servers.server(server) === undefined ? undefined : servers.config(server)
  const known = new KnownTools({
    pins: new ToolPinStore({ store, guard: rowGuard(() => seal.keys), now }),
    reviewed: {
      verdict: (document, carried) => deps.reviewed().verdict(document, carried),
      reopen: (input) => deps.reviewed().reopen(input),
    },
    hub: servers,
    publicKeyUrl: (server) => configOf(server)?.providerPublicKeyUrl ?? null,
    allowUnreviewed: dev || settings.allow_unreviewed_tools,
    audit,
    warn: deps.warn,
    now,
  })
  servers.onTools((server, tools) => known.listed(server, tools))
  const counted = defineCallMetrics(deps.registry)
  const callDeps = { stations: vault.stations, hub: servers, known, counted }
  const call = (asked: McpToolCall) => callMcpTool(callDeps, asked)
  const timeoutMs = (server: string) =>
    (configOf(server)?.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1_000
  const verification = known.standing.bind(known)
  deps.registry.observed(
    { name: 'vestry_mcp_servers_connected', help: 'MCP servers that are connected' },
    () => servers.connectedCount,
  )
  return {
    servers,
    known,
    call,
    timeoutMs,
    routes: [
      ...mcpRoutes({ servers, verification, verbs: deps.door }),
      ...mcpCallRoutes({ call, timeoutMs }),
    ],
    verbs: [
      ...mcpVerbs({ servers, verification }),
      ...mcpCallVerbs({ hub: servers, known, call, timeoutMs }),
    ],
    open: async () => {
      await known.open()
      await servers.open()
    },
    onChange: (tables) => {
      known.onChange(tables)
      servers.onChange(tables)
    },
    drain: (budgetMs) => servers.drain(budgetMs),
    close: async () => {
      await servers.close('seal')
      known.close()
    },
  }
}

/** Of a call to a server that is not there any more. */
const DEFAULT_TIMEOUT_SECONDS = 30
