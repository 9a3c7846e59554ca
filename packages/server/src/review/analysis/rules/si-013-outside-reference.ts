/** SI-013: part of the schema stands elsewhere and can change after the review. */
import { isTokenObject, type TokenObject } from '../../../json/raw-number.ts'
import { pointed } from '../local-ref.ts'
import type { Hit, Rule, Subject } from '../rule.ts'
import { walkSchema } from '../schema-walk.ts'

const DIALECT =
  /^https?:\/\/json-schema\.org\/(?:schema|draft-0[3-7]\/(?:hyper-)?schema|draft\/(?:2019-09|2020-12|next)\/schema)#?$/

export const outsideReference: Rule = {
  id: 'SI-013',
  category: 'schema_injection',
  title: 'Refers to a schema outside of the document',
  reason:
    'What a reference points to can be changed after the review, and fetching it tells where the tool runs.',
  recommendation: 'Put all definitions into $defs of this schema and refer to them with #/$defs/….',
  find: references,
  examples: {
    hit: {
      tool: {
        name: 'book',
        description: 'Books a room.',
        schema: { properties: { room: { $ref: 'https://schemas.example.com/room.json' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'book',
        description: 'Books a room.',
        schema: {
          $schema: 'http://json-schema.org/draft-07/schema#',
          properties: { room: { $ref: '#/$defs/room~1number' } },
          $defs: { 'room/number': { type: 'integer' } },
        },
      },
    },
  },
}

function* references({ tool, targets }: Subject): Iterable<Hit> {
  let anchors: ReadonlySet<string> | undefined
  for (const { kind, location, raw } of targets) {
    if (kind !== 'ref') continue
    const keyword = location.slice(location.lastIndexOf('/') + 1)
    if (keyword === '$schema') {
      if (!DIALECT.test(raw)) yield outside(location, raw)
    } else if (keyword === '$ref' || keyword === '$dynamicRef' || keyword === '$recursiveRef') {
      if (!raw.startsWith('#')) yield outside(location, raw)
      else {
        if (/^#[^/]/.test(raw)) anchors ??= anchorsOf(tool.schema)
        if (resolves(tool.schema, anchors, raw)) continue
        yield {
          location,
          severity: 'low',
          confidence: 0.95,
          description: 'The reference points to nothing.',
          evidence: raw,
        }
      }
    }
  }
}

function outside(location: string, raw: string): Hit {
  return {
    location,
    severity: 'high',
    confidence: 0.95,
    description: 'The reference leaves the document.',
    evidence: raw,
  }
}

function resolves(
  root: TokenObject,
  anchors: ReadonlySet<string> | undefined,
  reference: string,
): boolean {
  if (reference === '#') return true
  if (!reference.startsWith('#/')) return anchors?.has(reference.slice(1)) === true
  const target = pointed(root, reference)
  return isTokenObject(target) || typeof target === 'boolean'
}

function anchorsOf(root: TokenObject): ReadonlySet<string> {
  const anchors = new Set<string>()
  walkSchema(root, '', {
    text: () => undefined,
    property: () => undefined,
    schema: (_location, schema) => {
      for (const keyword of ['$anchor', '$dynamicAnchor']) {
        const name = schema[keyword]
        if (typeof name === 'string') anchors.add(name)
      }
    },
  })
  return anchors
}
