/** Tools of the AI SDK, wrapped: each execution is told as a call and its result. */
import { types } from 'node:util'
import { type AdapterOptions, captureChoice } from '../adapters/options.ts'
import { failure } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { fields, present, text } from '../adapters/shapes.ts'
import { type Span, startSpan } from '../span.ts'
import { aiSdk } from './framework.ts'
import { activeSteps } from './open-steps.ts'

type Execute = (this: unknown, input: unknown, options: unknown) => unknown

/** A set of the same tools; those that execute here are watched, the rest is passed on as it is. */
export function coatTools<Tools extends object>(tools: Tools, options: AdapterOptions = {}): Tools {
  // Finds the version now, not while a tool is being called.
  aiSdk()
  const watched = Object.create(
    Object.getPrototypeOf(tools),
    Object.getOwnPropertyDescriptors(tools),
  ) as Tools
  for (const [name, tool] of Object.entries(tools)) {
    const made = coatTool(name, tool, options)
    if (made !== tool) Object.defineProperty(watched, name, { ...DATA, value: made })
  }
  return watched
}

const DATA = { enumerable: true, configurable: true, writable: true } as const

function coatTool(name: string, tool: unknown, options: AdapterOptions): unknown {
  const own = fields(tool)
  const execute = own?.['execute']
  if (own === undefined || typeof execute !== 'function') return tool
  const copy: object = Object.create(
    Object.getPrototypeOf(own),
    Object.getOwnPropertyDescriptors(own),
  )
  const watched: Execute = function (input, call) {
    const span = quietly(() => begin(name, own['description'], input, call, options))
    if (span === undefined) return execute.call(this, input, call)
    return observe(span, name, call, () => execute.call(this, input, call))
  }
  return Object.defineProperty(copy, 'execute', { ...DATA, value: watched })
}

function begin(
  name: string,
  description: unknown,
  input: unknown,
  call: unknown,
  options: AdapterOptions,
): Span {
  return startSpan({
    op: 'tool',
    fn: name,
    payload: {
      tool: present({
        name,
        type: 'function',
        call_id: callId(call),
        description: text(description),
      }),
    },
    captured: { preview: { args: [input] } },
    parent: activeSteps()?.parentOfTool(),
    framework: aiSdk(),
    capture: captureChoice(options),
  })
}

function callId(call: unknown): string | undefined {
  return text(fields(call)?.['toolCallId'])
}

function observe(span: Span, name: string, call: unknown, execute: () => unknown): unknown {
  const tool = present({ name, call_id: callId(call) })
  const done = (result: unknown, chunks?: number) =>
    quietly(() =>
      span.end({
        status: 'ok',
        payload: present({ tool, chunks }),
        captured: { preview: { result } },
      }),
    )
  const failed = (error: unknown) =>
    quietly(() => {
      const status = failure(error, fields(call)?.['abortSignal'])
      span.end({ status, error, payload: { tool } })
    })
  let result: unknown
  try {
    result = span.run(execute)
  } catch (error) {
    failed(error)
    throw error
  }
  if (types.isPromise(result)) {
    return result.then(
      (value: unknown) => {
        done(value)
        return value
      },
      (error: unknown) => {
        failed(error)
        throw error
      },
    )
  }
  if (isAsyncIterable(result)) {
    return progress(result, span, done, failed, () =>
      quietly(() => span.end({ status: 'cancelled', payload: { tool } })),
    )
  }
  done(result)
  return result
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof fields(value)?.[Symbol.asyncIterator as unknown as string] === 'function'
}

/** A tool that tells its progress: the last value is the result. */
async function* progress(
  source: AsyncIterable<unknown>,
  span: Span,
  done: (result: unknown, chunks: number) => void,
  failed: (error: unknown) => void,
  left: () => void,
): AsyncGenerator<unknown> {
  const iterator = source[Symbol.asyncIterator]()
  let last: unknown
  let count = 0
  let finished = false
  try {
    for (;;) {
      const step = await span.run(() => iterator.next())
      if (step.done === true) break
      last = step.value
      count += 1
      yield step.value
    }
    finished = true
    done(last, count)
  } catch (error) {
    finished = true
    failed(error)
    throw error
  } finally {
    if (!finished) {
      left()
      await iterator.return?.()
    }
  }
}
