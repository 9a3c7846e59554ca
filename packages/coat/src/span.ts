/** Spans as wrappers and adapters make them: the one place where envelopes of an operation begin. */
import { types } from 'node:util'
import { type Active, active, runIn, type ScopeHolder } from './active.ts'
import type { CaptureMode, Ids, Status } from './aot.ts'
import type { EventCapture, Json } from './capture/capturer.ts'
import { addCaptured, HOOK_THREW, HOOK_THREW_TEXT, tellsKeys } from './captured.ts'
import { countHookError, fault } from './counters.ts'
import { cleanFacts, cleanName } from './facts.ts'
import { type Operation, operationOf } from './op.ts'
import { noteMode, type Runtime, runtime } from './runtime.ts'
import { modeOf, previewLenOf } from './settings.ts'
import { childIds, pointIds } from './span-ids.ts'

export interface SpanStart {
  /** A tag, such as `llm`, `tool`, `run`, `memory.read`; it decides the kinds. */
  readonly op: string
  /** `payload.fn`, the name of the operation. */
  readonly fn: string
  /** Metadata, passed on as it is. */
  readonly payload?: Record<string, unknown> | undefined
  /** Values that obey the capture mode, by member; `preview` holds `{args?: unknown[], kwargs?: object}`. */
  readonly captured?: Record<string, unknown> | undefined
  /** Default: the active context. `'root'` begins a trace of its own. */
  readonly parent?: Ids | 'root' | undefined
  readonly framework?: { readonly name: string; readonly version: string } | undefined
  readonly capture?:
    | { autoCapture?: boolean; capture?: CaptureMode; previewLen?: number }
    | undefined
  /** Epoch milliseconds, for frameworks that report their own times. */
  readonly tsMs?: number | undefined
}

export interface SpanEnd {
  readonly status: Status
  readonly error?: unknown
  readonly payload?: Record<string, unknown> | undefined
  /** `preview` holds `{result?: unknown, yields?: unknown[]}`. */
  readonly captured?: Record<string, unknown> | undefined
  /** Default: measured with a monotonic clock. */
  readonly durationMs?: number | undefined
  readonly tsMs?: number | undefined
}

export interface Span {
  readonly ids: Ids
  readonly ended: boolean
  /** Runs `fn` with this span as the active context. */
  run<T>(fn: () => T): T
  /** Emits the end event; a second call does nothing. Never throws. */
  end(end: SpanEnd): void
}

/** An event that is no span, such as a tie. */
export interface Point {
  readonly kind: string
  readonly payload?: Record<string, unknown> | undefined
  readonly captured?: Record<string, unknown> | undefined
  /** Default: the active context. */
  readonly parent?: Ids | undefined
  readonly framework?: SpanStart['framework']
  readonly capture?: SpanStart['capture']
  readonly tsMs?: number | undefined
}

/** Begins a span and emits its start. Never throws: what fails is a span that does nothing. */
export function startSpan(start: SpanStart): Span {
  try {
    const instance = runtime()
    if (instance.disabled) return IDLE
    const { fn, payload, captured, parent, tsMs } = start
    const operation = operationOf(start.op)
    const above = parent ?? active()?.ids
    const span = new LiveSpan(instance, operation, String(fn).slice(0, 256), above, start)
    const capture = span.capture()
    const told = { ...span.startPayload(), ...payload }
    if (captured !== undefined) addCaptured(told, captured, capture, span.tellsKeys)
    span.emitStart(told, capture, tsMs)
    return span
  } catch {
    fault()
    return IDLE
  }
}

/** Emits one event. Never throws. */
export function emitPoint(point: Point): void {
  try {
    const instance = runtime()
    if (instance.disabled) return
    const mode = modeOf(instance.settings, point.capture)
    emitPointIn(instance, mode, point)
  } catch {
    fault()
  }
}

/** @param mode The effective one. */
export function emitPointIn(instance: Runtime, mode: CaptureMode, point: Point): void {
  const previewLen = previewLenOf(instance.settings, point.capture?.previewLen)
  const capture = instance.capturer.begin(mode, previewLen)
  noteMode(mode)
  const payload: Record<string, unknown> = { ...point.payload }
  if (point.captured !== undefined)
    addCaptured(payload, point.captured, capture, tellsKeys(mode, previewLen))
  instance.sink.emit(
    {
      kind: point.kind,
      tsMs: point.tsMs,
      ids: pointIds(instance, point.parent ?? active()?.ids),
      framework: frameworkOf(point.framework),
      capture: capture.capture,
      payload,
    },
    'point',
  )
}

/** Characters of one text in metadata. */
const FACT_LENGTH = 256

/** More thunks than this are not kept. */
const MAX_SCOPES = 64

/** A span of this process. Its methods may throw; those who hand it out see to that. */
export class LiveSpan implements Span, ScopeHolder {
  readonly ids: Ids
  readonly mode: CaptureMode
  readonly fn: string
  readonly #instance: Runtime
  readonly #operation: Operation
  readonly #previewLen: number
  readonly #framework: ReturnType<typeof frameworkOf>
  readonly #active: Active
  #startedMs = performance.now()
  #ended = false
  #scopes: (() => unknown)[] | undefined

  constructor(
    instance: Runtime,
    operation: Operation,
    fn: string,
    parent: Ids | 'root' | undefined,
    choice: Pick<SpanStart, 'capture' | 'framework'>,
  ) {
    const { settings } = instance
    this.#instance = instance
    this.#operation = operation
    this.fn = cleanName(instance.capturer, fn)
    this.mode = modeOf(settings, choice.capture)
    this.#previewLen = previewLenOf(settings, choice.capture?.previewLen)
    this.#framework = frameworkOf(choice.framework)
    this.ids = childIds(instance, operation.family, parent)
    this.#active = Object.freeze({ ids: this.ids, span: this })
    if (this.mode === 'raw') noteMode(this.mode)
  }

  get ended(): boolean {
    return this.#ended
  }

  /** What is active inside the span. */
  get active(): Active {
    return this.#active
  }

  get tellsKeys(): boolean {
    return tellsKeys(this.mode, this.#previewLen)
  }

  get elapsedMs(): number {
    return milliseconds(performance.now() - this.#startedMs)
  }

  run<T>(fn: () => T): T {
    return runIn(this.#active, fn)
  }

  /** For the values of one event. */
  capture(): EventCapture {
    return this.#instance.capturer.begin(this.mode, this.#previewLen)
  }

  /** For metadata that somebody else wrote: told in every mode, but without secrets. */
  captureFacts(): EventCapture {
    return this.#instance.capturer.begin('redacted', FACT_LENGTH)
  }

  /** The same for what does not change from call to call. */
  facts(facts: object, characters: number): Json {
    return cleanFacts(this.#instance.capturer, facts, characters)
  }

  /** What every start event says. */
  startPayload(): Record<string, unknown> {
    const { tag, phased, invalid } = this.#operation
    const payload: Record<string, unknown> = { fn: this.fn, op: tag }
    if (phased) payload['phase'] = 'begin'
    if (invalid) payload['op_invalid'] = true
    return payload
  }

  emitStart(payload: Record<string, unknown>, capture: EventCapture, tsMs?: number): void {
    this.#emit(this.#operation.startKind, payload, capture, tsMs, 'start')
    // The work begins now; what it took to say so is not part of it.
    this.#startedMs = performance.now()
  }

  /** Only what the caller's mode tells is evaluated at all. */
  addScope(thunk: () => unknown): void {
    if (this.#ended || this.mode === 'none') return
    this.#scopes ??= []
    if (this.#scopes.length < MAX_SCOPES) this.#scopes.push(thunk)
  }

  end(end: SpanEnd): void {
    if (this.#ended) return
    this.#ended = true
    try {
      const durationMs = milliseconds(end.durationMs ?? performance.now() - this.#startedMs)
      const { tag, phased, endKind } = this.#operation
      const capture = this.capture()
      const payload: Record<string, unknown> = { fn: this.fn, op: tag }
      if (phased) payload['phase'] = 'end'
      payload['status'] = end.status
      payload['duration_ms'] = durationMs
      if (end.payload !== undefined) Object.assign(payload, end.payload)
      if (end.captured !== undefined) addCaptured(payload, end.captured, capture, this.tellsKeys)
      if (end.error !== undefined || end.status === 'error')
        payload['error'] ??= capture.error(end.error)
      if (this.#scopes !== undefined) this.#addLocals(payload, capture, this.#scopes)
      this.#emit(endKind, payload, capture, end.tsMs, 'end')
    } catch {
      fault()
    }
  }

  #addLocals(
    payload: Record<string, unknown>,
    capture: EventCapture,
    scopes: readonly (() => unknown)[],
  ): void {
    this.#scopes = undefined
    const locals = mergedLocals(scopes)
    payload['locals'] = locals === HOOK_THREW ? HOOK_THREW_TEXT : capture.value(locals)
  }

  #emit(
    kind: string,
    payload: Record<string, unknown>,
    capture: EventCapture,
    tsMs: number | undefined,
    part: 'start' | 'end',
  ): void {
    this.#instance.sink.emit(
      { kind, tsMs, ids: this.ids, framework: this.#framework, capture: capture.capture, payload },
      part,
    )
  }
}

const NO_IDS: Ids = Object.freeze({
  session_id: '',
  run_id: '',
  step_id: '',
  trace_id: '',
  span_id: '',
  parent_span_id: '',
})

/** Stands for every span while the library is disabled, or when one could not be begun. */
const IDLE: Span = Object.freeze({
  ids: NO_IDS,
  ended: true,
  run: <T>(fn: () => T) => fn(),
  end() {},
})

function frameworkOf(given: SpanStart['framework']) {
  if (given === undefined) return undefined
  return { framework: given.name, framework_version: given.version }
}

/** Left to right, own data members only: reading an accessor would run the program's code. */
function mergedLocals(scopes: readonly (() => unknown)[]): unknown {
  const results: unknown[] = []
  for (const thunk of scopes) {
    try {
      results.push(settled(thunk()))
    } catch {
      countHookError()
    }
  }
  if (results.length === 0) return HOOK_THREW
  if (results.length === 1) return results[0]
  const merged: Record<string, unknown> = Object.create(null)
  for (const result of results) {
    if (typeof result !== 'object' || result === null || types.isProxy(result)) continue
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(result)))
      Object.defineProperty(merged, name, { ...descriptor, configurable: true })
  }
  return merged
}

/** A callback may be asynchronous by mistake; its rejection is then nobody's. */
export function settled<T>(value: T): T {
  if (types.isPromise(value)) Promise.prototype.then.call(value, undefined, () => {})
  return value
}

/** Three decimals. */
function milliseconds(value: number): number {
  return Math.round(value * 1000) / 1000
}
