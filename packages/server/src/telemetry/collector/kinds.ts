/** Names of kinds that earlier producers used, and the ones they are stored under. Pure. */
import { CORE_KINDS, EXTENSION_KINDS, KIND_GRAMMAR } from '@vestry/coat/aot'
import { redactText } from '@vestry/coat/redaction'

export interface Kind {
  /** As it is stored. */
  readonly kind: string
  /** As it came, where that is another one. */
  readonly original: string | undefined
  readonly known: boolean
  /** What the older name said of a write to memory. */
  readonly operation: string | undefined
}

const KNOWN: ReadonlySet<string> = new Set([...CORE_KINDS, ...EXTENSION_KINDS])
const MAX_KIND_CHARS = 128

/** Last segments, for the families that begin and end. */
const VERBS: Readonly<Record<string, string>> = {
  started: 'start',
  ended: 'end',
  stop: 'end',
  finish: 'end',
}

/** Whole kinds. */
const NAMES: Readonly<Record<string, string>> = {
  'agent.tool.request': 'agent.tool.call',
  'agent.tool.response': 'agent.tool.result',
  'agent.subagent.spawn': 'agent.subagent.start',
  'agent.subagent.return': 'agent.subagent.end',
  'agent.memory.search': 'agent.memory.read',
  'agent.memory.retrieve': 'agent.memory.read',
  'agent.memory.create': 'agent.memory.write',
  'agent.memory.update': 'agent.memory.write',
  'agent.memory.upsert': 'agent.memory.write',
}

/** Producers repeat a few kinds for ever; what is looked up costs nothing to parse again. */
const seen = new Map<string, Kind>()
const MAX_SEEN = 256

/** @returns undefined for what is not a kind. */
export function kindOf(text: unknown): Kind | undefined {
  if (typeof text !== 'string') return undefined
  const known = seen.get(text)
  if (known !== undefined) return known
  if (text.length > MAX_KIND_CHARS || !KIND_GRAMMAR.test(text)) return undefined
  const found = canonical(text)
  // One that nobody knows may say anything.
  if (!found.known && redactText(text).hits.length > 0) return undefined
  if (seen.size < MAX_SEEN) seen.set(text, found)
  return found
}

function canonical(text: string): Kind {
  const kind = NAMES[text] ?? withVerb(text)
  const writes = kind === 'agent.memory.write' && kind !== text
  return {
    kind,
    original: kind === text ? undefined : text,
    known: KNOWN.has(kind),
    operation: writes ? text.slice(text.lastIndexOf('.') + 1) : undefined,
  }
}

/** Only where the canonical name is a known one: a kind that nobody knows keeps its own words. */
function withVerb(text: string): string {
  const at = text.lastIndexOf('.') + 1
  const verb = VERBS[text.slice(at)]
  if (verb === undefined) return text
  const kind = text.slice(0, at) + verb
  return KNOWN.has(kind) ? kind : text
}
