/** Literals of a policy in their JSON form, with `__entity` and `__extn`. Never for callers' data. */
import { type Json, type Place, readArray, readObject, readString, readUid } from './est.ts'
import { EXT_FUNCTIONS } from './ext.ts'
import { CedarError, CedarSet, type Value } from './value.ts'

/**
 * The value of a literal.
 *
 * @throws VestryError `POLICY_INVALID` for null, fractions, integers that a JSON reader may have
 *   rounded (beyond ±(2^53−1)), lone surrogates and extension values that do not parse.
 */
export function constantFromJson(json: unknown, place: Place): Value {
  switch (typeof json) {
    case 'boolean':
      return json
    case 'string':
      return readString(json, place)
    case 'number':
      if (!Number.isInteger(json)) throw place.refuse('a number is not whole')
      if (!Number.isSafeInteger(json)) {
        throw place.refuse(
          'an integer is beyond 9007199254740991 and cannot be kept exactly',
          'Write it as a product or a sum.',
        )
      }
      return json + 0 // −0 becomes 0
  }
  if (Array.isArray(json)) {
    return new CedarSet(json.map((member) => constantFromJson(member, place.at('set'))))
  }
  const object = readObject(json, place)
  if (Object.hasOwn(object, '__entity')) return readUid(object, place)
  if (Object.hasOwn(object, '__extn')) return extension(readObject(object['__extn'], place), place)
  return new Map(
    Object.entries(object).map(([name, member]) => [
      readString(name, place),
      constantFromJson(member, place.at(name)),
    ]),
  )
}

function extension(call: Json, place: Place): Value {
  const name = readString(call['fn'], place)
  const args = call['args'] === undefined ? [call['arg']] : readArray(call['args'], place)
  const values = args.map((arg) => constantFromJson(arg, place.at(name)))
  const found = EXT_FUNCTIONS.get(name)
  const [first, second] = values
  if (found === undefined || first === undefined || values.length !== found.arity) {
    throw place.refuse(`no extension function "${name}" with ${values.length} arguments`)
  }
  const value = found.arity === 1 ? found.call(first) : found.call(first, second ?? first)
  if (value instanceof CedarError) throw place.refuse(value.message)
  return value
}
