/**
 * Stretches a passphrase into a 32-byte slot key, off the main thread and one at a time.
 * Parameters read from a store are refused when they are too cheap to be ours or too dear to be run.
 * @see wire contract §15.3
 */
import * as crypto from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { KEY_BYTES } from './gcm.ts'
import { type Random, randomUnpooled, Secret } from './secret.ts'

const SALT_BYTES = 16
const MAX_SALT_BYTES = 64
const MAX_MEMORY_BYTES = 2 ** 30
const MAX_WAITING = 16

const salt = z.base64().refine(
  (text) => {
    const { length } = Buffer.from(text, 'base64')
    return length >= SALT_BYTES && length <= MAX_SALT_BYTES
  },
  { error: `a salt is ${SALT_BYTES} to ${MAX_SALT_BYTES} bytes` },
)

export const Argon2idParams = z.strictObject({
  name: z.literal('argon2id'),
  memory_kib: z
    .int()
    .min(19 * 1024)
    .max(MAX_MEMORY_BYTES / 1024),
  passes: z.int().min(1).max(64),
  lanes: z.int().min(1).max(64),
  salt,
})

export const ScryptParams = z
  .strictObject({
    name: z.literal('scrypt'),
    n: z
      .int()
      .min(2 ** 15)
      .max(2 ** 20)
      .refine((n) => (n & (n - 1)) === 0, { error: 'n is a power of two' }),
    r: z.int().min(8).max(64),
    p: z.int().min(1).max(16),
    salt,
  })
  .refine((kdf) => scryptMemory(kdf) <= MAX_MEMORY_BYTES, { error: 'needs more than 1 GiB' })

export type KdfParams = z.output<typeof Argon2idParams> | z.output<typeof ScryptParams>

/** How dear a new passphrase slot is; the salt is added. */
export type KdfCost =
  | Omit<z.output<typeof Argon2idParams>, 'salt'>
  | Omit<z.output<typeof ScryptParams>, 'salt'>

const ARGON2ID: KdfCost = { name: 'argon2id', memory_kib: 64 * 1024, passes: 3, lanes: 4 }
const SCRYPT: KdfCost = { name: 'scrypt', n: 2 ** 17, r: 8, p: 1 }

/** Argon2id where the runtime has it, else scrypt. */
export function defaultCost(hasArgon2 = typeof crypto.argon2 === 'function'): KdfCost {
  return hasArgon2 ? ARGON2ID : SCRYPT
}

/** `cost` with a fresh salt. */
export function freshParams(cost: KdfCost, random: Random = randomUnpooled): KdfParams {
  return { ...cost, salt: Buffer.from(random(SALT_BYTES)).toString('base64') }
}

/** Runs one derivation at a time, so that many attempts cannot take many times the memory. */
export class Stretcher {
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /**
   * @param passphrase Borrowed; copied at once, so the caller may wipe it before the promise resolves.
   * @returns 32 bytes; the caller disposes them.
   * @throws VestryError `RATE_LIMITED` when too many derivations wait already.
   */
  async derive(passphrase: Uint8Array, params: KdfParams): Promise<Secret> {
    if (this.#waiting >= MAX_WAITING)
      throw new VestryError('RATE_LIMITED', 'Too many passphrases are being checked', {
        hint: 'Try again in a few seconds.',
      })
    this.#waiting += 1
    using own = Secret.copy(passphrase)
    const turn = this.#last.then(() => stretch(own, params))
    this.#last = turn.catch(() => undefined)
    try {
      return await turn
    } finally {
      this.#waiting -= 1
    }
  }
}

function stretch(passphrase: Secret, params: KdfParams): Promise<Secret> {
  const saltBytes = Buffer.from(params.salt, 'base64')
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, key: Uint8Array) =>
      error === null ? resolve(Secret.own(key)) : reject(error)
    if (params.name === 'scrypt') {
      const { n: N, r, p } = params
      // The runtime's own cap (32 MiB) lies below our cheapest parameters.
      const maxmem = scryptMemory(params) + 2 ** 20
      crypto.scrypt(passphrase.bytes, saltBytes, KEY_BYTES, { N, r, p, maxmem }, done)
      return
    }
    if (typeof crypto.argon2 !== 'function')
      throw new VestryError('SEAL_BROKEN', 'This runtime cannot compute Argon2id', {
        hint: 'Start the daemon with the Node version the package brings.',
      })
    const { memory_kib: memory, passes, lanes: parallelism } = params
    const options = { message: passphrase.bytes, nonce: saltBytes, tagLength: KEY_BYTES }
    crypto.argon2('argon2id', { ...options, memory, passes, parallelism }, done)
  })
}

function scryptMemory({ n, r, p }: { n: number; r: number; p: number }): number {
  return 128 * r * (n + p)
}
