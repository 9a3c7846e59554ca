/**
 * Cedar values. An evaluation error is a value too ({@link CedarError}), so that the success path
 * never pays for error handling; nothing in the evaluator throws.
 */

/** i64: a JS number while it is a safe integer (never −0), else a BigInt. Always normalised. */
export type Long = number | bigint

/** `__proto__` and `constructor` are legal attribute names, hence a Map. */
export type CedarRecord = ReadonlyMap<string, Value>

export type Value = boolean | Long | string | EntityUid | CedarSet | CedarRecord | ExtValue

export class CedarError {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }
}

/** `Type::"id"`. Keep and reuse instances where you can: `key` is computed once. */
export class EntityUid {
  readonly type: string
  readonly id: string
  #key: string | undefined

  /** @param type A Cedar type name such as `Agent` or `App::Agent`; never holds a quote. */
  constructor(type: string, id: string) {
    this.type = type
    this.id = id
  }

  /** Injective because a type name holds no quote, so the id needs no escaping. */
  get key(): string {
    this.#key ??= `${this.type}::"${this.id}"`
    return this.#key
  }

  is(other: EntityUid): boolean {
    return this === other || (this.id === other.id && this.type === other.type)
  }

  toString(): string {
    return `${this.type}::${JSON.stringify(this.id)}`
  }
}

/** Decimal, datetime, duration and ipaddr: equal when their keys are. */
export abstract class ExtValue {
  abstract readonly typeName: string
  /** Injective over all extension values, and self-delimiting. */
  abstract readonly key: string
}

type Primitive = boolean | Long | string

/** Members are unique under Cedar's `==`; order is of no account. */
export class CedarSet {
  readonly #primitives = new Set<Primitive>()
  readonly #objects = new Map<string, Value>()
  #entities: readonly EntityUid[] | undefined

  constructor(members: Iterable<Value> = []) {
    for (const member of members) {
      if (typeof member === 'object') this.#objects.set(canonicalKey(member), member)
      else this.#primitives.add(member)
    }
  }

  get size(): number {
    return this.#primitives.size + this.#objects.size
  }

  has(value: Value): boolean {
    if (typeof value !== 'object') return this.#primitives.has(value)
    return this.#objects.size > 0 && this.#objects.has(canonicalKey(value))
  }

  includes(other: CedarSet): boolean {
    if (other.size > this.size) return false
    for (const member of other.#primitives) if (!this.#primitives.has(member)) return false
    for (const key of other.#objects.keys()) if (!this.#objects.has(key)) return false
    return true
  }

  meets(other: CedarSet): boolean {
    for (const member of other.#primitives) if (this.#primitives.has(member)) return true
    for (const key of other.#objects.keys()) if (this.#objects.has(key)) return true
    return false
  }

  *[Symbol.iterator](): IterableIterator<Value> {
    yield* this.#primitives
    yield* this.#objects.values()
  }

  /** The members, when all of them are entities. */
  entities(): readonly EntityUid[] | undefined {
    if (this.#entities !== undefined) return this.#entities
    const uids: EntityUid[] = []
    for (const member of this) if (member instanceof EntityUid) uids.push(member)
    if (uids.length !== this.size) return undefined
    this.#entities = uids
    return uids
  }
}

/** Cedar's `==`: values of different types are unequal, never an error. */
export function equals(a: Value, b: Value): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object') return false
  if (a instanceof EntityUid) return b instanceof EntityUid && a.is(b)
  if (a instanceof CedarSet) return b instanceof CedarSet && a.size === b.size && a.includes(b)
  if (a instanceof ExtValue) return b instanceof ExtValue && a.key === b.key
  return isRecord(b) && sameRecord(a, b)
}

export function isRecord(value: Value | CedarError): value is CedarRecord {
  return value instanceof Map
}

function sameRecord(a: CedarRecord, b: CedarRecord): boolean {
  if (a.size !== b.size) return false
  for (const [name, value] of a) {
    const other = b.get(name)
    if (other === undefined || !equals(value, other)) return false
  }
  return true
}

/** Equal keys exactly for equal values; each key also delimits itself, so keys can be joined. */
export function canonicalKey(value: Value): string {
  switch (typeof value) {
    case 'boolean':
      return value ? 't' : 'f'
    case 'number':
    case 'bigint':
      return `i${value};`
    case 'string':
      return textKey('s', value)
  }
  if (value instanceof EntityUid) return textKey('e', value.key)
  if (value instanceof ExtValue) return value.key
  if (value instanceof CedarSet) return `[${Array.from(value, canonicalKey).sort().join('')}]`
  const names = [...value.keys()].sort()
  return `{${names.map((name) => textKey('n', name) + memberKey(value, name)).join('')}}`
}

function memberKey(record: CedarRecord, name: string): string {
  const value = record.get(name)
  return value === undefined ? '' : canonicalKey(value)
}

function textKey(tag: string, text: string): string {
  return `${tag}${text.length}:${text}`
}

/** The Cedar name of a value's type, for messages. */
export function typeName(value: Value): string {
  switch (typeof value) {
    case 'boolean':
      return 'bool'
    case 'number':
    case 'bigint':
      return 'long'
    case 'string':
      return 'string'
  }
  if (value instanceof EntityUid) return `entity of type ${value.type}`
  if (value instanceof CedarSet) return 'set'
  if (value instanceof ExtValue) return value.typeName
  return 'record'
}

/** Passes an error on, and makes one of a value that has the wrong type. */
export function mistyped(value: Value | CedarError, expected: string): CedarError {
  if (value instanceof CedarError) return value
  return new CedarError(`type error: expected ${expected}, got ${typeName(value)}`)
}
