/** The library's one instance per thread: made at first use, so that importing it does nothing. */
import { current } from './active.ts'
import type { CaptureMode, Ids } from './aot.ts'
import type { Capturer } from './capture/capturer.ts'
import { createCapturer } from './capture/create-capturer.ts'
import { counts, fault, resetCounts, retire, withRetired } from './counters.ts'
import { newRunId, newSessionId } from './ids.ts'
import { type IoHints, startIoHints } from './io-hints.ts'
import {
  type Configuration,
  currentEnvironment,
  RAW_WARNING,
  resolveSettings,
  type Settings,
} from './settings.ts'
import type { Point } from './span.ts'
import { pointIds } from './span-ids.ts'
import { createSink } from './transport/create-sink.ts'
import type { Sink, TransportStats } from './transport/sink.ts'
import { VERSION } from './version.ts'
import { warnOnce } from './warning.ts'

type CapturerOptions = Parameters<typeof createCapturer>[0]
type SinkOptions = Parameters<typeof createSink>[0]

export interface Runtime {
  readonly settings: Settings
  readonly disabled: boolean
  readonly sessionId: string
  /** What the environment's `TRACEPARENT` names. */
  readonly environmentParent: Ids | undefined
  readonly capturer: Capturer & { stats(): { patternsDisabled: number } }
  readonly sink: Sink
}

export interface Stats extends TransportStats {
  /** Callbacks given to wrappers, and scope thunks, that threw. */
  hookErrors: number
  /** Faults of this library that were kept from the program. */
  faults: number
  /** Patterns given to `configure` that were too slow and are used no more. */
  patternsDisabled: number
}

let instance: Runtime | undefined
let configuration: Configuration = {}
let environment: NodeJS.ProcessEnv | undefined
let ownSessionId: string | undefined
let environmentRunId: string | undefined

export function runtime(): Runtime {
  instance ??= build(undefined)
  return instance
}

/**
 * Settings of the process; of each one the last call counts, and the environment outranks them all.
 * What is not understood is not used and named in one line on stderr.
 */
export function configure(given: Configuration): void {
  try {
    const { reloadEnv, ...settings } = given ?? {}
    // What is left out stays as it is, also where it is left out by name: a ceiling does not fall off.
    const said = Object.entries(settings).filter(([, value]) => value !== undefined)
    configuration = { ...configuration, ...Object.fromEntries(said) }
    for (const name of Object.keys(settings)) {
      if (!NAMES.has(name)) warnOnce(`configure: there is no setting "${name.slice(0, 64)}"`)
    }
    if (reloadEnv === true) environment = undefined
    // Before the first use there is nothing to change, and the first use reads the environment.
    if (instance !== undefined) instance = build(instance)
  } catch {
    fault()
  }
}

/**
 * Waits until all that was emitted is written, or acknowledged where the other side does that.
 *
 * @param timeoutMs Default 2 000, at most 60 000.
 * @returns Whether it was in time.
 */
export async function flush(timeoutMs = 2_000): Promise<boolean> {
  if (instance === undefined) return true
  const bound = Number.isFinite(timeoutMs) ? Math.min(Math.max(timeoutMs, 0), 60_000) : 2_000
  return instance.sink.flush(bound).catch(fault)
}

/** Sends what is left and lets go of the connection. What is emitted afterwards is dropped, and counted. */
export async function shutdown(): Promise<void> {
  await instance?.sink.shutdown().catch(fault)
}

/** @returns What was emitted, written and dropped so far, and what went wrong. */
export function stats(): Stats {
  const { sink, capturer } = runtime()
  return { ...withRetired(sink.stats()), ...counts(), ...capturer.stats() }
}

export function noteMode(mode: CaptureMode): void {
  if (mode === 'raw') warnOnce(RAW_WARNING)
}

/** @param parts Another sink or capturer than the settings ask for. */
export function install(parts: Partial<Runtime>): Runtime {
  instance = { ...runtime(), ...parts }
  return instance
}

/** Forgets everything, as a new process would. @param env What it then finds; default: what this one has. */
export function reset(env?: NodeJS.ProcessEnv): void {
  followIo(false)
  instance = undefined
  configuration = {}
  environment = env
  ownSessionId = undefined
  environmentRunId = undefined
  resetCounts()
}

const NAMES: ReadonlySet<string> = new Set([
  'autoCapture',
  'capture',
  'maxCapture',
  'previewLen',
  'transport',
  'sessionId',
  'redactKeys',
  'patterns',
  'entropy',
  'hashKey',
  'stack',
  'ioHints',
  'flushOnSignals',
  'otelBridge',
] satisfies readonly Exclude<keyof Configuration, 'reloadEnv'>[])

function build(old: Runtime | undefined): Runtime {
  environment ??= currentEnvironment()
  const settings = resolveSettings(environment, configuration)
  for (const line of settings.warnings) warnOnce(line)
  followIo(settings.ioHints && !settings.disabled)
  ownSessionId ??= newSessionId()
  const sessionId = settings.sessionId ?? ownSessionId
  return {
    settings,
    disabled: settings.disabled,
    sessionId,
    environmentParent: environmentParent(settings, sessionId),
    capturer: capturerFor(settings, environment, old),
    sink: sinkFor(settings, old),
  }
}

let hints: IoHints | undefined

function followIo(wanted: boolean): void {
  if (!wanted) {
    hints?.stop()
    hints = undefined
  } else hints ??= startIoHints({ active: current, emit: emitHint })
}

/** A hint holds no value of the program's, so no mode has to be asked. */
function emitHint({ kind, payload, parent, tsMs }: Point): void {
  const { sink, capturer } = runtime()
  const { capture } = capturer.begin('none')
  const ids = pointIds(runtime(), parent)
  sink.emit({ kind, tsMs, ids, capture, payload: { ...payload } }, 'point')
}

let capturerOptions: CapturerOptions | undefined

/** A new one only for other options: it may hold a random key, which ought to stay the same. */
function capturerFor(
  settings: Settings,
  env: NodeJS.ProcessEnv,
  old: Runtime | undefined,
): Runtime['capturer'] {
  const { previewLen, redactKeys, patterns, entropy, hashKey, stack } = settings
  const options = {
    previewLen,
    redactKeys: [...redactKeys],
    patterns: [...patterns],
    entropy,
    hashKey,
    stack,
    env,
  }
  if (old !== undefined && isSame(options, capturerOptions)) return old.capturer
  capturerOptions = options
  return createCapturer(options)
}

let sinkOptions: SinkOptions | undefined

function sinkFor(settings: Settings, old: Runtime | undefined): Sink {
  const { inPod, socketPath, bufferEvents, bufferBytes, flushMs, maxLineBytes } = settings
  const options: SinkOptions = {
    transport: settings.disabled ? 'off' : settings.transport,
    inPod,
    socketPath,
    bufferEvents,
    bufferBytes,
    flushMs,
    maxLineBytes,
    agentId: settings.agentId,
    agentRole: settings.agentRole,
    version: VERSION,
    flushOnSignals: settings.flushOnSignals && !settings.disabled,
  }
  if (old !== undefined && isSame(options, sinkOptions)) return old.sink
  if (old !== undefined) retire(old.sink)
  sinkOptions = options
  return createSink(options)
}

function environmentParent({ traceParent, runId }: Settings, sessionId: string): Ids | undefined {
  if (traceParent === undefined) return undefined
  environmentRunId ??= newRunId()
  return {
    session_id: sessionId,
    run_id: runId ?? environmentRunId,
    step_id: '',
    trace_id: traceParent.traceId,
    span_id: traceParent.spanId,
    parent_span_id: '',
  }
}

function isSame(one: object, other: object | undefined): boolean {
  if (other === undefined) return false
  return Object.entries(one).every(([name, value]) => {
    const before: unknown = Reflect.get(other, name)
    if (!Array.isArray(value) || !Array.isArray(before)) return value === before
    return value.length === before.length && value.every((item, at) => item === before[at])
  })
}
