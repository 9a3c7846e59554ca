/** Reads request bodies, within bounds for each and for all of them together. */
import type { IncomingMessage } from 'node:http'
import { VestryError } from '@vestry/contract/errors'

/** How much memory request bodies may take together. */
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

/**
 * @returns The whole body; its memory is counted until it is disposed.
 * @throws VestryError REQUEST_TOO_LARGE, DEADLINE_EXCEEDED, GATEWAY_OVERLOADED; CANCELLED when the client left.
 */
export async function readBody(
  request: IncomingMessage,
  limits: { maxBytes: number; timeoutMs: number; memory: BodyMemory },
): Promise<HeldBody> {
  const { maxBytes, timeoutMs, memory } = limits
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > maxBytes) throw tooLarge(maxBytes)
  let held = 0
  const chunks: Buffer[] = []
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onData = (chunk: Buffer): void => {
    try {
      if (held + chunk.length > maxBytes) throw tooLarge(maxBytes)
      memory.take(chunk.length)
      held += chunk.length
      chunks.push(chunk)
    } catch (error) {
      reject(error)
    }
  }
  const onClose = (): void => reject(new VestryError('CANCELLED', 'the client left'))
  const timer = setTimeout(() => {
    reject(new VestryError('DEADLINE_EXCEEDED', 'The request body did not arrive in time'))
  }, timeoutMs)
  request.on('data', onData).once('end', resolve).once('close', onClose).once('error', onClose)
  const release = () => {
    memory.giveBack(held)
    held = 0
  }
  try {
    await promise
    const [only] = chunks
    const bytes = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)
    return { bytes, [Symbol.dispose]: release }
  } catch (error) {
    release()
    throw error
  } finally {
    clearTimeout(timer)
    request.off('data', onData).off('end', resolve).off('close', onClose)
  }
}

function tooLarge(maxBytes: number): VestryError {
  return new VestryError('REQUEST_TOO_LARGE', `The body is larger than ${maxBytes} bytes`)
}
