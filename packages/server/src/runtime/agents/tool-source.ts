/** Tools as an executing agent meets them, wherever they come from. */
import type { Caller } from '../../identity/caller.ts'

export interface SourceTool {
  /** Names it for the record, and nothing else: `mcp/notes:append`, `serpapi:search`. */
  readonly id: string
  /** Under which a definition may list it, and nothing else is meant. */
  readonly names: readonly string[]
  /** Under which it may be listed too, unless something else has the same one. */
  readonly bare: string | undefined
  /** Under which it is listed together with others. */
  readonly group: string | undefined
  readonly description: string
  /** JSON Schema of the arguments. */
  readonly parameters: Readonly<Record<string, unknown>>
  /** Whether no call of it goes through, whoever makes it, as review stands now. Absent: never. */
  readonly isRefused?: () => Promise<boolean>
  /**
   * Through all stations, as `caller`.
   * @throws VestryError ACCESS_DENIED, APPROVAL_REQUIRED, TOOL_NOT_VERIFIED, and whatever goes wrong; the signal's reason
   */
  call(invocation: ToolInvocation): Promise<ToolAnswer>
}

export interface ToolInvocation {
  readonly caller: Caller
  readonly requestId: string
  readonly args: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

export interface ToolAnswer {
  readonly text: string
  /** The tool says that it failed. */
  readonly isError: boolean
}

/** What is there now. */
export type ToolSources = () => readonly SourceTool[]
