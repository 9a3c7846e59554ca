/** The signature that a tool brings along, made by its provider. */
import type { LiveTool } from '../hub.ts'

/** More is no signature. */
const MAX_CHARS = 1_024

/**
 * In the schema itself, or in `_meta`: as `schemapin: { signature }`, or under a name of a domain's own that ends in
 * `/signature`, such as `schemapin.org/signature`.
 */
export function carriedSignature({
  inputSchema,
  meta,
}: Pick<LiveTool, 'inputSchema' | 'meta'>): { signature: string } | undefined {
  const schemapin = meta?.['schemapin']
  const found = [
    inputSchema['signature'],
    typeof schemapin === 'object' && schemapin !== null
      ? Reflect.get(schemapin, 'signature')
      : schemapin,
    meta?.['schemapin.org/signature'],
  ].find((value) => typeof value === 'string' && value !== '' && value.length <= MAX_CHARS)
  return typeof found === 'string' ? { signature: found } : undefined
}
