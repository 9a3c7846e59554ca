/** References in a JSON Schema: where they lead, and which definitions refer to themselves. */
import { ConfigurationError } from '../sage/errors.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'

/** Values in one schema; more means that the schema holds itself. */
const MOST_VALUES = 200_000
/** Members that hold data, not schemas. */
const DATA: ReadonlySet<string> = new Set(['const', 'enum', 'default', 'examples'])
/** Members whose keys are names of the author's choice. */
const MAPS: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
])

/**
 * The schema that a reference such as `#/$defs/Finding` names.
 *
 * @throws ConfigurationError when there is none, or when it lies outside the document.
 */
export function definition(root: JsonObject, ref: string): JsonObject {
  if (ref === '#') return root
  if (!ref.startsWith('#/')) {
    throw new ConfigurationError(`The schema refers to ${ref}, which is outside of it`)
  }
  let found: unknown = root
  for (const segment of ref.slice(2).split('/')) {
    const key = unescaped(segment)
    const inside: unknown = found
    found = undefined
    if (Array.isArray(inside)) found = inside[Number(key)]
    else if (isObject(inside) && Object.hasOwn(inside, key)) found = inside[key]
  }
  if (!isObject(found))
    throw new ConfigurationError(`The schema refers to ${ref}, which is not there`)
  return found
}

/**
 * The definitions that the schema uses and that refer to themselves, over however many steps: the
 * reference as written → a name for it, unique in this schema. The root's own `#` is not among them.
 */
export function recursiveNames(root: JsonObject): Map<string, string> {
  const uses = new Map<string, readonly string[]>()
  const { $defs: _defs, definitions: _definitions, ...body } = root
  const open = [...refsIn(body)]
  for (let ref = open.pop(); ref !== undefined; ref = open.pop()) {
    if (ref === '#' || uses.has(ref)) continue
    const inside = refsIn(definition(root, ref))
    uses.set(ref, inside)
    open.push(...inside)
  }
  const names = new Map<string, string>()
  for (const ref of uses.keys()) {
    if (reaches(ref, ref, uses)) names.set(ref, uniqueName(ref, names))
  }
  return names
}

function reaches(from: string, to: string, uses: ReadonlyMap<string, readonly string[]>): boolean {
  const seen = new Set<string>()
  const open = [...(uses.get(from) ?? [])]
  for (let ref = open.pop(); ref !== undefined; ref = open.pop()) {
    if (ref === to) return true
    if (seen.has(ref)) continue
    seen.add(ref)
    open.push(...(uses.get(ref) ?? []))
  }
  return false
}

function refsIn(schema: JsonObject): string[] {
  const refs: string[] = []
  const open: { value: unknown; named: boolean }[] = [{ value: schema, named: false }]
  for (let seen = 0; ; seen += 1) {
    const next = open.pop()
    if (next === undefined) return refs
    if (seen > MOST_VALUES) throw new ConfigurationError('The schema is too large, or holds itself')
    const { value, named } = next
    if (Array.isArray(value)) open.push(...value.map((member) => ({ value: member, named: false })))
    if (!isObject(value)) continue
    for (const [key, member] of Object.entries(value)) {
      if (!named && key === '$ref' && typeof member === 'string') refs.push(member)
      else if (named || !DATA.has(key)) open.push({ value: member, named: !named && MAPS.has(key) })
    }
  }
}

function uniqueName(ref: string, names: ReadonlyMap<string, string>): string {
  const last = unescaped(ref.slice(ref.lastIndexOf('/') + 1))
  const base = last.replaceAll(/[^\w.-]/g, '_') || 'schema'
  const taken = new Set(names.values())
  let name = base
  for (let count = 2; taken.has(name); count += 1) name = `${base}_${count}`
  return name
}

/** One segment of a JSON pointer in a URI fragment, RFC 6901 §6. */
function unescaped(segment: string): string {
  try {
    return decodeURIComponent(segment).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return segment
  }
}
