/** MCP servers as the rest of Vestry sees them: their state, what they offer, and a bare call without any station. */
import type { TokenObject } from '../json/raw-number.ts'

export type McpStatus = 'connected' | 'disconnected' | 'connecting' | 'error'

export interface McpServerState {
  readonly name: string
  readonly transport: 'stdio' | 'streamable_http' | 'sse'
  readonly status: McpStatus
  readonly pid: number | undefined
  readonly connectedAtMs: number | undefined
  readonly lastError: string | undefined
  readonly toolsCount: number
  readonly resourcesCount: number
  readonly protocolVersion: string | undefined
  readonly serverInfo: Readonly<Record<string, unknown>> | undefined
}

/** As the server lists it now. */
export interface LiveTool {
  readonly server: string
  readonly name: string
  /** `''` where the server gives none. */
  readonly description: string
  readonly inputSchema: TokenObject
  readonly outputSchema: TokenObject | undefined
  readonly annotations: Readonly<Record<string, unknown>> | undefined
  readonly meta: Readonly<Record<string, unknown>> | undefined
}

export interface LiveResource {
  readonly server: string
  readonly uri: string
  readonly name: string | undefined
  readonly description: string | undefined
  readonly mimeType: string | undefined
  readonly isTemplate: boolean
}

export interface ToolResult {
  readonly content: readonly Readonly<Record<string, unknown>>[]
  readonly structuredContent: Readonly<Record<string, unknown>> | undefined
  readonly isError: boolean
}

export interface McpHub {
  /** Sorted by name. */
  servers(): readonly McpServerState[]
  server(name: string): McpServerState | undefined
  /** Of connected servers; sorted by server, then name. */
  tools(server?: string): readonly LiveTool[]
  tool(server: string, name: string): LiveTool | undefined
  resources(server?: string): readonly LiveResource[]
  /**
   * The bare call; who may and whether the tool is the reviewed one is decided before. `arguments` are checked against
   * the schema first.
   *
   * @param options.meta Goes into `_meta` of the request, such as `traceparent`.
   * @param options.expected The definition that was decided on, as {@link tool} gave it: a tool that stayed the same
   *   stays the same object, and another one is refused right before it is sent.
   * @throws VestryError INVALID_PARAMS, MCP_SERVER_NOT_FOUND, MCP_TOOL_NOT_FOUND, MCP_NOT_CONNECTED, MCP_TIMEOUT,
   *   MCP_PROTOCOL_ERROR, TOOL_NOT_VERIFIED (not the expected one); the reason of `options.signal`.
   */
  call(
    server: string,
    tool: string,
    given: Readonly<Record<string, unknown>>,
    options: {
      readonly signal: AbortSignal
      readonly timeoutMs: number
      readonly meta?: Readonly<Record<string, unknown>>
      readonly expected?: LiveTool
    },
  ): Promise<ToolResult>
  /** Called after each listing of a server's tools that is complete, also the first. */
  onTools(listener: (server: string, tools: readonly LiveTool[]) => void): void
}
