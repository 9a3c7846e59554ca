/** A call of a tool of an MCP server, as the parts that make one say it. */
import type { Caller } from '../../identity/caller.ts'
import type { PolicyContext } from '../../policy/engine.ts'

export interface McpToolCall {
  readonly caller: Caller
  readonly requestId: string
  readonly server: string
  readonly tool: string
  readonly args: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal
  readonly timeoutMs: number
  /** What it is for, where policy wants to know. */
  readonly reason?: string | undefined
  /** What the presented proof covers, where it is limited. */
  readonly proof?: CallProof | undefined
}

export type CallProof = Pick<PolicyContext, 'scope' | 'tokenTools' | 'tokenPermissions' | 'intent'>
