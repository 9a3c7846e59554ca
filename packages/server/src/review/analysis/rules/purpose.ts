/** What a tool and its parameters are for, as far as names and descriptions tell. */
import type { TokenJson } from '../../../json/raw-number.ts'
import type { Param, Subject } from '../rule.ts'
import { folded } from '../views.ts'
import { nameWords } from '../words.ts'

/** Descriptions are read this far; the purpose stands at the beginning. */
const MAX_READ = 2_000
const PLACES: ReadonlySet<string> = new Set(
  'source destination src dst dest target from to'.split(' '),
)
const FILES = /\b(?:files?|director(?:y|ies)|folders?|paths?)\b/

/** Name and description of the tool, in lower case. */
export function purposeOf({ tool }: Subject): string {
  return `${nameWords(tool.name).join(' ')}. ${folded(tool.description.slice(0, MAX_READ))}`
}

/** Name, description and values to choose from, in lower case. */
export function purposeOfParam({ words, description, schema }: Param): string {
  return `${words.join(' ')}. ${folded(description.slice(0, MAX_READ))} ${textsOf(schema['enum']).join(' ')}`
}

/** A text that can be anything, or a list of such. */
export function isFreeText({ types, constrained }: Param): boolean {
  return !constrained && (types.length === 0 || types.includes('string') || types.includes('array'))
}

export function isSwitch({ types }: Param): boolean {
  return types.length === 0 || types.includes('boolean')
}

/** Names a file or directory, be it as `source` of a tool that moves files. */
export function isPath({ sinks, words }: Param, purpose: string): boolean {
  if (sinks.has('path')) return true
  return PLACES.has(words.at(-1) ?? '') && FILES.test(purpose)
}

function textsOf(value: TokenJson | undefined): string[] {
  return Array.isArray(value)
    ? (value as readonly TokenJson[])
        .slice(0, 100)
        .filter((item) => typeof item === 'string')
        .map((item) => item.slice(0, 100).toLowerCase())
    : []
}

/** As evidence: the property with what is said of it. */
export function named({ name, description }: Param): string {
  return description === '' ? name : `${name}: ${description}`
}
