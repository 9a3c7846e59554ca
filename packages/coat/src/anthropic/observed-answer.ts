/**
 * Watches what `messages.create` returned: a promise with methods of its own, which asks the server at
 * once but reads the answer only when somebody wants it. The object stays the same, and so does who
 * hears of a rejection that nobody handles.
 */
import { types } from 'node:util'
import { cover, type Method } from '../adapters/cover.ts'
import type { ModelCall } from './model-call.ts'
import { isStream, observeStream } from './observed-stream.ts'

interface Answer {
  responsePromise: PromiseLike<unknown>
  parseResponse: Method
  parsedPromise?: unknown
}

/** @returns The same object, unless it is an ordinary promise. */
export function observedAnswer(answer: unknown, call: ModelCall): unknown {
  if (isAnswer(answer)) {
    observeParts(answer, call)
    return answer
  }
  if (isThenable(answer)) {
    // Of a make that is not known: an ordinary promise, or one whose `then` is what is waited for.
    const isOrdinary = types.isPromise(answer) && answer.constructor === Promise
    return isOrdinary ? observedPromise(answer, call) : observeThen(answer, call)
  }
  settle(answer, call)
  return answer
}

/** Whoever reads the answer, by whichever method, reads it through one of these three. */
function observeParts(answer: Answer, call: ModelCall): void {
  answer.responsePromise = answer.responsePromise.then(undefined, (error: unknown) => {
    call.fail(error)
    throw error
  })
  cover(
    answer,
    'parseResponse',
    (parse) =>
      async function (this: unknown, ...args) {
        try {
          const data = await Reflect.apply(parse, this, args)
          settle(data, call)
          return data
        } catch (error) {
          call.fail(error)
          throw error
        }
      },
  )
  cover(
    answer,
    'asResponse',
    (asResponse) =>
      async function (this: unknown, ...args) {
        const response = await Reflect.apply(asResponse, this, args)
        if (answer.parsedPromise === undefined) call.handOver()
        return response
      },
  )
  abandonedAnswers.register(answer, call)
}

/** An answer that nobody wanted is collected unread. What is registered must not refer to the answer. */
const abandonedAnswers = new FinalizationRegistry<ModelCall>((call) => {
  if (!call.span.ended && !reading.has(call)) call.abandon()
})
/** Calls whose answer is a stream: that ends them, however long after the promise. */
const reading = new WeakSet<ModelCall>()

function settle(data: unknown, call: ModelCall): void {
  if (!isStream(data)) {
    call.answer(data)
    return
  }
  reading.add(call)
  observeStream(data, call)
}

function observedPromise(promise: Promise<unknown>, call: ModelCall): Promise<unknown> {
  return promise.then(
    (data) => {
      settle(data, call)
      return data
    },
    (error: unknown) => {
      call.fail(error)
      throw error
    },
  )
}

function observeThen(promise: PromiseLike<unknown>, call: ModelCall): PromiseLike<unknown> {
  cover(
    promise,
    'then',
    (then) =>
      function (this: unknown, fulfilled, rejected) {
        return Reflect.apply(then, this, [
          (data: unknown) => {
            settle(data, call)
            return typeof fulfilled === 'function' ? fulfilled(data) : data
          },
          (error: unknown) => {
            call.fail(error)
            if (typeof rejected === 'function') return rejected(error)
            throw error
          },
        ])
      },
  )
  return promise
}

function isAnswer(value: unknown): value is Answer {
  if (!isThenable(value)) return false
  const { responsePromise, parseResponse } = value as Partial<Answer>
  return isThenable(responsePromise) && typeof parseResponse === 'function'
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}
