/** Takes a tool apart into what the rules look at: its texts, its parameters, its size. Linear in the tool. */
import { isTokenObject, type TokenJson, type TokenObject } from '../../json/raw-number.ts'
import type { ToolDocument } from '../tool-document.ts'
import { shapesOf } from './param-shape.ts'
import type { Param, Subject, TargetKind } from './rule.ts'
import { isList, walkSchema } from './schema-walk.ts'
import { sinksOf } from './sinks.ts'
import { TextTarget } from './views.ts'
import { nameWords } from './words.ts'

/** A longer text is looked at in pieces; what lies across a cut is in both. */
const MAX_TEXT = 64 * 1024
const OVERLAP = 1024

export function subjectOf(tool: ToolDocument): Subject {
  const targets: TextTarget[] = []
  const text = (location: string, kind: TargetKind, raw: string) => {
    for (const piece of pieces(raw)) targets.push(new TextTarget(location, kind, piece))
  }
  text('/name', 'tool_name', tool.name)
  text('/description', 'description', tool.description)
  text('/provider/name', 'provider_name', tool.provider.name)
  if (tool.provider.public_key_url !== null) {
    text('/provider/public_key_url', 'provider_url', tool.provider.public_key_url)
  }
  const params: Param[] = []
  const shapeOf = shapesOf(tool.schema)
  const toolWords = nameWords(tool.name)
  walkSchema(tool.schema, '/schema', {
    text,
    schema: () => undefined,
    property: ({ schema, ...found }) => {
      const words = nameWords(found.name)
      const given = schema['description']
      const description = typeof given === 'string' ? given : ''
      params.push({
        ...found,
        schema,
        words,
        description,
        ...shapeOf(schema),
        sinks: sinksOf(words, description, toolWords),
        defaultValue: Object.hasOwn(schema, 'default') ? schema['default'] : undefined,
      })
    },
  })
  return {
    tool,
    targets,
    params,
    size: { ...measured(tool.schema), properties: params.length },
    extraKeywords: Object.keys(tool.schema).filter((name) => !EXPECTED.has(name)),
  }
}

const EXPECTED: ReadonlySet<string> = new Set(['type', 'properties', 'required'])

function* pieces(raw: string): Iterable<string> {
  if (raw.length <= MAX_TEXT) {
    yield raw
    return
  }
  for (let at = 0; at + OVERLAP < raw.length; at += MAX_TEXT - OVERLAP) {
    yield raw.slice(at, at + MAX_TEXT)
  }
}

/** `bytes` as JSON.stringify writes it, which differs from the canonical text in the order of keys only. */
function measured(schema: TokenObject): { depth: number; bytes: number } {
  return { depth: depthOf(schema), bytes: Buffer.byteLength(JSON.stringify(schema)) }
}

function depthOf(value: TokenJson): number {
  const inner = isList(value) ? value : isTokenObject(value) ? Object.values(value) : undefined
  if (inner === undefined) return 0
  return 1 + inner.reduce((deepest: number, item) => Math.max(deepest, depthOf(item)), 0)
}
