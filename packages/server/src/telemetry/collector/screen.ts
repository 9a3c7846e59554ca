/**
 * The second look at captured values, on the host: an envelope tells no more than the pod may tell, and no secret
 * that its producer should have redacted. What the producer did right stays as it is.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { type Capture, type CaptureMode, type Ids, lesser } from '@vestry/coat/aot'
import { lowerPayload, redactJson, redactText } from '@vestry/coat/redaction'
import type { Received } from './envelope.ts'

type Payload = Received['payload']

export interface Screened {
  readonly capture: Capture
  readonly payload: Payload
  readonly ids: Ids
  readonly framework: string
  readonly frameworkVersion: string
  /** Names of the rules by which secrets were found where none should have been. */
  readonly leaks: readonly string[]
}

/** Names of frameworks repeat for ever, so each is looked at once. */
const MAX_NAMES = 512
const MAX_NAME_CHARS = 128
/** Ids as we make them ourselves; in others there is room for a secret. */
const PLAIN_ID = /^(?:[a-z]{1,8}_)?[0-9a-f]{0,64}$/

export class Screen {
  readonly #most: CaptureMode
  readonly #hashKey: Buffer
  readonly #keyId: string
  readonly #names = new Map<string, string>()

  /** @param hashKey For values that are lowered to hashes; fresh with each daemon. */
  constructor(most: CaptureMode, hashKey: Buffer = randomBytes(32)) {
    this.#most = most
    this.#hashKey = hashKey
    this.#keyId = createHash('sha256').update(hashKey).digest('hex').slice(0, 8)
  }

  look({ capture, payload, ids, framework, frameworkVersion }: Received): Screened {
    const mode = lesser(capture.mode, this.#most)
    const leaks: string[] = []
    const names = {
      ids: this.#ids(ids, leaks),
      framework: this.#name(framework, leaks),
      frameworkVersion: this.#name(frameworkVersion, leaks),
    }
    if (mode === 'raw') return { capture, payload, ...names, leaks: distinct(leaks) }
    if (mode === capture.mode) {
      const { value, hits } = redactJson(payload)
      return {
        capture,
        payload: value as Payload,
        ...names,
        leaks: leaks.length === 0 ? hits : distinct([...leaks, ...hits]),
      }
    }
    const lowered = lowerPayload(payload, capture.mode, mode, this.#hashKey)
    const { value } = redactJson(lowered)
    return {
      capture: this.#lowered(capture, mode),
      payload: value as Payload,
      ...names,
      // What was told in the open is no leak: the producer was asked for no less.
      leaks: distinct([...leaks, ...(capture.mode === 'raw' ? [] : redactJson(payload).hits)]),
    }
  }

  #lowered(capture: Capture, mode: CaptureMode): Capture {
    return {
      mode,
      requested: capture.requested ?? capture.mode,
      ...(mode === 'hash' && { hash: { alg: 'hmac-sha256-128', key_id: this.#keyId } }),
    }
  }

  #name(text: string, leaks: string[]): string {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    const { text: clean, hits } = redactText(text)
    const name = clean.slice(0, MAX_NAME_CHARS).toWellFormed()
    if (hits.length > 0) leaks.push(...hits)
    else if (text.length <= MAX_NAME_CHARS && this.#names.size < MAX_NAMES)
      this.#names.set(text, name)
    return name
  }

  /** What is a secret becomes something else that is still one and the same id. */
  #ids(ids: Ids, leaks: string[]): Ids {
    const { session_id, run_id, step_id, trace_id, span_id, parent_span_id } = ids
    if (
      PLAIN_ID.test(session_id) &&
      PLAIN_ID.test(run_id) &&
      PLAIN_ID.test(step_id) &&
      PLAIN_ID.test(trace_id) &&
      PLAIN_ID.test(span_id) &&
      PLAIN_ID.test(parent_span_id)
    )
      return ids
    return {
      session_id: this.#id(session_id, leaks),
      run_id: this.#id(run_id, leaks),
      step_id: this.#id(step_id, leaks),
      trace_id: this.#id(trace_id, leaks),
      span_id: this.#id(span_id, leaks),
      parent_span_id: this.#id(parent_span_id, leaks),
    }
  }

  #id(id: string, leaks: string[]): string {
    if (PLAIN_ID.test(id)) return id
    const { hits } = redactText(id)
    if (hits.length === 0) return id
    leaks.push(...hits)
    return `x_${createHmac('sha256', this.#hashKey).update(id).digest('hex').slice(0, 32)}`
  }
}

function distinct(names: readonly string[]): string[] {
  return [...new Set(names)]
}
