/** All tools that are served, and of them those that one client may call, as policy says now. */
import { hash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { principalOf, type Stations } from '../../call/perform.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { Caller } from '../../identity/caller.ts'
import { MCP_CALL } from '../../policy/actions.ts'
import { mcpToolResource } from '../../policy/mcp-resource.ts'
import { TOOL_RANKS } from '../../policy/tool-ranks.ts'
import type { McpToolCall } from '../calls/mcp-call.ts'
import type { LiveTool, McpHub, ToolResult } from '../hub.ts'
import type { KnownTools } from '../pins/known-tools.ts'
import type { McpClient } from './client.ts'
import { exposedNames } from './exposed-names.ts'
import { callGatewayTool, type GatewayAction, gatewayQuestion, WHOLE_KEY } from './gateway-tool.ts'
import type { ServedTool } from './served-tool.ts'

export interface ServedToolsDeps {
  readonly stations: Pick<Stations, 'policy' | 'now'>
  readonly hub: Pick<McpHub, 'tools'>
  readonly known: Pick<KnownTools, 'standing'>
  readonly gateway: Gateway
  readonly call: (call: McpToolCall) => Promise<ToolResult>
  readonly timeoutMs: (server: string) => number
}

/** Refusals that hang on what is asked for: with the right arguments the call may go through. */
const HANGS_ON_ARGUMENTS: ReadonlySet<number> = new Set([
  TOOL_RANKS.intentMismatch,
  TOOL_RANKS.intentRequired,
  TOOL_RANKS.params,
  TOOL_RANKS.requestSize,
  TOOL_RANKS.domainBlocked,
  TOOL_RANKS.domainNotAllowed,
  TOOL_RANKS.guard,
])
/** Decisions before others get a turn. */
const SLICE = 100

interface Catalogue {
  readonly live: readonly LiveTool[]
  readonly actions: readonly GatewayAction[]
  readonly byName: ReadonlyMap<string, ServedTool>
}

export class ServedTools {
  readonly #deps: ServedToolsDeps
  #catalogue: Catalogue | undefined

  constructor(deps: ServedToolsDeps) {
    this.#deps = deps
  }

  /** Whoever may call it. */
  find(name: string): ServedTool | undefined {
    return this.#all().byName.get(name)
  }

  /** Those the client may call, by name. */
  async of(client: McpClient, caller: Caller): Promise<ReadonlyMap<string, ServedTool>> {
    const found = new Map<string, ServedTool>()
    let asked = 0
    for (const [name, tool] of this.#all().byName) {
      asked += 1
      if (asked % SLICE === 0) await nextTurn()
      if (await this.mayCall(tool, client, caller)) found.set(name, tool)
    }
    return found
  }

  /** Whether there are arguments with which policy lets the call through, as far as it can be told. */
  async mayCall(tool: ServedTool, client: McpClient, caller: Caller): Promise<boolean> {
    const question = await tool.question()
    if (question === undefined) return false
    const { policy, now } = this.#deps.stations
    const isGateway = question.action !== MCP_CALL
    if (isGateway && client.principal.kind !== 'agent') return false
    const proof = client.token ?? (isGateway ? WHOLE_KEY : undefined)
    const { allow, rank, reasonCode } = policy.decide({
      principal: principalOf(caller),
      ...question,
      context: {
        nowMs: now(),
        transport: caller.peer.transport,
        ...(caller.peer.address !== undefined && { sourceIp: caller.peer.address }),
        hasReason: true,
        ...(proof !== undefined && {
          tokenTools: proof.tools,
          tokenPermissions: proof.permissions,
        }),
        ...(client.token?.intent !== undefined && { intent: client.token.intent }),
        args: {},
        nums: {},
        holds: [],
      },
      unpermittedRank: TOOL_RANKS.unpermitted,
    })
    if (allow || HANGS_ON_ARGUMENTS.has(rank)) return true
    // A permit asked for an argument that is not there yet.
    return rank === TOOL_RANKS.unpermitted && reasonCode === 'policy_error'
  }

  #all(): Catalogue {
    const live = this.#deps.hub.tools()
    const actions = this.#deps.gateway.tools
      .list()
      .flatMap((tool) => [...tool.actions.values()].map((action) => ({ tool, action })))
    const known = this.#catalogue
    if (known !== undefined && isSame(known.live, live) && isSameActions(known.actions, actions))
      return known
    const tools = [
      ...live.map((tool) => ({ wanted: `${tool.server}__${tool.name}`, served: this.#live(tool) })),
      ...actions.map((found) => ({
        wanted: `${found.tool.name}__${found.action.name}`,
        served: this.#action(found),
      })),
    ]
    const names = exposedNames(tools.map(({ wanted, served }) => ({ id: served.id, wanted })))
    const byName = new Map<string, ServedTool>()
    for (const { served } of tools) {
      const name = names.get(served.id)
      if (name !== undefined) byName.set(name, served)
    }
    const sorted = new Map([...byName].sort(([one], [other]) => (one < other ? -1 : 1)))
    this.#catalogue = { live, actions, byName: sorted }
    return this.#catalogue
  }

  #live(tool: LiveTool): ServedTool {
    const { known, call, timeoutMs } = this.#deps
    const { server, name, description, inputSchema } = tool
    const { tool: group } = mcpToolResource(server, name, { digest: '', reviewed: false })
    return {
      id: `${group}:${name}`,
      // What was reviewed and nothing else: annotations and result schemas are text that nobody has signed.
      listing: { description, inputSchema: objectSchema(inputSchema) },
      question: async () => {
        const { hash: digest, verified, refusal } = await known.standing(tool)
        if (refusal !== undefined) return undefined
        return {
          action: MCP_CALL,
          resource: mcpToolResource(server, name, { digest, reviewed: verified }),
        }
      },
      call: ({ caller, client, requestId, args, reason, intent = client.token?.intent, signal }) =>
        call({
          caller,
          requestId,
          server,
          tool: name,
          args,
          signal,
          timeoutMs: timeoutMs(server),
          reason,
          proof: {
            ...(client.token !== undefined && {
              tokenTools: client.token.tools,
              tokenPermissions: client.token.permissions,
            }),
            ...(intent !== undefined && { intent }),
          },
        }),
    }
  }

  #action(found: GatewayAction): ServedTool {
    const { gateway } = this.#deps
    const { tool, action } = found
    return {
      id: `${tool.name}:${action.name}`,
      listing: {
        description: `${tool.description} ${action.description}`.trim(),
        inputSchema: objectSchema(action.schema),
        annotations: { readOnlyHint: action.permission === 'read' },
      },
      question: async () => gatewayQuestion(found),
      call: (call) => callGatewayTool(gateway, found, call),
    }
  }
}

/** Two listings that say the same have the same one. */
export function fingerprint(tools: ReadonlyMap<string, ServedTool>): string {
  return hash('sha256', JSON.stringify([...tools].map(([name, { listing }]) => [name, listing])))
}

function objectSchema(schema: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { ...schema, type: 'object' }
}

function isSame(one: readonly LiveTool[], other: readonly LiveTool[]): boolean {
  return one.length === other.length && one.every((tool, at) => tool === other[at])
}

function isSameActions(one: readonly GatewayAction[], other: readonly GatewayAction[]): boolean {
  return one.length === other.length && one.every(({ action }, at) => action === other[at]?.action)
}
