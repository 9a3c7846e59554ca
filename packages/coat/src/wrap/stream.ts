/**
 * Streams of a model or a tool: asynchronous iterables, web streams and Node's. The object stays itself;
 * the ways to read from it are covered, so the span ends when the stream does.
 */
import { Readable } from 'node:stream'
import { types } from 'node:util'
import { active, applyIn, runIn } from '../active.ts'
import type { Call } from './call.ts'
import { addLayer } from './layers.ts'
import { dataMember, type Method, methodOf, shadow } from './own-data.ts'
import { afterStep } from './promise.ts'
import { whenCollected } from './unfinished.ts'
import { Yields } from './yields.ts'

/** @returns Whether it is one that could be covered; it is then observed. */
export function observeStream(call: Call, value: object): boolean {
  if (types.isProxy(value) || !Object.isExtensible(value)) return false
  const iterate = methodOf(value, Symbol.asyncIterator)
  const getReader = methodOf(value, 'getReader')
  if ((iterate === undefined && getReader === undefined) || !addLayer(value)) return false
  const yields = new Yields(call)
  const stream = new Stream(call, yields)
  if (iterate !== undefined) coverIteration(value, iterate, stream)
  if (getReader !== undefined) coverReader(value, getReader, stream)
  if (value instanceof ReadableStream) coverHandingOn(value, stream)
  if (value instanceof Readable) watchEnd(value, stream)
  whenCollected(value, call, 'abandoned', () => yields.ofStream())
  return true
}

class Stream {
  readonly call: Call
  readonly #yields: Yields
  readonly #iterators = new WeakSet<object>()

  constructor(call: Call, yields: Yields) {
    this.call = call
    this.#yields = yields
  }

  /** An object that is its own iterator is asked for it more than once. */
  knows(iterator: object): boolean {
    if (this.#iterators.has(iterator)) return true
    this.#iterators.add(iterator)
    return false
  }

  took(taken: unknown): void {
    if (this.call.span.ended) return
    if (dataMember(taken, 'done') === true) this.ended()
    else this.#yields.add(dataMember(taken, 'value'))
  }

  ended(): void {
    if (this.call.span.ended) return
    const seen = this.#yields.ofStream()
    this.call.finish(this.call.isAborted() ? 'cancelled' : 'ok', seen)
  }

  failed(error: unknown): void {
    if (!this.call.span.ended) this.call.fail(error, this.#yields.ofStream())
  }

  /** Its reader wants no more of it. */
  cancelled(): void {
    if (!this.call.span.ended) this.call.finish('cancelled', this.#yields.ofStream())
  }

  /** It goes on elsewhere, where it cannot be followed. */
  handedOn(): void {
    if (this.call.span.ended) return
    const { payload, ...rest } = this.#yields.ofStream()
    this.call.finish('ok', { ...rest, payload: { ...payload, observed: 'side' } })
  }
}

function coverIteration(value: object, iterate: Method, stream: Stream): void {
  shadow(value, Symbol.asyncIterator, function (this: unknown, ...args) {
    const iterator = Reflect.apply(iterate, this, args)
    if (typeof iterator !== 'object' || iterator === null || types.isProxy(iterator))
      return iterator
    const next = methodOf(iterator, 'next')
    if (next === undefined || !Object.isExtensible(iterator) || stream.knows(iterator))
      return iterator
    cover(iterator, 'next', next, stream, (taken) => stream.took(taken))
    const stop = methodOf(iterator, 'return')
    if (stop !== undefined) cover(iterator, 'return', stop, stream, () => stream.cancelled())
    const fail = methodOf(iterator, 'throw')
    if (fail !== undefined) cover(iterator, 'throw', fail, stream, (taken) => stream.took(taken))
    return iterator
  })
}

function coverReader(value: object, getReader: Method, stream: Stream): void {
  shadow(value, 'getReader', function (this: unknown, ...args) {
    const reader = Reflect.apply(getReader, this, args)
    if (typeof reader !== 'object' || reader === null || !Object.isExtensible(reader)) return reader
    const read = methodOf(reader, 'read')
    if (read !== undefined) cover(reader, 'read', read, stream, (taken) => stream.took(taken))
    const cancel = methodOf(reader, 'cancel')
    if (cancel !== undefined) cover(reader, 'cancel', cancel, stream, () => stream.cancelled())
    return reader
  })
}

/** Piping and branching read past the covered methods. */
function coverHandingOn(value: object, stream: Stream): void {
  for (const name of ['pipeTo', 'pipeThrough', 'tee'] as const) {
    const original = methodOf(value, name)
    if (original === undefined) continue
    shadow(value, name, function (this: unknown, ...args) {
      const result = Reflect.apply(original, this, args)
      if (name !== 'pipeTo' || !types.isPromise(result)) {
        stream.handedOn()
        return result
      }
      return afterStep(
        result,
        () => stream.ended(),
        (error) => stream.failed(error),
      )
    })
  }
  const cancel = methodOf(value, 'cancel')
  if (cancel !== undefined) cover(value, 'cancel', cancel, stream, () => stream.cancelled())
}

const watched = new WeakMap<Readable, Stream[]>()

/** Node's streams are mostly read by events, and say when they are over. Listened to once. */
function watchEnd(value: Readable, stream: Stream): void {
  const others = watched.get(value)
  if (others !== undefined) {
    others.push(stream)
    return
  }
  const streams = [stream]
  watched.set(value, streams)
  // Our listener must not be the one too many, of which the runtime warns.
  const most = value.getMaxListeners()
  if (most > 0) value.setMaxListeners(most + 1)
  const caller = active()
  value.once('close', () => {
    runIn(caller, () => {
      for (const one of streams) closed(value, one)
    })
  })
}

function closed(value: Readable, stream: Stream): void {
  if (value.errored !== null) stream.failed(value.errored)
  else if (value.readableEnded) stream.ended()
  else stream.cancelled()
}

/** @param then What to do once the step's promise is fulfilled. */
function cover(
  target: object,
  name: string,
  step: Method,
  stream: Stream,
  then: (taken: unknown) => void,
): void {
  shadow(target, name, function (this: unknown, ...args) {
    let taken: unknown
    try {
      // What is lazy begins to work here: inside the span.
      taken = applyIn(stream.call.span.active, step, this, args)
    } catch (error) {
      stream.failed(error)
      throw error
    }
    const later = afterStep(taken, then, (error) => stream.failed(error))
    if (later === undefined) then(taken)
    return later ?? taken
  })
}
