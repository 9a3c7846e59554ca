/**
 * Names and other metadata are told in every mode, so they are told without secrets: some of them are
 * made from data, as the name of a computed member is.
 */
import type { Capturer, Json } from './capture/capturer.ts'

/** Programs use few names; those made from data come and go. */
const MOST_NAMES = 1024
const MOST_CHARACTERS = 256
const names = new WeakMap<Capturer, Map<string, string>>()

/** @param name At most {@link MOST_CHARACTERS} long. */
export function cleanName(capturer: Capturer, name: string): string {
  let known = names.get(capturer)
  if (known === undefined) {
    known = new Map()
    names.set(capturer, known)
  }
  const before = known.get(name)
  if (before !== undefined) return before
  const told = capturer.begin('redacted', MOST_CHARACTERS).value(name)
  const clean = typeof told === 'string' ? told : ''
  if (known.size >= MOST_NAMES) known.clear()
  known.set(name, clean)
  return clean
}

interface Told {
  readonly capturer: Capturer
  readonly facts: Json
}

const told = new WeakMap<object, Told>()

/** @param facts Never changed, so they are looked at once. */
export function cleanFacts(capturer: Capturer, facts: object, characters: number): Json {
  const before = told.get(facts)
  if (before?.capturer === capturer) return before.facts
  const clean = capturer.begin('redacted', characters).value(facts)
  told.set(facts, { capturer, facts: clean })
  return clean
}
