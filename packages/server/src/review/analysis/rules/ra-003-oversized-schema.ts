/** RA-003: a schema that is a burden by itself. */
import type { Hit, Rule, Subject } from '../rule.ts'

const MAX_PROPERTY_DEPTH = 10
/** A property costs two levels of JSON, a list one. */
const MAX_JSON_DEPTH = 24
const MAX_PROPERTIES = 200
const MAX_BYTES = 64 * 1024

export const oversizedSchema: Rule = {
  id: 'RA-003',
  category: 'resource_abuse',
  title: 'Has a schema that is too large, too deep or recursive',
  reason:
    'Every model that may use the tool reads its schema with every call, and nobody reviews what is too large to read.',
  recommendation: 'Split the tool, flatten the schema and take out what is not needed.',
  *find(subject) {
    const { depth, properties, bytes } = subject.size
    const levels = subject.params.reduce((deepest, param) => Math.max(deepest, param.depth), 0)
    const found = (description: string, evidence: string, location = '/schema'): Hit => ({
      location,
      severity: 'medium',
      confidence: 0.8,
      description,
      evidence,
    })
    if (levels > MAX_PROPERTY_DEPTH || depth > MAX_JSON_DEPTH) {
      yield found('The schema is nested too deep.', `${Math.max(levels, 1)} levels of properties`)
    }
    if (properties > MAX_PROPERTIES)
      yield found('The schema has too many properties.', `${properties} properties`)
    if (bytes > MAX_BYTES) yield found('The schema is too large.', `${Math.ceil(bytes / 1024)} KiB`)
    const recursion = recursiveReference(subject)
    if (recursion !== undefined) {
      yield found('The schema contains itself.', recursion.reference, recursion.location)
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'save_tree',
        description: 'Saves a tree.',
        schema: { properties: { children: { type: 'array', items: { $ref: '#' } } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'save_line',
        description: 'Saves a line.',
        schema: {
          properties: { from: { $ref: '#/$defs/point' }, to: { $ref: '#/$defs/point' } },
          $defs: { point: { type: 'object', properties: { x: { type: 'number' } } } },
        },
      },
    },
  },
}

interface Reference {
  readonly location: string
  readonly reference: string
}

/** From what a reference points at, by the references in it, back to itself. */
function recursiveReference({ targets }: Subject): Reference | undefined {
  const references: Reference[] = targets
    .filter(
      ({ kind, raw, location }) =>
        kind === 'ref' &&
        raw.startsWith('#') &&
        /\/\$(?:ref|dynamicRef|recursiveRef)$/.test(location),
    )
    .map(({ location, raw }) => ({ location, reference: `/schema${decoded(raw.slice(1))}` }))
  const pointedAt = new Set(references.map(({ reference }) => reference))
  /** Place that is pointed at → the references that stand in it. */
  const inside = new Map<string, Reference[]>()
  for (const one of references) {
    for (const place of placesAround(one.location)) {
      if (!pointedAt.has(place)) continue
      const list = inside.get(place)
      if (list === undefined) inside.set(place, [one])
      else list.push(one)
    }
  }
  return withinCircle(inside)
}

/** Takes away, again and again, the places from which nothing leads on; what is left goes round in circles. */
function withinCircle(inside: ReadonlyMap<string, readonly Reference[]>): Reference | undefined {
  const open = new Map<string, number>()
  const into = new Map<string, string[]>()
  for (const [place, references] of inside) {
    open.set(place, references.filter(({ reference }) => inside.has(reference)).length)
    for (const { reference } of references) {
      const from = into.get(reference)
      if (from === undefined) into.set(reference, [place])
      else from.push(place)
    }
  }
  const ended = [...open].filter(([, count]) => count === 0).map(([place]) => place)
  for (let place = ended.pop(); place !== undefined; place = ended.pop()) {
    open.delete(place)
    for (const from of into.get(place) ?? []) {
      const left = (open.get(from) ?? 0) - 1
      open.set(from, left)
      if (left === 0) ended.push(from)
    }
  }
  for (const place of open.keys()) {
    const found = inside.get(place)?.find(({ reference }) => open.has(reference))
    if (found !== undefined) return found
  }
  return undefined
}

function* placesAround(location: string): Iterable<string> {
  for (let end = location.lastIndexOf('/'); end > 0; end = location.lastIndexOf('/', end - 1)) {
    yield location.slice(0, end)
  }
}

/** Fragments are percent-encoded; what is not stays as it is. */
function decoded(fragment: string): string {
  try {
    return decodeURIComponent(fragment)
  } catch {
    return fragment
  }
}
