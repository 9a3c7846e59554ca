/**
 * What is in force: the environment, `configure()` and defaults, put together once. The only file that
 * reads the environment; it decides and remembers, and never throws.
 */
import { CAPTURE_MODES, type CaptureMode, lesser } from './aot.ts'
import { acceptId, parseTraceparent, type TraceParent } from './ids.ts'

export type Transport = 'auto' | 'socket' | 'stderr' | 'off' | `file:${string}`

/** A rule for values: what it matches is replaced by `[redacted:<name>]`. */
export interface ValuePattern {
  readonly name: string
  readonly pattern: RegExp
}

/** Settings of the process. Those that are left out stay as they are. */
export interface Configuration {
  /** Capture values wherever a wrapper does not say otherwise. Default false. */
  autoCapture?: boolean
  /** Mode where capture is on and a wrapper names none. Default `redacted`. */
  capture?: CaptureMode
  /** No value is told more than this, whatever the environment says. Default `raw`, which is no ceiling. */
  maxCapture?: CaptureMode
  /** Characters per captured value, 0 to 65 536. Default 200. */
  previewLen?: number
  /** Default `auto`. In a pod only the environment can move events off the socket. */
  transport?: Transport
  /** `sess_` and 1 to 64 letters and digits. Default: a random one per process. */
  sessionId?: string
  /** More names of keys whose values are never told. */
  redactKeys?: readonly string[]
  /** More patterns of values that are never told. */
  patterns?: readonly ValuePattern[]
  /** Also hide long random-looking text. Default false. */
  entropy?: boolean
  /** Key of mode `hash`: at least 16 bytes, as hex or base64. Default: a random one per process. */
  hashKey?: string
  /** Send the first frames of an error's stack. Default false. */
  stack?: boolean
  /** Say which connection a span opened. Default: in a pod. */
  ioHints?: boolean
  /** Send what is left when the process is told to end. Default false: no signal is listened to. */
  flushOnSignals?: boolean
  /** The active OpenTelemetry span is the parent of root spans. Default false. */
  otelBridge?: boolean
  /** Read the environment again, which else happens once. */
  reloadEnv?: boolean
}

/** Milliseconds and bytes where the name says nothing else. */
export interface Settings {
  readonly disabled: boolean
  /** What the environment says of capture; `invalid` was something else than a mode. */
  readonly envCapture: CaptureMode | 'invalid' | undefined
  readonly autoCapture: boolean
  readonly capture: CaptureMode | undefined
  readonly maxCapture: CaptureMode
  readonly previewLen: number
  /** The environment's, which a wrapper cannot change. */
  readonly envPreviewLen: number | undefined
  readonly transport: Transport
  readonly inPod: boolean
  readonly socketPath: string
  readonly bufferEvents: number
  readonly bufferBytes: number
  readonly flushMs: number
  readonly maxLineBytes: number
  readonly agentId: string
  readonly agentRole: string
  readonly redactKeys: readonly string[]
  readonly patterns: readonly ValuePattern[]
  readonly entropy: boolean
  readonly hashKey: string | undefined
  readonly stack: boolean
  readonly ioHints: boolean
  readonly flushOnSignals: boolean
  readonly otelBridge: boolean
  readonly sessionId: string | undefined
  /** Of the run that this process is part of. */
  readonly runId: string | undefined
  readonly traceParent: TraceParent | undefined
  /** One line each, to be said once. */
  readonly warnings: readonly string[]
}

/** What a wrapper says of capture. */
export interface CaptureChoice {
  readonly autoCapture?: boolean | undefined
  readonly capture?: CaptureMode | undefined
}

export const RAW_WARNING = 'capture mode "raw" is on: values are sent as they are, secrets included'

const DEFAULT_SOCKET = '/run/envpod/queue.sock'
const MEBIBYTE = 1024 * 1024

/** The mode of one call: the environment decides, then the wrapper, then `configure()`; the ceiling caps. */
export function modeOf(settings: Settings, choice: CaptureChoice | undefined): CaptureMode {
  const { envCapture, maxCapture } = settings
  if (envCapture !== undefined)
    return lesser(envCapture === 'invalid' ? 'none' : envCapture, maxCapture)
  if (!(choice?.autoCapture ?? settings.autoCapture)) return 'none'
  return lesser(validMode(choice?.capture ?? settings.capture ?? 'redacted'), maxCapture)
}

/** The mode of data that was handed over on purpose: told redacted unless something says otherwise. */
export function tieModeOf({ envCapture, capture, maxCapture }: Settings): CaptureMode {
  return lesser(
    envCapture === 'invalid' ? 'none' : (envCapture ?? capture ?? 'redacted'),
    maxCapture,
  )
}

/** @param own A wrapper's; the environment outranks it. */
export function previewLenOf(settings: Settings, own: number | undefined): number {
  if (settings.envPreviewLen !== undefined) return settings.envPreviewLen
  return isWithin(own, 0, 65_536) ? own : settings.previewLen
}

export function resolveSettings(environment: NodeJS.ProcessEnv, wanted: Configuration): Settings {
  // Their own members only: what somebody added to all objects must not switch capture on.
  const env: NodeJS.ProcessEnv = Object.assign(Object.create(null), environment)
  const given: Configuration = Object.assign(Object.create(null), wanted)
  const warnings: string[] = []
  const warn = (line: string): void => void warnings.push(line)
  const text = (name: string): string | undefined => env[name]?.trim() || undefined
  const number = (name: string, least: number, most: number): number | undefined => {
    const value = text(name)
    if (value === undefined) return undefined
    if (/^\d{1,12}$/.test(value) && isWithin(Number(value), least, most)) return Number(value)
    warn(`${name} must be an integer from ${least} to ${most}; the default is used`)
    return undefined
  }
  const flag = (name: string): boolean | undefined => {
    const value = text(name)?.toLowerCase()
    if (value === undefined) return undefined
    if (value === '1' || value === 'true') return true
    if (value !== '0' && value !== 'false') warn(`${name} must be 1 or 0; 0 is used`)
    return false
  }
  const id = (kind: 'session_id' | 'run_id', name: string): string | undefined => {
    const value = text(name)
    const accepted = acceptId(kind, value)
    if (value !== undefined && accepted === undefined) warn(`${name} is no id; it is not used`)
    return accepted
  }

  const inPod = text('ENVPOD_POD_ID') !== undefined
  const envPreviewLen = number('ENVPOD_COAT_PREVIEW_LEN', 0, 65_536)
  const [bufferEvents, bufferBytes] = bufferOf(text('ENVPOD_COAT_BUFFER'), warn)
  const traceParent = parseTraceparent(text('TRACEPARENT'))
  if (traceParent === undefined && text('TRACEPARENT') !== undefined)
    warn('TRACEPARENT is malformed; it is not used')

  const settings: Settings = {
    disabled: flag('ENVPOD_COAT_DISABLED') ?? false,
    envCapture: envMode(env['ENVPOD_COAT_CAPTURE'], warn),
    autoCapture: given.autoCapture === true,
    capture: configuredMode('capture', given.capture, warn),
    maxCapture: configuredMode('maxCapture', given.maxCapture, warn) ?? 'raw',
    previewLen: envPreviewLen ?? configuredLength(given.previewLen, warn) ?? 200,
    envPreviewLen,
    transport: transportOf(text('ENVPOD_COAT_TRANSPORT'), given.transport, inPod, warn),
    inPod,
    socketPath: text('ENVPOD_SOCKET') ?? DEFAULT_SOCKET,
    bufferEvents,
    bufferBytes,
    flushMs: number('ENVPOD_COAT_FLUSH_MS', 1, 60_000) ?? 50,
    maxLineBytes: number('ENVPOD_COAT_MAX_LINE', 1024, 262_144) ?? 65_536,
    agentId: (text('ENVPOD_AGENT_ID') ?? '').slice(0, 256),
    agentRole: (text('ENVPOD_AGENT_ROLE') ?? '').slice(0, 256),
    redactKeys: [...namesOf(text('ENVPOD_COAT_REDACT_KEYS')), ...keysOf(given.redactKeys, warn)],
    patterns: patternsOf(given.patterns, warn),
    entropy: given.entropy === true,
    hashKey: text('ENVPOD_COAT_HASH_KEY') ?? (given.hashKey?.toString() || undefined),
    stack: flag('ENVPOD_COAT_STACK') ?? given.stack === true,
    ioHints: flag('ENVPOD_COAT_IO_HINTS') ?? given.ioHints ?? inPod,
    flushOnSignals: given.flushOnSignals === true,
    otelBridge: given.otelBridge === true,
    sessionId:
      id('session_id', 'ENVPOD_COAT_SESSION_ID') ?? configuredSession(given.sessionId, warn),
    runId: id('run_id', 'ENVPOD_COAT_RUN_ID'),
    traceParent,
    warnings,
  }
  // Said last, when it is known that neither the ceiling nor a typing error turned it into something else.
  if ([modeOf(settings, { autoCapture: true }), tieModeOf(settings)].includes('raw'))
    warn(RAW_WARNING)
  return Object.freeze(settings)
}

/** @returns The environment of this process, as it is now. */
export function currentEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env }
}

/** Fails closed: what is no mode tells nothing. */
function validMode(given: unknown): CaptureMode {
  return parseMode(given) ?? 'none'
}

function parseMode(given: unknown): CaptureMode | undefined {
  if (typeof given !== 'string') return undefined
  const wanted = given.trim().toLowerCase()
  return CAPTURE_MODES.find((mode) => mode === wanted)
}

type Warn = (line: string) => void

/** Set to nothing is set to no mode: whoever emptied it did not ask for more. */
function envMode(given: string | undefined, warn: Warn): Settings['envCapture'] {
  if (given === undefined) return undefined
  const mode = parseMode(given)
  if (mode === undefined)
    warn(`ENVPOD_COAT_CAPTURE must be one of ${CAPTURE_MODES.join(', ')}; nothing is captured`)
  return mode ?? 'invalid'
}

function configuredMode(name: string, given: unknown, warn: Warn): CaptureMode | undefined {
  if (given === undefined) return undefined
  const mode = parseMode(given)
  if (mode === undefined)
    warn(`configure: ${name} must be one of ${CAPTURE_MODES.join(', ')}; "none" is used`)
  return mode ?? 'none'
}

function configuredLength(given: unknown, warn: Warn): number | undefined {
  if (given === undefined) return undefined
  if (isWithin(given, 0, 65_536)) return given
  warn('configure: previewLen must be an integer from 0 to 65536; the default is used')
  return undefined
}

function configuredSession(given: unknown, warn: Warn): string | undefined {
  const accepted = acceptId('session_id', given)
  if (given !== undefined && accepted === undefined)
    warn('configure: sessionId must be "sess_" and 1 to 64 letters and digits; it is not used')
  return accepted
}

function transportOf(
  env: string | undefined,
  configured: unknown,
  inPod: boolean,
  warn: Warn,
): Transport {
  const fromEnv = parseTransport(env)
  if (env !== undefined) {
    if (fromEnv === undefined) warn('ENVPOD_COAT_TRANSPORT is no transport; "auto" is used')
    return fromEnv ?? 'auto'
  }
  if (configured === undefined) return 'auto'
  const wanted = parseTransport(configured)
  if (wanted === undefined) warn('configure: transport is no transport; "auto" is used')
  else if (!inPod || wanted === 'socket' || wanted === 'auto') return wanted
  else warn('configure: in a pod the transport is set by ENVPOD_COAT_TRANSPORT alone')
  return 'auto'
}

function parseTransport(given: unknown): Transport | undefined {
  if (typeof given !== 'string') return undefined
  // A path keeps its letters' case.
  if (/^file:./i.test(given)) return `file:${given.slice(5)}`
  const wanted = given.toLowerCase()
  return (['auto', 'socket', 'stderr', 'off'] as const).find((transport) => transport === wanted)
}

/** `8192`, or `8192/8388608` with the bytes as well. */
function bufferOf(given: string | undefined, warn: Warn): readonly [events: number, bytes: number] {
  const standard = [8192, 8 * MEBIBYTE] as const
  if (given === undefined) return standard
  const [, events, bytes] = /^(\d{1,9})(?:\/(\d{1,12}))?$/.exec(given) ?? []
  const maxBytes = bytes === undefined ? standard[1] : Number(bytes)
  if (isWithin(Number(events), 1, 1_000_000) && isWithin(maxBytes, 1024, 1024 * MEBIBYTE))
    return [Number(events), maxBytes]
  warn('ENVPOD_COAT_BUFFER must be a number of events, as in 8192 or 8192/8388608 with bytes')
  return standard
}

function namesOf(given: string | undefined): string[] {
  return (given ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

function keysOf(given: unknown, warn: Warn): string[] {
  if (given === undefined) return []
  const names = Array.isArray(given) ? given.filter((name) => typeof name === 'string') : []
  if (!Array.isArray(given) || names.length < given.length)
    warn('configure: redactKeys must be an array of names')
  return names
}

function patternsOf(given: unknown, warn: Warn): ValuePattern[] {
  if (given === undefined) return []
  const rules = Array.isArray(given) ? given.filter(isPattern) : []
  if (!Array.isArray(given) || rules.length < given.length)
    warn('configure: patterns must be an array of { name, pattern: RegExp }')
  return rules
}

function isPattern(given: unknown): given is ValuePattern {
  if (typeof given !== 'object' || given === null) return false
  const { name, pattern } = given as Partial<ValuePattern>
  return typeof name === 'string' && /^[\w-]{1,32}$/.test(name) && pattern instanceof RegExp
}

function isWithin(value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most
}
