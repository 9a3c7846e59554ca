/**
 * Makes what captures values: each mode's way of turning any value into JSON, in the one order that is
 * safe: read, redact by name, redact by shape, transform, cut.
 */
import type { Capture, CaptureMode } from '../aot.ts'
import type { Capturer, ErrorPayload, EventCapture, Json } from './capturer.ts'
import { CustomPatterns, type NamedPattern } from './custom-patterns.ts'
import { describe } from './describe.ts'
import { environmentSecrets } from './environment-secrets.ts'
import { errorPayload } from './error-payload.ts'
import { canonicalJson, type HashKey, hashed, hashKey, hashMember } from './hash.ts'
import { isObject, keysOf, kindOf, monotonicMs } from './intrinsics.ts'
import { createScanner } from './scan.ts'
import { createKeyRule, type KeyRule } from './sensitive-key.ts'
import { type Bounds, type CleanText, EVENT_BOUNDS, SCAN_AHEAD, Serialiser } from './serialise.ts'
import { summarise } from './summarise.ts'

export interface CaptureSettings {
  /** Characters shown of each text; 0 shows descriptors in every mode. */
  readonly previewLen: number
  /** Names whose values go, beside the built-in ones. */
  readonly redactKeys: readonly string[]
  readonly patterns: readonly NamedPattern[]
  /** Also redact what merely looks random. */
  readonly entropy: boolean
  /** At least 16 bytes, as hex or base64; random when absent. */
  readonly hashKey?: string | undefined
  /** Tell where errors were thrown. */
  readonly stack: boolean
  /** Its secrets are recognised wherever they turn up. */
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface CaptureStats {
  /** Patterns of the settings that took too long and are not used any more. */
  readonly patternsDisabled: number
}

/** Longest text that `previewLen` may show. */
const MAX_PREVIEW = 65_536
/** Of a longer text the beginning and the length are hashed. */
const HASHED_CHARACTERS = 32_768 - SCAN_AHEAD

/** For hashing a value is read further than it would be shown. */
const HASH_BOUNDS: Bounds = { ...EVENT_BOUNDS, depth: 16, width: 256, bytes: 64 * 1024 }

/** What all events of a capturer share. */
interface Machinery {
  readonly keyRule: KeyRule
  readonly clean: CleanText
  readonly key: HashKey
  readonly stackRoot: string | undefined
}

export function createCapturer(settings: CaptureSettings): Capturer & { stats(): CaptureStats } {
  const keyRule = createKeyRule(settings.redactKeys)
  const scanner = createScanner({
    keyRule,
    exact: environmentSecrets(settings.env, keyRule),
    entropy: settings.entropy,
  })
  const custom = new CustomPatterns(settings.patterns)
  const clean: CleanText = (text, cut) => custom.redact(scanner.redact(text, cut))
  const key = hashKey(settings.hashKey)
  const stackRoot = settings.stack ? projectRoot() : undefined
  const machinery: Machinery = { keyRule, clean, key, stackRoot }
  const captures = capturesByMode(key)
  const none: EventCapture = {
    value: describe,
    error: (error) => errorPayload(error, { mode: 'none', clean, message: describe, stackRoot }),
    capture: captures.none,
  }
  return {
    begin(mode, previewLen = settings.previewLen) {
      if (mode === 'none') return none
      const limit = Math.max(0, Math.min(previewLen, MAX_PREVIEW))
      return new ModeCapture(mode, limit, captures[mode], machinery)
    },
    stats: () => ({ patternsDisabled: custom.disabled }),
  }
}

function projectRoot(): string {
  try {
    return process.cwd()
  } catch {
    // The directory is gone.
    return '/'
  }
}

function capturesByMode(key: HashKey): Record<CaptureMode, Capture> {
  return {
    none: Object.freeze({ mode: 'none' }),
    hash: Object.freeze({ mode: 'hash', hash: Object.freeze(hashMember(key)) }),
    summary: Object.freeze({ mode: 'summary' }),
    redacted: Object.freeze({ mode: 'redacted' }),
    raw: Object.freeze({ mode: 'raw' }),
  }
}

class ModeCapture implements EventCapture {
  readonly capture: Capture
  readonly #mode: CaptureMode
  readonly #limit: number
  readonly #machinery: Machinery
  readonly #serialiser: Serialiser
  #startedMs = 0

  constructor(mode: CaptureMode, limit: number, capture: Capture, machinery: Machinery) {
    this.capture = capture
    this.#mode = mode
    this.#limit = limit
    this.#machinery = machinery
    this.#serialiser =
      mode === 'raw'
        ? new Serialiser(EVENT_BOUNDS, limit, undefined, untouched)
        : new Serialiser(EVENT_BOUNDS, limit, machinery.keyRule, machinery.clean)
  }

  value(value: unknown): Json {
    switch (this.#mode) {
      case 'hash':
        return this.#hash(value)
      case 'summary':
        return summarise(value, this.#machinery)
      case 'none':
        return describe(value)
      default:
        return this.#limit === 0 ? describe(value) : this.#serialiser.value(value)
    }
  }

  error(error: unknown): ErrorPayload {
    const { clean, stackRoot } = this.#machinery
    return errorPayload(error, {
      mode: this.#mode,
      clean,
      stackRoot,
      message: (text) => this.#message(text),
    })
  }

  #message(text: string): string {
    switch (this.#mode) {
      case 'hash':
        return this.#hash(text)
      case 'redacted':
      case 'raw':
        return this.#limit === 0 ? describe(text) : this.#serialiser.text(text)
      default:
        return describe(text)
    }
  }

  /**
   * Each value is read by itself, so that its hash does not depend on the others. Where the time ran
   * out there is none: it would differ from that of the same value at another time.
   */
  #hash(value: unknown): string {
    if (this.#startedMs === 0) this.#startedMs = monotonicMs()
    const { keyRule, clean, key } = this.#machinery
    const serialiser = new Serialiser(HASH_BOUNDS, HASHED_CHARACTERS, keyRule, clean)
    const json = serialiser.value(value, this.#startedMs)
    if (serialiser.late) return '[budget]'
    return hashed(key, typeTag(value), canonicalJson(json), sizeTag(value))
  }
}

const untouched: CleanText = (text) => text

function typeTag(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function sizeTag(value: unknown): string | undefined {
  if (typeof value === 'string') return `len=${value.length}`
  if (!isObject(value)) return undefined
  const kind = kindOf(value)
  if (kind === 'array') return `len=${(value as unknown[]).length}`
  if (kind === 'plain' || kind === 'instance') return `keys=${keysOf(value)?.length ?? 'many'}`
  return undefined
}
