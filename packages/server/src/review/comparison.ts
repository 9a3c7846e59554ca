/**
 * Whether a tool as it is offered now is one that was signed here, and if not, what differs (runtime contract §9.6).
 * Pure; whoever asks has looked up what could match.
 */
import type { TokenObject } from '../json/raw-number.ts'
import { digestOf } from './normalise.ts'
import type { ToolDocument } from './tool-document.ts'

/** A client of the published kind can submit these and no other. */
const PLAIN = ['type', 'properties', 'required']
/** They say what a schema is; what they say is read by models, so it is analysed as well. */
const ANNOTATIONS = ['$id', '$comment', 'title', 'description']

export interface Reduced {
  readonly document: ToolDocument
  readonly hash: string
  /** Top-level keywords that are left out and might let more in than was reviewed. */
  readonly unreviewed: readonly string[]
  /** Texts that are left out, as a tool of their own to be analysed; undefined when there are none. */
  readonly annotations: ToolDocument | undefined
}

/** @returns undefined when there is nothing to leave out. */
export function reduced(document: ToolDocument): Reduced | undefined {
  const entries = Object.entries(document.schema)
  const extra = entries.filter(([keyword]) => !PLAIN.includes(keyword))
  if (extra.length === 0) return undefined
  const plain = Object.fromEntries(entries.filter(([keyword]) => PLAIN.includes(keyword)))
  const rest = { ...document, schema: plain as TokenObject }
  const texts = extra.filter(([keyword]) => ANNOTATIONS.includes(keyword))
  return {
    document: rest,
    hash: digestOf(rest),
    unreviewed: extra.filter(([key, value]) => !isHarmless(key, value)).map(([key]) => key),
    annotations: texts.length === 0 ? undefined : alone(document, Object.fromEntries(texts)),
  }
}

/** Of a finding in {@link Reduced.annotations}: whether it is about them, and not about what surrounds them. */
export function isOnAnnotation(location: string): boolean {
  return ANNOTATIONS.some(
    (keyword) => location === `/schema/${keyword}` || location.startsWith(`/schema/${keyword}/`),
  )
}

/** The same tool under the name of another provider. */
export function asFrom(document: ToolDocument, provider: ToolDocument['provider']): ToolDocument {
  return { ...document, provider }
}

function isHarmless(keyword: string, value: unknown): boolean {
  if (keyword === '$schema' || ANNOTATIONS.includes(keyword)) return typeof value === 'string'
  return keyword === 'additionalProperties' && value === false
}

function alone({ name, provider }: ToolDocument, texts: TokenObject): ToolDocument {
  return {
    name,
    description: 'Annotations of a schema.',
    provider,
    schema: { ...texts, type: 'object', properties: {}, required: [] },
  }
}
