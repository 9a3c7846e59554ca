/** Names the exact definition of a tool, so that a policy or a review can hold on to it. */
import { hash } from 'node:crypto'
import { schemapinCanonical } from '@vestry/contract/schemapin'
import type { JsonObject } from './tool.ts'

/**
 * @returns `sha256:` and 64 hex digits (runtime contract §7.5).
 * @throws VestryError `INVALID_PARAMS` for a definition without canonical form.
 */
export function toolDigest(definition: JsonObject): string {
  return `sha256:${hash('sha256', schemapinCanonical(definition))}`
}
