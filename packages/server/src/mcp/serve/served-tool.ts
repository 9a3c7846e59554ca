/** A tool as MCP clients are shown it, wherever it comes from. */
import type { Caller } from '../../identity/caller.ts'
import type { PolicyRequest } from '../../policy/engine.ts'
import type { ToolResult } from '../hub.ts'
import type { McpClient } from './client.ts'

export interface ServedTool {
  /** Tells it apart: `mcp/notes:append`, `serpapi:search`. */
  readonly id: string
  /** What stands in a listing beside its name. */
  readonly listing: Readonly<Record<string, unknown>>
  /** What policy is asked before anybody says what for; undefined: nobody may call it. */
  question(): Promise<Pick<PolicyRequest, 'action' | 'resource'> | undefined>
  /** Through all stations. @throws VestryError */
  call(call: ServedCall): Promise<ToolResult>
}

export interface ServedCall {
  readonly caller: Caller
  readonly client: McpClient
  readonly requestId: string
  readonly args: Readonly<Record<string, unknown>>
  readonly reason: string | undefined
  readonly intent: string | undefined
  readonly signal: AbortSignal
}
