/**
 * Goes through a JSON Schema once and says what stands where: every text, every property, every sub-schema. What a
 * keyword holds decides how its content is read, so a property called `default` is a property.
 */
import { isTokenObject, type TokenJson, type TokenObject } from '../../json/raw-number.ts'
import type { TargetKind } from './rule.ts'

export interface SchemaVisitor {
  text(location: string, kind: TargetKind, text: string): void
  property(property: FoundProperty): void
  /** Each object that is a schema, the outermost first. */
  schema(location: string, schema: TokenObject, depth: number): void
}

export interface FoundProperty {
  readonly location: string
  readonly name: string
  readonly schema: TokenObject
  /** 1 for what the caller gives directly. */
  readonly depth: number
  readonly required: boolean
}

/** Their members are schemas by name. */
const MAPS: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
])
/** They hold a schema, or a list of schemas. */
const SCHEMAS: ReadonlySet<string> = new Set([
  'items',
  'prefixItems',
  'additionalItems',
  'additionalProperties',
  'unevaluatedItems',
  'unevaluatedProperties',
  'contains',
  'propertyNames',
  'not',
  'if',
  'then',
  'else',
  'allOf',
  'anyOf',
  'oneOf',
  'contentSchema',
])
const TEXTS: ReadonlyMap<string, TargetKind> = new Map([
  ['title', 'title'],
  ['description', 'property_description'],
  ['$comment', 'comment'],
  ['pattern', 'pattern'],
  ['format', 'format'],
  ['$ref', 'ref'],
  ['$dynamicRef', 'ref'],
  ['$recursiveRef', 'ref'],
  ['$schema', 'ref'],
  ['$id', 'ref'],
  ['$anchor', 'ref'],
  ['$dynamicAnchor', 'ref'],
])
const VALUES: ReadonlySet<string> = new Set([
  'default',
  'const',
  'enum',
  'examples',
  'example',
  'required',
  'type',
])
/** Numbers and switches: there is nothing to read in the name. */
const PLAIN: ReadonlySet<string> = new Set([
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minContains',
  'maxContains',
  'minProperties',
  'maxProperties',
  'deprecated',
  'readOnly',
  'writeOnly',
  'nullable',
  'contentEncoding',
  'contentMediaType',
  '$vocabulary',
])

export function walkSchema(schema: TokenObject, location: string, visitor: SchemaVisitor): void {
  walk(schema, location, 0, visitor)
}

function walk(schema: TokenObject, location: string, depth: number, visitor: SchemaVisitor): void {
  visitor.schema(location, schema, depth)
  for (const [keyword, content] of Object.entries(schema)) {
    const at = `${location}/${pointerPart(keyword)}`
    const kind = TEXTS.get(keyword)
    if (kind !== undefined && typeof content === 'string') visitor.text(at, kind, content)
    else if (MAPS.has(keyword) && isTokenObject(content)) {
      walkMap(schema, keyword, content, at, depth, visitor)
    } else if (SCHEMAS.has(keyword)) walkSchemas(content, at, depth, visitor)
    else {
      const known = VALUES.has(keyword) || PLAIN.has(keyword)
      // A keyword of somebody's own invention is read as a remark, its name included.
      if (!known && kind === undefined) visitor.text(at, 'comment', keyword)
      walkData(content, at, known ? 'value' : 'comment', visitor)
    }
  }
}

function walkMap(
  owner: TokenObject,
  keyword: string,
  map: TokenObject,
  location: string,
  depth: number,
  visitor: SchemaVisitor,
): void {
  const required = keyword === 'properties' ? namesOf(owner['required']) : undefined
  for (const [name, content] of Object.entries(map)) {
    const at = `${location}/${pointerPart(name)}`
    if (required !== undefined) {
      visitor.text(at, 'property_name', name)
      if (isTokenObject(content)) {
        visitor.property({
          location: at,
          name,
          schema: content,
          depth: depth + 1,
          required: required.has(name),
        })
      }
    } else visitor.text(at, keyword === 'patternProperties' ? 'pattern' : 'title', name)
    const inner = keyword === 'properties' || keyword === 'patternProperties' ? depth + 1 : depth
    if (isTokenObject(content)) walk(content, at, inner, visitor)
    else walkData(content, at, 'value', visitor)
  }
}

function walkSchemas(content: TokenJson, location: string, depth: number, visitor: SchemaVisitor) {
  if (isTokenObject(content)) walk(content, location, depth, visitor)
  else if (isList(content)) {
    for (const [index, item] of content.entries()) {
      walkSchemas(item, `${location}/${index}`, depth, visitor)
    }
  } else walkData(content, location, 'value', visitor)
}

/** All texts in plain data, names of members included. */
function walkData(
  content: TokenJson,
  location: string,
  kind: TargetKind,
  visitor: SchemaVisitor,
): void {
  if (typeof content === 'string') visitor.text(location, kind, content)
  else if (isList(content)) {
    for (const [index, item] of content.entries()) {
      walkData(item, `${location}/${index}`, kind, visitor)
    }
  } else if (isTokenObject(content)) {
    for (const [name, item] of Object.entries(content)) {
      const at = `${location}/${pointerPart(name)}`
      visitor.text(at, kind, name)
      walkData(item, at, kind, visitor)
    }
  }
}

export function namesOf(required: TokenJson | undefined): ReadonlySet<string> {
  if (!isList(required)) return new Set()
  return new Set(required.filter((name) => typeof name === 'string'))
}

export function isList(value: TokenJson | undefined): value is readonly TokenJson[] {
  return Array.isArray(value)
}

/** RFC 6901 §3. */
export function pointerPart(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
