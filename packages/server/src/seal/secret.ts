/** A secret value: bytes that never print, never pool and are wiped by their owner. */
import { randomFillSync } from 'node:crypto'
import { inspect } from 'node:util'
import { VestryError } from '@vestry/contract/errors'

const MASK = '[secret]'

/**
 * Owns its bytes. Whoever holds one disposes it on every path (`using`); after that, reading throws.
 * It prints as `[secret]` in string, JSON and inspect form.
 */
export class Secret implements Disposable {
  #bytes: Uint8Array | undefined

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Takes ownership of `bytes`, which the caller must not keep. They must be unpooled (see {@link unpooled}). */
  static own(bytes: Uint8Array): Secret {
    return new Secret(bytes)
  }

  /** Copies `bytes` into memory of its own; the caller still wipes the original. */
  static copy(bytes: Uint8Array): Secret {
    const own = unpooled(bytes.length)
    own.set(bytes)
    return new Secret(own)
  }

  /** Fresh bytes from the system generator. */
  static random(length: number): Secret {
    return new Secret(randomUnpooled(length))
  }

  /** The bytes themselves, borrowed: not to be kept past the secret's life, nor turned into a string. */
  get bytes(): Uint8Array {
    if (this.#bytes === undefined)
      throw new VestryError('INTERNAL_ERROR', 'secret used after disposal')
    return this.#bytes
  }

  get length(): number {
    return this.bytes.length
  }

  [Symbol.dispose](): void {
    this.#bytes?.fill(0)
    this.#bytes = undefined
  }

  toString(): string {
    return MASK
  }

  toJSON(): string {
    return MASK
  }

  [inspect.custom](): string {
    return MASK
  }
}

/** Zeroed memory outside Node's shared small-buffer pool, so wiping it wipes all of it and only it. */
export function unpooled(length: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(length))
}

/** Where random bytes come from; an argument wherever a test vector must fix them. */
export type Random = (length: number) => Uint8Array

/** Random bytes from the system generator, in memory of their own. */
export function randomUnpooled(length: number): Uint8Array {
  return randomFillSync(unpooled(length))
}
