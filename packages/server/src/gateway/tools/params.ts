/** The first steps every tool takes with the params of a call: a plain copy, without what was meant for the gateway. */
import { isJsonObject, NotPlain, plainJson } from './plain-json.ts'
import { InvalidToolParams, type Json, type JsonObject } from './tool.ts'

/** Read by the gateway itself, never passed on. */
export const RESERVED_PARAMS: readonly string[] = ['intent', 'idempotency_key', 'idempotencyKey']

const LIMITS = { depth: 32, values: 50_000, items: 5_000, unsafe: 'drop' } as const

/** @throws InvalidToolParams */
export function plainParams(params: JsonObject): JsonObject {
  const copy = copied(params)
  if (!isJsonObject(copy)) throw new InvalidToolParams(['params: must be an object'])
  for (const name of RESERVED_PARAMS) delete copy[name]
  return copy
}

/** What a caller may write for a param → its name, best first. */
export type Aliases = Readonly<Record<string, readonly string[]>>

export interface Picked {
  /** Only what was given, under the names of the tool. */
  readonly params: JsonObject
  /** Name of the tool → the name the caller used, where they differ. */
  readonly spelling: ReadonlyMap<string, string>
}

/** Takes the known params and leaves all others behind. */
export function pick(params: JsonObject, aliases: Aliases): Picked {
  const picked: JsonObject = {}
  const spelling = new Map<string, string>()
  for (const [name, others] of Object.entries(aliases)) {
    const given = [name, ...others].find((candidate) => Object.hasOwn(params, candidate))
    if (given === undefined) continue
    picked[name] = params[given] as Json // it is an own member
    if (given !== name) spelling.set(name, given)
  }
  return { params: picked, spelling }
}

/** Characters as a reader counts them: code points. */
export function characters(text: string): number {
  let count = 0
  for (const _ of text) count += 1
  return count
}

/** The first `count` characters. */
export function firstCharacters(text: string, count: number): string {
  // Twice as many units hold at least that many characters.
  return [...text.slice(0, 2 * count)].slice(0, count).join('')
}

function copied(params: JsonObject): Json {
  try {
    return plainJson(params, LIMITS)
  } catch (error) {
    if (!(error instanceof NotPlain)) throw error
    throw new InvalidToolParams([`params: ${error.message}`])
  }
}
