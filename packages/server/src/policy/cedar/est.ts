/**
 * Reading Cedar's JSON policy form (EST). Anything unexpected is refused with the place it stands
 * at: a stored policy that cannot be read must never be skipped.
 */
import { VestryError } from '@vestry/contract/errors'
import { EntityUid } from './value.ts'

export type Json = Record<string, unknown>

/** Where in the policy a piece stands, for messages; also bounds how deep expressions nest. */
export class Place {
  readonly policy: string
  readonly path: string
  readonly depth: number

  constructor(policy: string, path = '', depth = 0) {
    this.policy = policy
    this.path = path
    this.depth = depth
  }

  at(step: string): Place {
    const place = new Place(this.policy, `${this.path}/${step}`, this.depth + 1)
    // 500 terms in one chain: more than anyone writes, and JSON.stringify still copes.
    if (place.depth > 1_000) {
      const refused = new Place(this.policy, this.path.slice(0, 60))
      throw refused.refuse('nests too deeply', 'Split the policy, or test against a set.')
    }
    return place
  }

  refuse(problem: string, hint?: string): VestryError {
    const where = this.path === '' ? '' : ` at ${this.path}`
    return new VestryError('POLICY_INVALID', `Policy "${this.policy}"${where}: ${problem}`, {
      context: { policy: this.policy },
      ...(hint !== undefined && { hint }),
    })
  }
}

export function readObject(json: unknown, place: Place): Json {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw place.refuse('expected an object')
  }
  return json as Json // any non-null, non-array object can be indexed by strings
}

export function readArray(json: unknown, place: Place): unknown[] {
  if (!Array.isArray(json)) throw place.refuse('expected a list')
  return json
}

export function readString(json: unknown, place: Place): string {
  if (typeof json !== 'string') throw place.refuse('expected a string')
  if (!json.isWellFormed()) throw place.refuse('a string holds an unpaired surrogate')
  return json
}

const TYPE_NAME = /^[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)*$/

export function readTypeName(json: unknown, place: Place): string {
  const name = readString(json, place)
  if (!TYPE_NAME.test(name)) throw place.refuse('not the name of an entity type')
  return name
}

/** `{type, id}`, or the same inside `__entity`. */
export function readUid(json: unknown, place: Place): EntityUid {
  const outer = readObject(json, place)
  const uid = outer['__entity'] === undefined ? outer : readObject(outer['__entity'], place)
  return new EntityUid(readTypeName(uid['type'], place), readString(uid['id'], place))
}

/** The one member of an object that must have exactly one. */
export function readOnly(json: unknown, place: Place): [name: string, value: unknown] {
  const entries = Object.entries(readObject(json, place))
  const [only] = entries
  if (only === undefined || entries.length > 1) throw place.refuse('expected exactly one member')
  return only
}
