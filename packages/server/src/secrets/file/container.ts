/**
 * The encrypted file, as the runtime's own is made: one JSON object of base64 texts and two labels. AES-256-GCM with
 * its tag behind the ciphertext, the key stretched from a passphrase or given as it is (runtime contract §8.4).
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { gcmSeal, gcmTryOpen, KEY_BYTES, NONCE_BYTES } from '../../seal/gcm.ts'
import { defaultCost, type KdfCost, Stretcher } from '../../seal/kdf.ts'
import { randomUnpooled, type Secret } from '../../seal/secret.ts'

export const ALGORITHM = 'AES-256-GCM'
const SALT_BYTES = 32
const NO_AAD = new Uint8Array()

/** Labels that can be read, and what they stand for. */
const KDFS: Readonly<Record<string, KdfCost>> = {
  'Argon2id-m65536-t3-p1': { name: 'argon2id', memory_kib: 65_536, passes: 3, lanes: 1 },
  /** Of older files. */
  Argon2: { name: 'argon2id', memory_kib: 19_456, passes: 2, lanes: 1 },
  'scrypt-N131072-r8-p1': { name: 'scrypt', n: 131_072, r: 8, p: 1 },
}
const GIVEN_KEY = 'none'
const BASE64_KEY = /^[A-Za-z0-9+/]{43}=$/

const Container = z.object({
  ciphertext: z.base64(),
  nonce: z.base64(),
  salt: z.base64(),
  algorithm: z.literal(ALGORITHM),
  kdf: z.string().max(64),
})

interface DerivedKey {
  readonly kdf: string
  readonly salt: string
  readonly key: KeyObject
}

/** One key of one file: opens what it finds, and writes with the strongest way there is. */
export class FileKey implements Disposable {
  readonly #text: Secret
  readonly #stretcher = new Stretcher()
  readonly #hasArgon2: boolean
  /** The last one that opened the file or was made for it. */
  #derived: DerivedKey | undefined
  /** Deriving costs a tenth of a second, and readers come many at once. */
  #deriving: { readonly id: string; readonly key: Promise<KeyObject> } | undefined

  /** @param text Passphrase, or 32 bytes in base64. Taken over. */
  constructor(text: Secret, hasArgon2: boolean = defaultCost().name === 'argon2id') {
    this.#text = text
    this.#hasArgon2 = hasArgon2
  }

  /**
   * @returns The plain text; the caller disposes it.
   * @throws VestryError BACKEND_AUTH_FAILED for a wrong key or altered bytes, BACKEND_ERROR for what is no such file.
   */
  async open(file: Uint8Array): Promise<Secret> {
    const { ciphertext, nonce, salt, kdf } = parse(file)
    const key = await this.#keyFor(kdf, salt)
    const plain = gcmTryOpen(
      key,
      Buffer.from(nonce, 'base64'),
      Buffer.from(ciphertext, 'base64'),
      NO_AAD,
    )
    if (plain === undefined) throw wrongKey()
    this.#derived = { kdf, salt, key }
    return plain
  }

  /** @param plain Borrowed. @returns What goes into the file. */
  async seal(plain: Uint8Array): Promise<Buffer> {
    const { kdf, salt, key } = await this.#keyForWriting()
    const nonce = randomUnpooled(NONCE_BYTES)
    const container = {
      ciphertext: base64(gcmSeal(key, nonce, plain, NO_AAD)),
      nonce: base64(nonce),
      salt,
      algorithm: ALGORITHM,
      kdf,
    }
    return Buffer.from(`${JSON.stringify(container)}\n`)
  }

  [Symbol.dispose](): void {
    this.#text[Symbol.dispose]()
    this.#derived = undefined
    this.#deriving = undefined
  }

  /** The key that the file has, unless there is a stronger way to make one. */
  async #keyForWriting(): Promise<DerivedKey> {
    const kdf = this.#strongest()
    if (this.#derived?.kdf === kdf) return this.#derived
    const salt = base64(randomUnpooled(SALT_BYTES))
    this.#derived = { kdf, salt, key: await this.#keyFor(kdf, salt) }
    return this.#derived
  }

  #strongest(): string {
    if (this.#rawKey() !== undefined) return GIVEN_KEY
    return this.#hasArgon2 ? 'Argon2id-m65536-t3-p1' : 'scrypt-N131072-r8-p1'
  }

  #keyFor(kdf: string, salt: string): Promise<KeyObject> {
    const id = `${kdf} ${salt}`
    if (this.#deriving?.id === id) return this.#deriving.key
    const key = this.#derive(kdf, salt)
    this.#deriving = { id, key }
    key.catch(() => {
      if (this.#deriving?.key === key) this.#deriving = undefined
    })
    return key
  }

  async #derive(kdf: string, salt: string): Promise<KeyObject> {
    if (kdf === GIVEN_KEY) {
      const raw = this.#rawKey()
      if (raw === undefined) throw wrongKey('The file was written with a key of 32 bytes in base64')
      return createSecretKey(raw)
    }
    const cost = KDFS[kdf]
    if (cost === undefined) throw unreadable(`its key derivation "${kdf}" is not known`)
    try {
      using key = await this.#stretcher.derive(this.#text.bytes, { ...cost, salt })
      return createSecretKey(key.bytes)
    } catch (cause) {
      if (asVestryError(cause).code !== 'SEAL_BROKEN') throw cause
      throw unreadable('this Node cannot compute its Argon2id', cause)
    }
  }

  /** The text's 32 bytes, if it is base64 of so many. */
  #rawKey(): Uint8Array | undefined {
    const text = Buffer.from(this.#text.bytes).toString('latin1')
    const bytes = BASE64_KEY.test(text) ? Buffer.from(text, 'base64') : undefined
    return bytes?.length === KEY_BYTES && bytes.toString('base64') === text ? bytes : undefined
  }
}

function parse(file: Uint8Array): z.output<typeof Container> {
  let found: unknown
  try {
    found = JSON.parse(Buffer.from(file).toString('utf8'))
  } catch {
    throw unreadable('it is not JSON')
  }
  const parsed = Container.safeParse(found)
  if (parsed.success) return parsed.data
  const [where] = parsed.error.issues[0]?.path ?? []
  throw unreadable(`its member "${String(where ?? '')}" is missing or is not what such files hold`)
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

function wrongKey(message = 'The file does not open with this key'): VestryError {
  return new VestryError('BACKEND_AUTH_FAILED', message, {
    hint: 'Check encryption_key. A file that was altered fails the same way; it was left as it is.',
  })
}

export function unreadable(what: string, cause?: unknown): VestryError {
  return new VestryError('BACKEND_ERROR', `The secrets file cannot be used: ${what}`, {
    ...(cause !== undefined && { cause }),
  })
}
