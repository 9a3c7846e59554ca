/** What is inside the encrypted file: agents, their secrets and what is known of each. Pure. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { isOwner, isSecretName } from '../place.ts'
import { unreadable } from './container.ts'

export interface Entry {
  readonly value: string
  readonly description: string | null
  /** Epoch ms. */
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
  readonly version: number
}

/** Agent → name → entry. Maps, because names such as `__proto__` are allowed. */
export type FileDocument = Map<string, Map<string, Entry>>

const Time = z.iso.datetime().transform((text) => Date.parse(text))
const FileEntry = z
  .object({
    value: z.string(),
    description: z.string().nullish(),
    created_at: Time,
    updated_at: Time.nullish(),
    version: z.int().min(1),
  })
  .transform(
    ({ value, description, created_at, updated_at, version }): Entry => ({
      value,
      description: description ?? null,
      createdAtMs: created_at,
      updatedAtMs: updated_at ?? null,
      version,
    }),
  )

/**
 * @param flat Whose secrets those of the runtime's own flat file are, and when they were written.
 * @throws VestryError BACKEND_ERROR; nothing of the content is repeated.
 */
export function readDocument(
  plain: Uint8Array,
  flat: { agent: string | undefined; writtenAtMs: number },
): FileDocument {
  let content: unknown
  try {
    content = JSON.parse(Buffer.from(plain).toString('utf8'))
  } catch {
    throw unreadable('what it holds is not JSON')
  }
  if (!isRecord(content)) throw unreadable('what it holds is not an object')
  const { version, agents } = content
  if (version === 1 && isRecord(agents)) return readAgents(agents)
  if (Object.values(content).every((value) => typeof value === 'string'))
    return readFlat(content as Record<string, string>, flat)
  throw unreadable('what it holds has another layout')
}

export function writeDocument(document: FileDocument): Buffer {
  const agents = Object.fromEntries(
    [...document].map(([agent, secrets]) => [
      agent,
      Object.fromEntries(
        [...secrets].map(([name, entry]) => [
          name,
          {
            value: entry.value,
            description: entry.description,
            created_at: iso(entry.createdAtMs),
            updated_at: entry.updatedAtMs === null ? null : iso(entry.updatedAtMs),
            version: entry.version,
          },
        ]),
      ),
    ]),
  )
  return Buffer.from(JSON.stringify({ version: 1, agents }))
}

function readAgents(agents: Record<string, unknown>): FileDocument {
  const document: FileDocument = new Map()
  for (const [agent, secrets] of Object.entries(agents)) {
    if (!isOwner(agent) || !isRecord(secrets)) throw unreadable('it names an agent that cannot be')
    const entries = new Map<string, Entry>()
    for (const [name, given] of Object.entries(secrets)) {
      const entry = FileEntry.safeParse(given)
      if (!isSecretName(name) || !entry.success)
        throw unreadable(`a secret of agent "${agent}" is not complete`)
      entries.set(name, entry.data)
    }
    document.set(agent, entries)
  }
  return document
}

/** The runtime's file knows no agents. */
function readFlat(
  secrets: Record<string, string>,
  { agent, writtenAtMs }: { agent: string | undefined; writtenAtMs: number },
): FileDocument {
  if (Object.keys(secrets).length === 0) return new Map()
  if (agent === undefined) {
    throw new VestryError('BACKEND_ERROR', 'The secrets file belongs to no agent', {
      hint: 'It was written by another runtime: say with "import_agent" whose its secrets become.',
    })
  }
  const wrong = Object.keys(secrets).filter((name) => !isSecretName(name)).length
  if (wrong > 0) throw unreadable(`${wrong} of its names cannot be names of secrets here`)
  const facts = { description: null, createdAtMs: writtenAtMs, updatedAtMs: null, version: 1 }
  return new Map([
    [agent, new Map(Object.entries(secrets).map(([name, value]) => [name, { value, ...facts }]))],
  ])
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
