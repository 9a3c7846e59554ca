/**
 * What a value is, found out without running code of it: no getter, no trap of a proxy, no `toJSON`, no
 * `Symbol.toStringTag`. The built-in functions are taken when this loads, so later patches do not matter.
 */
import { types } from 'node:util'

export const isProxy: (value: unknown) => boolean = types.isProxy

const clock = performance
const clockNow = clock.now
/** Monotonic milliseconds, whatever has been done to the global since. */
export function monotonicMs(): number {
  return clockNow.call(clock)
}

const describeOwn = Object.getOwnPropertyDescriptor
const prototypeOf = Object.getPrototypeOf as (value: object) => object | null

/** An own member: its value, or why there is none to show. */
export type Member = { readonly value: unknown } | 'getter' | 'absent'

export function ownMember(target: object, name: string): Member {
  const found = describeOwn(target, name)
  if (found === undefined) return 'absent'
  return 'value' in found ? (found as { value: unknown }) : 'getter'
}

/** A data member of a value or of what it inherits from, otherwise `undefined`. Never throws. */
export function dataMember(target: unknown, name: string): unknown {
  let holder: unknown = target
  try {
    for (let depth = 0; depth < 6 && isObject(holder) && !isProxy(holder); depth += 1) {
      const member = ownMember(holder, name)
      if (member === 'getter') return undefined
      if (member !== 'absent') return member.value
      holder = prototypeOf(holder)
    }
  } catch {
    // A module whose binding is not initialised yet.
  }
  return undefined
}

export function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

export type ObjectKind =
  | 'proxy'
  | 'array'
  | 'plain'
  | 'instance'
  | 'map'
  | 'set'
  | 'date'
  | 'error'
  | 'bytes'
  | 'promise'
  | 'regexp'
  | 'boxed'
  | 'url'
  /** A stream, a socket, a request: something one holds, not something one reads. */
  | 'handle'

export function kindOf(value: object): ObjectKind {
  if (isProxy(value)) return 'proxy'
  if (Array.isArray(value)) return 'array'
  const prototype = prototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return brandOf(value) ?? 'plain'
  const { plain, kind } = aboutPrototype(prototype)
  return brandOf(value) ?? kind ?? (plain ? 'plain' : 'instance')
}

/** Cheap where there is no brand: one question answers for all built-in objects with a hidden state. */
function brandOf(value: object): ObjectKind | undefined {
  if (types.isMap(value)) return 'map'
  if (types.isSet(value)) return 'set'
  if (types.isDate(value)) return 'date'
  if (types.isNativeError(value)) return 'error'
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return 'bytes'
  if (types.isPromise(value)) return 'promise'
  if (types.isRegExp(value)) return 'regexp'
  if (types.isBoxedPrimitive(value)) return 'boxed'
  return undefined
}

/** The name of the class, `''` for plain objects and where there is none. */
export function classNameOf(value: object): string {
  const prototype = isProxy(value) ? null : prototypeOf(value)
  return prototype === null ? '' : aboutPrototype(prototype).name
}

interface PrototypeInfo {
  readonly name: string
  /** An object literal of another realm. */
  readonly plain: boolean
  readonly kind: ObjectKind | undefined
}

const PLAIN: PrototypeInfo = { name: '', plain: true, kind: undefined }
const known = new WeakMap<object, PrototypeInfo>([[Object.prototype, PLAIN]])

function aboutPrototype(prototype: object): PrototypeInfo {
  const before = known.get(prototype)
  if (before !== undefined) return before
  const info = inspectPrototype(prototype)
  known.set(prototype, info)
  return info
}

function inspectPrototype(prototype: object): PrototypeInfo {
  if (isProxy(prototype)) return { name: 'Object', plain: false, kind: undefined }
  const names: string[] = []
  let kind: ObjectKind | undefined
  let at: object | null = prototype
  for (let depth = 0; at !== null && depth < 16 && !isProxy(at); depth += 1) {
    const name = nameOfConstructor(at)
    names.push(name)
    if (kind === undefined) kind = at === URL.prototype ? 'url' : KINDS.get(name)
    at = prototypeOf(at)
  }
  if (names.length === 1 && names[0] === 'Object') return PLAIN
  const name = names.find((one) => one !== '') ?? 'Object'
  return { name: name.slice(0, 128).toWellFormed(), plain: false, kind }
}

function nameOfConstructor(prototype: object): string {
  const made = ownMember(prototype, 'constructor')
  return typeof made === 'object' && typeof made.value === 'function'
    ? functionName(made.value)
    : ''
}

/** As the function was named; `''` where its name is computed by a getter. */
export function functionName(target: object): string {
  if (isProxy(target)) return ''
  const name = ownMember(target, 'name')
  return typeof name === 'object' && typeof name.value === 'string' ? name.value.slice(0, 128) : ''
}

const KINDS: ReadonlyMap<string, ObjectKind> = new Map<string, ObjectKind>([
  ['Error', 'error'],
  ['DOMException', 'error'],
  // By the names of their bases: a server is an emitter of events, a socket is a stream.
  ...`Request Response Headers FormData Blob File ReadableStream WritableStream TransformStream
    EventTarget EventEmitter Stream IncomingMessage OutgoingMessage AbortController AbortSignal
    MessagePort KeyObject CryptoKey WeakMap WeakSet WeakRef AsyncLocalStorage FinalizationRegistry
    DatabaseSync StatementSync Generator AsyncGenerator`
    .split(/\s+/)
    .map((name) => [name, 'handle'] as const),
])

const typedArray = prototypeOf(Uint8Array.prototype) as object
const byteLengthOf = {
  view: getter(typedArray, 'byteLength'),
  data: getter(DataView.prototype, 'byteLength'),
  buffer: getter(ArrayBuffer.prototype, 'byteLength'),
  shared: getter(SharedArrayBuffer.prototype, 'byteLength'),
}

export function bytesIn(value: object): number {
  const read = ArrayBuffer.isView(value)
    ? types.isTypedArray(value)
      ? byteLengthOf.view
      : byteLengthOf.data
    : types.isSharedArrayBuffer(value)
      ? byteLengthOf.shared
      : byteLengthOf.buffer
  return Number(read.call(value))
}

const MANY_KEYS = 10_000
const large = new WeakSet<object>()
let anyLarge = false

/**
 * Names of the members, or `undefined` for an object that had very many when it was seen before: there
 * is no way to look at a few of them, and a dictionary of a million must not cost that at each call.
 */
export function keysOf(value: object): string[] | undefined {
  if (anyLarge && large.has(value)) return undefined
  const keys = Object.keys(value)
  if (keys.length > MANY_KEYS) {
    anyLarge = true
    large.add(value)
  }
  return keys
}

const mapSize = getter(Map.prototype, 'size')
const setSize = getter(Set.prototype, 'size')
const mapEntries = Map.prototype.entries
const setValues = Set.prototype.values

export function sizeOf(value: object, kind: 'map' | 'set'): number {
  return Number((kind === 'map' ? mapSize : setSize).call(value))
}

/** At most so many entries. */
export function entriesOf(value: object, most: number): [unknown, unknown][] {
  return take(mapEntries.call(value as Map<unknown, unknown>), most)
}

export function valuesOf(value: object, most: number): unknown[] {
  return take(setValues.call(value as Set<unknown>), most)
}

function take<T>(iterator: Iterator<T>, most: number): T[] {
  const taken: T[] = []
  while (taken.length < most) {
    const next = iterator.next()
    if (next.done) break
    taken.push(next.value)
  }
  return taken
}

const toIso = Date.prototype.toISOString
const timeOf = Date.prototype.getTime

export function dateText(value: object): string {
  return Number.isNaN(timeOf.call(value as Date)) ? 'Invalid Date' : toIso.call(value as Date)
}

const hrefOf = getter(URL.prototype, 'href')

export function urlText(value: object): string | undefined {
  try {
    const href = hrefOf.call(value)
    return typeof href === 'string' ? href : undefined
  } catch {
    // It inherits from URL without being one.
    return undefined
  }
}

const nameOfException = getter(DOMException.prototype, 'name')
const messageOfException = getter(DOMException.prototype, 'message')

/** A `DOMException`, such as an abort, keeps its name and message behind getters of the platform. */
export function exceptionMember(value: object, member: 'name' | 'message'): string | undefined {
  if (!inherits(value, DOMException.prototype)) return undefined
  try {
    const text = (member === 'name' ? nameOfException : messageOfException).call(value)
    return typeof text === 'string' ? text : undefined
  } catch {
    return undefined
  }
}

function inherits(value: object, ancestor: object): boolean {
  let at: object | null = value
  for (let depth = 0; at !== null && depth < 8 && !isProxy(at); depth += 1) {
    if (at === ancestor) return true
    at = prototypeOf(at)
  }
  return false
}

/** The primitive in a `new String('…')` and its like. */
export function unboxed(value: object): unknown {
  if (types.isStringObject(value)) return String.prototype.valueOf.call(value)
  if (types.isNumberObject(value)) return Number.prototype.valueOf.call(value)
  if (types.isBooleanObject(value)) return Boolean.prototype.valueOf.call(value)
  if (types.isBigIntObject(value)) return BigInt.prototype.valueOf.call(value)
  return Symbol.prototype.valueOf.call(value)
}

function getter(target: object, name: string): (this: unknown) => unknown {
  const read = describeOwn(target, name)?.get
  // Every Node has these; without one the value is shown as if it had no such member.
  return read ?? (() => undefined)
}
