/** `generateText`, `streamText` and agent loops, bracketed: the call is a run, and each of its steps a step. */
import { types } from 'node:util'
import type { AdapterOptions } from '../adapters/options.ts'
import { quietly } from '../adapters/quietly.ts'
import { type Fields, fields, list } from '../adapters/shapes.ts'
import { aiSdk } from './framework.ts'
import { RunWatch } from './run-watch.ts'

export interface GenerateOptions extends AdapterOptions {
  /** The name of the run. Default: the name of the function. */
  readonly name?: string
}

/**
 * Wraps a function of the AI SDK that takes its options as the first argument, or a method of an agent
 * bound to it. What the options already say stays: callbacks of the caller are called as before.
 * A function of another shape is a run without steps, which ends when it returns.
 */
export function coatGenerate<Generate extends (...args: never[]) => unknown>(
  generate: Generate,
  options: GenerateOptions = {},
): Generate {
  // Finds the version now, not while something is being generated.
  aiSdk()
  const name = options.name ?? (generate.name.replace(/^bound /, '') || 'generate')
  const watched = function (this: unknown, ...args: Parameters<Generate>): unknown {
    const asked = askedOf(args[0])
    const watch = quietly(() => new RunWatch(name, asked, options))
    if (watch === undefined) return generate.apply(this, args)
    const given =
      asked === undefined
        ? args
        : [quietly(() => listening(asked, watch)) ?? asked, ...args.slice(1)]
    let result: unknown
    try {
      result = watch.span.run(() => generate.apply(this, given as Parameters<Generate>))
    } catch (error) {
      watch.fail(error)
      throw error
    }
    if (types.isPromise(result)) {
      return result.then(
        (value: unknown) => {
          settle(watch, value, asked)
          return value
        },
        (error: unknown) => {
          watch.fail(error)
          throw error
        },
      )
    }
    settle(watch, result, asked)
    return result
  }
  // The same arguments go in, apart from added callbacks, and the same result comes out.
  return watched as Generate
}

/** Options of the AI SDK say what to generate from. */
function askedOf(value: unknown): Fields | undefined {
  const asked = fields(value)
  if (asked === undefined) return undefined
  return 'prompt' in asked || 'messages' in asked ? asked : undefined
}

function settle(watch: RunWatch, result: unknown, asked: Fields | undefined): void {
  if (!isStreaming(result)) watch.done(result)
  else if (asked === undefined) watch.done(undefined)
  else watch.streams()
}

/** Asks for the names only: reading them would begin to consume the stream. */
function isStreaming(result: unknown): boolean {
  const told = fields(result)
  return told !== undefined && ('fullStream' in told || 'partialObjectStream' in told)
}

type Listener = (...args: unknown[]) => unknown

function listening(asked: Fields, watch: RunWatch): Record<string, unknown> {
  const given: Record<string, unknown> = { ...asked }
  // The SDK calls one of several names: the one that the caller chose stays the chosen one.
  const listen = (names: readonly string[], heard: (event: unknown) => void) => {
    const name = names.find((each) => typeof asked[each] === 'function') ?? names[0]
    if (name === undefined) return
    const own = asked[name] as Listener | undefined
    given[name] = (...args: unknown[]) => {
      quietly(() => heard(args[0]))
      return own?.(...args)
    }
  }
  listen(['onStepStart', 'experimental_onStepStart'], (event) =>
    watch.stepStarted(fields(event)?.['stepNumber']),
  )
  // The first names are those that all versions know.
  listen(['onStepFinish', 'onStepEnd'], (event) => watch.stepEnded(event))
  listen(['onFinish', 'onEnd'], (event) => watch.done(event))
  listen(['onAbort'], () => watch.cancel())
  // The SDK prints an error that nobody listens for, so this listens only beside the caller.
  if (typeof asked['onError'] === 'function') {
    listen(['onError'], (event) => watch.fail(fields(event)?.['error'] ?? event))
  }
  integrate(given, asked, watch)
  return given
}

/**
 * Newer versions have a channel for observers alone; this takes part beside what is registered for all calls.
 * An agent has its own telemetry, which that of one call would replace: there, callbacks have to do.
 */
function integrate(given: Record<string, unknown>, asked: Fields, watch: RunWatch): void {
  if (!('model' in asked)) return
  const name = 'experimental_telemetry' in asked ? 'experimental_telemetry' : 'telemetry'
  const telemetry = fields(asked[name])
  if (telemetry?.['isEnabled'] === false) return
  const own = telemetry?.['integrations']
  const registered =
    own === undefined || own === null
      ? list(
          (globalThis as { AI_SDK_TELEMETRY_INTEGRATIONS?: unknown }).AI_SDK_TELEMETRY_INTEGRATIONS,
        )
      : Array.isArray(own)
        ? own
        : [own]
  given[name] = { ...telemetry, integrations: [...registered, integration(watch)] }
}

function integration(watch: RunWatch): Record<string, (event: unknown) => void> {
  const hear = (heard: (event: unknown) => void) => (event: unknown) => {
    watch.heardIntegration()
    heard(event)
  }
  return {
    onStepStart: hear((event) => watch.stepStarted(fields(event)?.['stepNumber'])),
    onStepEnd: hear((event) => watch.stepEnded(event)),
    onStepError: hear((event) => watch.stepFailed(fields(event)?.['error'] ?? event)),
    onAbort: hear(() => watch.cancel()),
    onError: hear((event) => watch.fail(fields(event)?.['error'] ?? event)),
  }
}
