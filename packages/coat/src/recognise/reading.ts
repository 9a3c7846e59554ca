/** Reads values of unknown make: data members only, so nothing of theirs runs; no text that could be content. */
import { dataMember, isProxy, ownMember } from '../capture/intrinsics.ts'

export const field = dataMember

/** The first of the members that is there. */
export function anyField(value: unknown, ...names: readonly string[]): unknown {
  for (const name of names) {
    const found = dataMember(value, name)
    if (found !== undefined && found !== null) return found
  }
  return undefined
}

export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && !isProxy(value)
}

/** At most so many items; none when it is no list. */
export function items(value: unknown, most = 128): unknown[] {
  if (!isList(value)) return []
  const found: unknown[] = []
  for (let at = 0; at < Math.min(value.length, most); at += 1) {
    const item = ownMember(value, String(at))
    found.push(typeof item === 'string' ? undefined : item.value)
  }
  return found
}

export function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isProxy(value) && !Array.isArray(value)
}

/** A count or a setting. */
export function numberIn(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** The name of a model, a tool or a call: one word, not too long. Anything else may be content. */
export function identifier(value: unknown): string | undefined {
  return typeof value === 'string' && IDENTIFIER.test(value) ? value.toWellFormed() : undefined
}

const IDENTIFIER = /^[^\s\p{C}]{1,256}$/u

/** One of few words, such as a reason for finishing. */
export function word(value: unknown): string | undefined {
  return typeof value === 'string' && WORD.test(value) ? value : undefined
}

const WORD = /^[A-Za-z][\w.-]{0,63}$/

/** Drops what was not found. */
export function present(facts: Record<string, unknown>): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const name in facts) if (facts[name] !== undefined) found[name] = facts[name]
  return found
}

export function presentOrNone(facts: Record<string, unknown>): Record<string, unknown> | undefined {
  const found = present(facts)
  for (const _ in found) return found
  return undefined
}
