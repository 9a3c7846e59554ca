/** What a wrapper may be told, and the plan it is turned into once, when a function is wrapped. */
import type { CaptureMode } from '../aot.ts'
import { type Operation, operationOf } from '../op.ts'

/** Hooks see the function's own values. One that throws is counted, and changes nothing. */
export interface CoatOptions {
  /** Name of the span. Default: the function's name, else `anonymous`. */
  name?: string
  /** Capture values. Default false: previews then hold types and sizes. */
  autoCapture?: boolean
  /** Mode while `autoCapture` is on and the environment says nothing. Default `redacted`. */
  capture?: CaptureMode
  /** Characters per captured value. Default: the process's setting, 200. */
  previewLen?: number
  /** Also preview own data fields of `this`: all, or these. Accessors are never called. Default false. */
  captureThis?: boolean | readonly string[]
  /** Chooses what is previewed of the arguments. An array stands for several. */
  input?: (args: readonly unknown[], self: unknown) => unknown
  /** Chooses what is previewed of the result. */
  output?: (result: unknown) => unknown
  /** More members of the payloads. */
  describe?: {
    start?: (args: readonly unknown[]) => object
    end?: (result: unknown, args: readonly unknown[]) => object
  }
  /** Keep the span of a model or tool call open over a returned stream. Default `auto`. */
  stream?: 'auto' | 'off'
  /** Names of the arguments, in order; the values then appear under them. */
  argNames?: readonly string[]
  /** Members of the start event's `attributes`. */
  attributes?: Record<string, string | number | boolean>
}

/** Everything about a wrapped function that does not change from call to call. */
export interface Plan {
  readonly operation: Operation
  readonly name: string
  readonly options: CoatOptions
  readonly attributes: Readonly<Record<string, string | number | boolean>> | undefined
  /** In the form that spans take. */
  readonly choice: { readonly capture: CoatOptions }
  readonly followsStreams: boolean
  readonly isModelCall: boolean
}

const MAX_ATTRIBUTES = 32
export const MAX_ATTRIBUTE_TEXT = 1024

/** @param name Of the function, or of the class member. */
export function planOf(op: unknown, given: CoatOptions, name: string): Plan {
  // Its own members only: what somebody added to all objects must not switch capture on.
  const options: CoatOptions = Object.assign(Object.create(null), given)
  const operation = operationOf(op)
  const { family } = operation
  return {
    operation,
    name: nameOf(options.name, name),
    options,
    attributes: attributesOf(options.attributes),
    choice: { capture: options },
    followsStreams: options.stream !== 'off' && (family === 'llm' || family === 'tool'),
    isModelCall: family === 'llm',
  }
}

function nameOf(given: unknown, found: string): string {
  const name = typeof given === 'string' && given !== '' ? given : found
  return name === '' ? 'anonymous' : name.slice(0, 256)
}

function attributesOf(given: CoatOptions['attributes']): Plan['attributes'] {
  if (typeof given !== 'object' || given === null) return undefined
  const kept = Object.entries(given)
    .filter(([, value]) => isAttribute(value))
    .slice(0, MAX_ATTRIBUTES)
    .map(([name, value]) => [
      name.slice(0, 128),
      typeof value === 'string' ? value.slice(0, MAX_ATTRIBUTE_TEXT) : value,
    ])
  return Object.freeze(Object.fromEntries(kept))
}

function isAttribute(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}
