/**
 * Makes a plain JSON value of any value: bounded in depth, width, size and time, secrets taken out,
 * texts cut. It looks at values only through `intrinsics.ts`, so no code of theirs runs.
 */
import type { Json } from './capturer.ts'
import { cutText, jsonBytes } from './cut.ts'
import { describe } from './describe.ts'
import {
  bytesIn,
  classNameOf,
  dataMember,
  dateText,
  entriesOf,
  exceptionMember,
  functionName,
  isProxy,
  keysOf,
  kindOf,
  monotonicMs,
  ownMember,
  sizeOf,
  unboxed,
  urlText,
  valuesOf,
} from './intrinsics.ts'
import type { KeyRule } from './sensitive-key.ts'

/** Texts are searched this far behind what is shown of them, so that no secret is cut in half. */
export const SCAN_AHEAD = 4096

/** How a text becomes safe. `cut`: it goes on behind this piece. */
export type CleanText = (text: string, cut: boolean) => string

export interface Bounds {
  readonly depth: number
  /** Keys of an object, items of an array, a map or a set. */
  readonly width: number
  readonly nodes: number
  /** Of JSON, all values of one event together. */
  readonly bytes: number
  readonly milliseconds: number
}

export const EVENT_BOUNDS: Bounds = {
  depth: 4,
  width: 32,
  nodes: 512,
  bytes: 40 * 1024,
  // One millisecond is promised; the last text that is begun in time takes a little longer.
  milliseconds: 0.75,
}

const MAX_KEY = 128
const BUDGET = '[budget]'
const REDACTED_KEY = '[redacted:key]'
/** What is cheap whatever it holds is not timed, so that a busy machine does not change small values. */
const UNTIMED_WORK = 32_768
const WORK_PER_LOOK = 8192
const WORK_PER_NODE = 256
/** Beyond it a bigint is not written out: that takes more than linear time. */
const BIGINT_LIMIT = 1n << 1024n

export class Serialiser {
  readonly #bounds: Bounds
  readonly #limit: number
  readonly #keyRule: KeyRule | undefined
  readonly #clean: CleanText
  readonly #path: object[] = []
  #nodes = 0
  #bytes = 0
  #work = 0
  #nextLook = UNTIMED_WORK
  #startedMs = 0
  #spent = false
  #late = false

  /**
   * @param limit Characters shown of each text.
   * @param keyRule Without one no value goes for the sake of its name.
   */
  constructor(bounds: Bounds, limit: number, keyRule: KeyRule | undefined, clean: CleanText) {
    this.#bounds = bounds
    this.#limit = limit
    this.#keyRule = keyRule
    this.#clean = clean
  }

  /** The time has run out, so something is missing that would be there at another time. */
  get late(): boolean {
    return this.#late
  }

  /**
   * Never throws.
   *
   * @param startedMs When the time of the event began, where that was before this.
   */
  value(value: unknown, startedMs = 0): Json {
    if (this.#startedMs === 0) this.#startedMs = startedMs || monotonicMs()
    try {
      return this.#node(value, this.#keyRule !== undefined)
    } catch {
      return '[unreadable]'
    } finally {
      this.#path.length = 0
    }
  }

  /** A text that belongs to the event, such as the message of an error. */
  text(text: string): string {
    if (this.#startedMs === 0) this.#startedMs = monotonicMs()
    return this.#text(text)
  }

  #node(value: unknown, judged: boolean): Json {
    this.#nodes += 1
    this.#work += WORK_PER_NODE
    if (this.#exhausted()) return BUDGET
    switch (typeof value) {
      case 'string':
        return this.#text(value)
      case 'number':
        return this.#number(value)
      case 'boolean':
        this.#bytes += 5
        return value
      case 'object':
        return value === null ? this.#plain(null) : this.#object(value, judged)
      case 'bigint':
        return value > BIGINT_LIMIT || value < -BIGINT_LIMIT
          ? this.#mark('[bigint]')
          : this.#text(`${value}n`)
      case 'function':
        if (isProxy(value)) return this.#mark('[proxy]')
        return this.#text(`[function ${functionName(value) || 'anonymous'}]`)
      case 'symbol':
        return this.#text(`[${String(value)}]`)
      default:
        return this.#mark('[undefined]')
    }
  }

  #exhausted(): boolean {
    if (this.#spent) return true
    if (this.#nodes > this.#bounds.nodes || this.#bytes > this.#bounds.bytes) this.#spent = true
    else if (this.#work > this.#nextLook) {
      this.#nextLook = this.#work + WORK_PER_LOOK
      this.#late = monotonicMs() - this.#startedMs > this.#bounds.milliseconds
      this.#spent = this.#late
    }
    return this.#spent
  }

  #text(text: string): string {
    const room = Math.max(0, this.#bounds.bytes - this.#bytes)
    const limit = Math.min(this.#limit, room)
    const window = Math.min(text.length, limit + SCAN_AHEAD)
    this.#work += window
    const cut = window < text.length
    const clean = this.#clean(cut ? text.slice(0, window) : text, cut)
    return this.#mark(cutText(clean, limit, text.length - window))
  }

  #mark(text: string): string {
    this.#bytes += jsonBytes(text) + 1
    return text
  }

  #plain(value: null): null {
    this.#bytes += 5
    return value
  }

  #number(value: number): Json {
    // JSON has no others, and a reader may not tell larger integers apart.
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
      return this.#mark(String(value))
    this.#bytes += 20
    return value
  }

  #object(value: object, judged: boolean): Json {
    const kind = kindOf(value)
    switch (kind) {
      case 'proxy':
      case 'promise':
        return this.#mark(`[${kind}]`)
      case 'bytes':
        return this.#mark(`<bytes len=${bytesIn(value)}>`)
      case 'handle':
        return this.#mark(`<${this.#clean(classNameOf(value), false) || 'object'}>`)
      case 'date':
        return this.#mark(dateText(value))
      case 'regexp':
        return this.#mark('[regexp]')
      case 'boxed':
        return this.#node(unboxed(value), judged)
      case 'url':
        return this.#text(urlText(value) ?? '[url]')
      case 'error':
        return this.#error(value)
      default:
        return this.#container(value, kind, judged)
    }
  }

  #container(
    value: object,
    kind: 'array' | 'plain' | 'instance' | 'map' | 'set',
    judged: boolean,
  ): Json {
    if (this.#path.includes(value)) return this.#mark('[circular]')
    if (this.#path.length > this.#bounds.depth) return this.#mark(describe(value))
    this.#path.push(value)
    this.#bytes += 2
    try {
      switch (kind) {
        case 'array':
          return this.#array(value as unknown[], judged)
        case 'map':
          return this.#map(value, judged)
        case 'set':
          return this.#set(value, judged)
        default:
          return this.#members(value, kind, judged)
      }
    } finally {
      this.#path.pop()
    }
  }

  #array(value: unknown[], judged: boolean): Json {
    const { length } = value
    const shown = Math.min(length, this.#bounds.width)
    const items: Json[] = []
    for (let at = 0; at < shown; at += 1) {
      const item = ownMember(value, String(at))
      if (item === 'absent') items.push(this.#mark('[empty]'))
      else items.push(item === 'getter' ? this.#mark('[getter]') : this.#node(item.value, judged))
      if (this.#spent) break
    }
    if (items.length < length) items.push(this.#mark(`…+${length - items.length} items`))
    return items
  }

  #set(value: object, judged: boolean): Json {
    const size = sizeOf(value, 'set')
    const items: Json[] = []
    for (const item of valuesOf(value, this.#bounds.width)) {
      items.push(this.#node(item, judged))
      if (this.#spent) break
    }
    if (items.length < size) items.push(this.#mark(`…+${size - items.length} items`))
    return { $type: 'Set', items }
  }

  #map(value: object, judged: boolean): Json {
    const size = sizeOf(value, 'map')
    const entries: Json[] = []
    for (const [key, item] of entriesOf(value, this.#bounds.width)) {
      const named = typeof key === 'string'
      const shown = named ? this.#key(key) : this.#node(key, judged)
      entries.push([shown, named ? this.#named(key, item, judged) : this.#node(item, judged)])
      if (this.#spent) break
    }
    if (entries.length < size) entries.push(this.#mark(`…+${size - entries.length} items`))
    return { $type: 'Map', entries }
  }

  #members(value: object, kind: 'plain' | 'instance', judged: boolean): Json {
    const keys = keysOf(value)
    if (keys === undefined) return this.#mark(describe(value))
    const out: Record<string, Json> = {}
    if (kind === 'instance') put(out, '$type', this.#text(classNameOf(value) || 'Object'))
    let shown = 0
    for (const key of keys) {
      if (shown >= this.#bounds.width || this.#exhausted()) break
      const member = ownMember(value, key)
      const json =
        member === 'getter'
          ? this.#mark('[getter]')
          : this.#named(key, member === 'absent' ? undefined : member.value, judged)
      put(out, this.#freeKey(out, this.#key(key)), json)
      shown += 1
    }
    if (shown < keys.length) put(out, '…', this.#mark(`…+${keys.length - shown} keys`))
    return out
  }

  /** The value of a member, unless its name says that it is a secret. */
  #named(key: string, value: unknown, judged: boolean): Json {
    if (!judged || this.#keyRule === undefined) return this.#node(value, judged)
    const verdict = this.#keyRule(key)
    if (verdict === 'plain' || value === undefined || value === null) return this.#node(value, true)
    if (verdict === 'open') return this.#node(value, false)
    if (verdict === 'counter' && isCount(value)) return this.#node(value, true)
    this.#nodes += 1
    return this.#mark(REDACTED_KEY)
  }

  /** A name is content too: it may hold a secret, and it may be long. */
  #key(key: string): string {
    const window = Math.min(key.length, MAX_KEY + SCAN_AHEAD)
    this.#work += window
    const clean = this.#clean(window < key.length ? key.slice(0, window) : key, window < key.length)
    const shown = cutText(clean, MAX_KEY, key.length - window)
    this.#bytes += jsonBytes(shown) + 1
    return shown
  }

  /** Two names that are alike once they are cut or redacted stay two. */
  #freeKey(out: Record<string, Json>, key: string): string {
    let free = key
    for (let count = 2; Object.hasOwn(out, free); count += 1) free = `${key}#${count}`
    return free
  }

  #error(value: object): Json {
    return {
      type: this.#text(errorName(value)),
      message: this.#text(errorMessage(value) ?? ''),
    }
  }
}

function put(out: Record<string, Json>, key: string, value: Json): void {
  // Assigning would set the prototype.
  if (key === '__proto__')
    Object.defineProperty(out, key, { value, enumerable: true, writable: true, configurable: true })
  else out[key] = value
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
}

/** `name` of an error, or its class when the name was left as `Error`. */
export function errorName(error: object): string {
  const exception = exceptionMember(error, 'name')
  if (exception !== undefined) return exception
  const name = dataMember(error, 'name')
  if (typeof name === 'string' && name !== '' && name !== 'Error') return name
  return classNameOf(error) || 'Error'
}

/** `undefined` where the message is computed by a getter of its class. */
export function errorMessage(error: object): string | undefined {
  const message = exceptionMember(error, 'message') ?? dataMember(error, 'message')
  return typeof message === 'string' ? message : undefined
}
