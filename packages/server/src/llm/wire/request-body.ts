/** Reads request bodies, within bounds for each and for all of them together. */
import type { IncomingMessage } from 'node:http'
import { VestryError } from '@vestry/contract/errors'

/** How much memory request bodies may take together, and the vectors of answers. */
export class BodyMemory {
  readonly #limit: number
  #used = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** @throws VestryError GATEWAY_OVERLOADED */
  take(bytes: number): void {
    if (this.#used + bytes > this.#limit) {
      throw new VestryError('GATEWAY_OVERLOADED', 'Too many large requests at once', {
        hint: 'Try again in a moment',
      })
    }
    this.#used += bytes
  }

  giveBack(bytes: number): void {
    this.#used -= bytes
  }
}

export interface HeldBody extends Disposable {
  readonly bytes: Buffer
}

interface BodyLimits {
  readonly maxBytes: number
  readonly timeoutMs: number
  readonly memory: BodyMemory
}

/**
 * @returns The whole body; its memory is counted until it is disposed.
 * @throws VestryError REQUEST_TOO_LARGE, DEADLINE_EXCEEDED, GATEWAY_OVERLOADED; CANCELLED when the client left.
 */
export async function readBody(request: IncomingMessage, limits: BodyLimits): Promise<HeldBody> {
  if (request.destroyed && !request.complete) throw left()
  const announced = request.headers['content-length']
  if (Number(announced ?? 0) > limits.maxBytes) throw tooLarge(limits.maxBytes)
  const body = new Growing(limits, Math.min(Number(announced ?? FIRST_BYTES), MOST_AT_ONCE))
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onData = (chunk: Buffer): void => {
    try {
      body.add(chunk)
    } catch (error) {
      reject(error)
    }
  }
  const onClose = (): void => {
    if (!request.complete) reject(left())
  }
  const timer = setTimeout(() => {
    reject(new VestryError('DEADLINE_EXCEEDED', 'The request body did not arrive in time'))
  }, limits.timeoutMs)
  request.on('data', onData).once('end', resolve).once('close', onClose).once('error', onClose)
  try {
    await promise
    return { bytes: body.bytes, [Symbol.dispose]: () => body[Symbol.dispose]() }
  } catch (error) {
    body[Symbol.dispose]()
    throw error
  } finally {
    clearTimeout(timer)
    request.off('data', onData).off('end', resolve).off('close', onClose)
  }
}

/** Where nobody said how much will come. */
const FIRST_BYTES = 16_384
/** Whoever only announces more takes no room for it. */
const MOST_AT_ONCE = 1_048_576

/** One piece of memory, however small the pieces are in which a body comes. */
class Growing implements Disposable {
  readonly #limits: BodyLimits
  #buffer: Buffer
  #length = 0

  constructor(limits: BodyLimits, capacity: number) {
    limits.memory.take(capacity)
    this.#limits = limits
    this.#buffer = Buffer.allocUnsafe(capacity)
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  add(chunk: Buffer): void {
    const { maxBytes, memory } = this.#limits
    const length = this.#length + chunk.length
    if (length > maxBytes) throw tooLarge(maxBytes)
    if (length > this.#buffer.length) {
      const capacity = Math.min(maxBytes, Math.max(length, this.#buffer.length * 2))
      memory.take(capacity - this.#buffer.length)
      const grown = Buffer.allocUnsafe(capacity)
      grown.set(this.bytes)
      this.#buffer = grown
    }
    this.#buffer.set(chunk, this.#length)
    this.#length = length
  }

  [Symbol.dispose](): void {
    this.#limits.memory.giveBack(this.#buffer.length)
    this.#buffer = EMPTY
    this.#length = 0
  }
}

const EMPTY = Buffer.alloc(0)

function left(): VestryError {
  return new VestryError('CANCELLED', 'the client left')
}

function tooLarge(maxBytes: number): VestryError {
  return new VestryError('REQUEST_TOO_LARGE', `The body is larger than ${maxBytes} bytes`)
}
