/** How the result of a call looks to whoever made it. */
import type { ToolResult } from '../hub.ts'

export function resultView({
  content,
  structuredContent,
  isError,
}: ToolResult): Record<string, unknown> {
  return { content, structured_content: structuredContent ?? null, is_error: isError }
}
