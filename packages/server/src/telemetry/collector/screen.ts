/**
 * The second look at captured values, on the host: an envelope tells no more than the pod may tell, and no secret
 * that its producer should have redacted. What the producer did right stays as it is.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type Capture, type CaptureMode, lesser } from '@vestry/coat/aot'
import { lowerPayload, redactJson, redactText } from '@vestry/coat/redaction'
import type { Received } from './envelope.ts'

type Payload = Received['payload']

export interface Screened {
  readonly capture: Capture
  readonly payload: Payload
  readonly framework: string
  readonly frameworkVersion: string
  /** Names of the rules by which secrets were found where none should have been. */
  readonly leaks: readonly string[]
}

/** Names of frameworks repeat for ever, so each is looked at once. */
const MAX_NAMES = 512

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

  look({ capture, payload, framework, frameworkVersion }: Received): Screened {
    const mode = lesser(capture.mode, this.#most)
    const names = {
      framework: this.#name(framework),
      frameworkVersion: this.#name(frameworkVersion),
    }
    if (mode === 'raw') return { capture, payload, ...names, leaks: [] }
    if (mode === capture.mode) {
      const { value, hits } = redactJson(payload)
      return { capture, payload: value as Payload, ...names, leaks: hits }
    }
    const lowered = lowerPayload(payload, capture.mode, mode, this.#hashKey)
    const { value } = redactJson(lowered)
    return {
      capture: this.#lowered(capture, mode),
      payload: value as Payload,
      ...names,
      // What was told in the open is no leak: the producer was asked for no less.
      leaks: capture.mode === 'raw' ? [] : redactJson(payload).hits,
    }
  }

  #lowered(capture: Capture, mode: CaptureMode): Capture {
    return {
      mode,
      requested: capture.requested ?? capture.mode,
      ...(mode === 'hash' && { hash: { alg: 'hmac-sha256-128', key_id: this.#keyId } }),
    }
  }

  #name(text: string): string {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    const redacted = redactText(text).text
    if (this.#names.size < MAX_NAMES) this.#names.set(text, redacted)
    return redacted
  }
}
