/** The words that ask for JSON where a provider has no setting for it. */
import type { ResponseFormat } from './chat-types.ts'

const BARE = 'Answer with exactly one bare JSON object: no other text and no code fence.'

/** @returns Undefined when plain text is asked for. */
export function jsonInstruction(format: ResponseFormat | undefined): string | undefined {
  if (format === undefined || format.type === 'text') return undefined
  if (format.type === 'json_object') return BARE
  const { schema, description } = format.json_schema
  const about = description === undefined ? '' : ` ${description}`
  const rule = `The JSON must be valid against this JSON Schema:\n${JSON.stringify(schema ?? {})}`
  return `Answer with exactly one bare JSON value: no other text and no code fence.${about}\n${rule}`
}
