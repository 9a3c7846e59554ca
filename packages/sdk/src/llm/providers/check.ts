/**
 * Words for checking a request: each takes a member and the place it stands at, and returns it typed
 * or throws a fault that names the place.
 */
import type { JsonObject } from './chat-types.ts'
import { ProviderFault } from './fault.ts'
import { isObject } from './json.ts'

export function invalid(place: string, complaint: string): ProviderFault {
  return new ProviderFault('invalid_request', `${place} ${complaint}`, { param: place })
}

export function unsupported(place: string, complaint: string): ProviderFault {
  return new ProviderFault('unsupported_parameter', `${place} ${complaint}`, { param: place })
}

export function object(value: unknown, place: string): JsonObject {
  if (isObject(value)) return value
  throw invalid(place, 'must be an object')
}

export function list(value: unknown, place: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(place, 'must be a list')
  if (value.length > most)
    throw invalid(place, `has ${value.length} entries, at most ${most} are taken`)
  return value
}

export function text(value: unknown, place: string): string {
  if (typeof value === 'string') return value
  throw invalid(place, 'must be a string')
}

export function filled(value: unknown, place: string): string {
  const given = text(value, place)
  if (given.trim() === '') throw invalid(place, 'must not be empty')
  return given
}

export function flag(value: unknown, place: string): boolean {
  if (typeof value === 'boolean') return value
  throw invalid(place, 'must be true or false')
}

export function number(value: unknown, place: string, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value
  throw invalid(place, `must be a number from ${least} to ${most}`)
}

export function integer(value: unknown, place: string, least: number, most: number): number {
  if (Number.isSafeInteger(value)) {
    const given = value as number
    if (given >= least && given <= most) return given
  }
  throw invalid(place, `must be a whole number from ${least} to ${most}`)
}

export function oneOf<T extends string>(value: unknown, place: string, known: readonly T[]): T {
  const found = known.find((name) => name === value)
  if (found !== undefined) return found
  throw invalid(place, `must be one of ${known.join(', ')}`)
}

/**
 * Refuses members that are not known. A member that is null says nothing, so it is let be: answers of
 * a provider, which callers send back as history, are full of them.
 */
export function onlyMembers(given: JsonObject, place: string, known: ReadonlySet<string>): void {
  for (const [name, value] of Object.entries(given)) {
    if (known.has(name) || value === null) continue
    throw unsupported(place === '' ? name : `${place}.${name}`, 'is not supported')
  }
}

/** A member with its check, or nothing when it is absent or null: for spreading into the result. */
export function optional<K extends string, T>(
  given: JsonObject,
  name: K,
  check: (value: unknown, place: string) => T,
  place: string = name,
): { [name in K]?: T } {
  const value = given[name]
  if (value === undefined || value === null) return {}
  return { [name]: check(value, place) } as { [name in K]?: T }
}
