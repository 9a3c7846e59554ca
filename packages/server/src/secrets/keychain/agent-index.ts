/**
 * What the keychain cannot list: each agent's names, and what is known of them. A keychain has no transactions, so a
 * name whose value is about to change is marked first, and looked at again when a crash left the mark. Pure.
 */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { SecretFacts } from '../backend.ts'

export interface IndexEntry extends SecretFacts {
  /** A write or a removal had begun. */
  readonly pending: boolean
}
export type AgentIndex = Map<string, IndexEntry>

const Stored = z.object({
  version: z.literal(1),
  // A list: `__proto__` is a name like any other.
  secrets: z.array(
    z.object({
      name: z.string(),
      version: z.int().min(1),
      created_at: z.int(),
      updated_at: z.int().optional(),
      description: z.string().optional(),
      pending: z.boolean().optional(),
    }),
  ),
})
const Owners = z.object({ version: z.literal(1), owners: z.array(z.string()) })

export function readIndex(text: string | undefined): AgentIndex {
  const { secrets } = parse(Stored, text, { version: 1, secrets: [] })
  return new Map(
    secrets.map((entry) => [
      entry.name,
      {
        version: entry.version,
        createdAtMs: entry.created_at,
        updatedAtMs: entry.updated_at,
        description: entry.description,
        pending: entry.pending ?? false,
      },
    ]),
  )
}

export function writeIndex(index: AgentIndex): string {
  const secrets = [...index].map(([name, entry]) => ({
    name,
    version: entry.version,
    created_at: entry.createdAtMs,
    updated_at: entry.updatedAtMs,
    description: entry.description,
    ...(entry.pending && { pending: true }),
  }))
  return JSON.stringify({ version: 1, secrets })
}

export function readOwners(text: string | undefined): string[] {
  return parse(Owners, text, { version: 1, owners: [] }).owners
}

export function writeOwners(owners: readonly string[]): string {
  return JSON.stringify({ version: 1, owners })
}

function parse<S extends z.ZodType>(
  schema: S,
  text: string | undefined,
  empty: z.output<S>,
): z.output<S> {
  if (text === undefined) return empty
  try {
    const parsed = schema.safeParse(JSON.parse(text))
    if (parsed.success) return parsed.data
  } catch {
    // Told below.
  }
  throw new VestryError('BACKEND_ERROR', 'An index in the OS keychain is damaged', {
    hint: 'Entries of the service "symbiont" whose account begins with ".index" are ours.',
  })
}
