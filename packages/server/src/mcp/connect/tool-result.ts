/** What came back from a call, as the rest of Vestry sees it. */
import { VestryError } from '@vestry/contract/errors'
import type { ToolResult } from '../hub.ts'

type Json = Readonly<Record<string, unknown>>

/** @throws VestryError MCP_PROTOCOL_ERROR for an answer without any content. */
export function resultOf(
  server: string,
  { content, structuredContent, isError }: Json,
): ToolResult {
  const structured = isObject(structuredContent) ? structuredContent : undefined
  if (!Array.isArray(content) && structured === undefined) {
    throw new VestryError(
      'MCP_PROTOCOL_ERROR',
      `Server "${server}" answered a call without content`,
    )
  }
  return {
    content: Array.isArray(content) ? content.filter(isObject) : [],
    structuredContent: structured,
    isError: isError === true,
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
