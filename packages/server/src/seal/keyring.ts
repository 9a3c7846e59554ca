/**
 * The keyring: every key below the root key, sealed as one blob. Open, it holds `KeyObject`s, which live
 * outside the JavaScript heap and never print; the raw bytes are wiped as soon as those exist.
 *
 * ```
 * "SNCK" | fmt u8=1 | count u16 | count × ( lp(name) | created_at u64 | lp(bytes) )      lp: u16 length first
 * ```
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
} from 'node:crypto'
import { inspect } from 'node:util'
import { VestryError } from '@vestry/contract/errors'
import { aad } from './aad.ts'
import { gcmOpen, gcmSeal, KEY_BYTES, NONCE_BYTES } from './gcm.ts'
import { type Random, randomUnpooled, Secret, unpooled } from './secret.ts'

/** What the server needs of an unsealed vault. Every member throws `VAULT_LOCKED` once it is sealed. */
export interface Keyring {
  readonly vaultId: string
  /** The term new data keys are wrapped under, from 1. */
  readonly term: number
  /** AES-256 key of a term. @throws VestryError `SEAL_BROKEN` for an unknown term. */
  termKey(term: number): KeyObject
  /** Row MACs. */
  readonly rowKey: KeyObject
  /** `hmac:` values in the audit log, hashes of lease ids and API keys. */
  readonly hashKey: KeyObject
  /** Ed25519; `publicKey` is raw (32 bytes), `id` its SHA-256 in hex. */
  readonly serverKey: { privateKey: KeyObject; publicKey: Uint8Array; id: string }
}

/** One named key in raw form. Its owner disposes it. */
export interface KeyEntry {
  name: string
  /** Epoch milliseconds. */
  createdAt: number
  key: Secret
}

export interface SealedKeyring {
  nonce: Uint8Array
  ct: Uint8Array
}

const MAGIC = Buffer.from('SNCK', 'latin1')
const FORMAT = 1
const HEADER_BYTES = MAGIC.length + 3
/** RFC 8410: an Ed25519 private key in PKCS #8 is this prefix and the 32-byte seed. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SIGNING = 'signing/'
const MAX_KEY_BYTES = 0xffff

/** The keys of a new vault. */
export function newEntries(nowMs: number, random: Random = randomUnpooled): KeyEntry[] {
  const names = [termName(1), 'audit', 'hash', 'index', 'row', 'server']
  return names.map((name) => newEntry(name, nowMs, random))
}

export function newTermEntry(
  term: number,
  nowMs: number,
  random: Random = randomUnpooled,
): KeyEntry {
  return newEntry(termName(term), nowMs, random)
}

/** @param key 1 to 65 535 bytes, taken over by the entry. */
export function signingEntry(name: string, key: Secret, nowMs: number): KeyEntry {
  if (key.length === 0 || key.length > MAX_KEY_BYTES)
    throw new VestryError('INVALID_PARAMS', `A key of ${key.length} bytes cannot be kept`)
  return { name: `${SIGNING}${name}`, createdAt: nowMs, key }
}

export function disposeEntries(entries: readonly KeyEntry[]): void {
  for (const { key } of entries) key[Symbol.dispose]()
}

/** @param entries Borrowed. */
export function sealKeyring(
  root: KeyObject | Uint8Array,
  vaultId: string,
  entries: readonly KeyEntry[],
  random: Random = randomUnpooled,
): SealedKeyring {
  using plain = encode(entries)
  const nonce = random(NONCE_BYTES)
  return { nonce, ct: gcmSeal(root, nonce, plain.bytes, aad('keyring', vaultId)) }
}

/** @returns The entries, owned by the caller. @throws VestryError `SEAL_BROKEN` */
export function openKeyring(
  root: KeyObject | Uint8Array,
  vaultId: string,
  sealed: SealedKeyring,
): KeyEntry[] {
  using plain = gcmOpen(root, sealed.nonce, sealed.ct, aad('keyring', vaultId))
  return decode(plain.bytes)
}

interface Loaded {
  keys: ReadonlyMap<string, { key: KeyObject; createdAt: number }>
  term: number
  serverKey: Keyring['serverKey']
}

export class OpenKeyring implements Keyring {
  readonly vaultId: string
  #loaded: Loaded | undefined
  #onWrap: (() => void) | undefined

  /** @param entries Borrowed; the caller disposes them. */
  constructor(vaultId: string, entries: readonly KeyEntry[]) {
    this.vaultId = vaultId
    this.#loaded = load(entries)
  }

  /** Takes over a newer state of the same keyring: whoever holds this object sees the new term. */
  adopt(entries: readonly KeyEntry[]): void {
    if (this.#loaded !== undefined) this.#loaded = load(entries)
  }

  /** Drops every key; their memory is cleared by the crypto library as they are collected. */
  wipe(): void {
    this.#loaded = undefined
    this.#onWrap = undefined
  }

  /** @param onWrap Called before a data key is wrapped under the current term; throws to forbid it. */
  countWith(onWrap: () => void): void {
    this.#onWrap = onWrap
  }

  countWrap(): void {
    this.#onWrap?.()
  }

  get term(): number {
    return this.#open.term
  }

  /** Epoch milliseconds. */
  get termCreatedAt(): number {
    return this.#open.keys.get(termName(this.term))?.createdAt ?? 0
  }

  termKey(term: number): KeyObject {
    return this.#key(termName(term))
  }

  get rowKey(): KeyObject {
    return this.#key('row')
  }

  get hashKey(): KeyObject {
    return this.#key('hash')
  }

  get auditKey(): KeyObject {
    return this.#key('audit')
  }

  get indexKey(): KeyObject {
    return this.#key('index')
  }

  get serverKey(): Keyring['serverKey'] {
    return this.#open.serverKey
  }

  hasSigningSecret(name: string): boolean {
    return this.#open.keys.has(`${SIGNING}${name}`)
  }

  /** A secret kept for another part under a name of its choosing; `Seal.signingSecret` makes it. */
  signingSecret(name: string): KeyObject {
    return this.#key(`${SIGNING}${name}`)
  }

  toJSON(): string {
    return '[keyring]'
  }

  [inspect.custom](): string {
    return '[keyring]'
  }

  get #open(): Loaded {
    if (this.#loaded === undefined) throw new VestryError('VAULT_LOCKED')
    return this.#loaded
  }

  #key(name: string): KeyObject {
    const found = this.#open.keys.get(name)
    if (found === undefined)
      throw new VestryError('SEAL_BROKEN', `The keyring holds no key "${name}"`)
    return found.key
  }
}

function load(entries: readonly KeyEntry[]): Loaded {
  const keys = new Map<string, { key: KeyObject; createdAt: number }>()
  let term = 0
  let serverKey: Keyring['serverKey'] | undefined
  for (const { name, createdAt, key } of entries) {
    if (name === 'server') serverKey = loadServerKey(key.bytes)
    else keys.set(name, { key: createSecretKey(key.bytes), createdAt })
    const [, number] = /^term\/(\d+)$/.exec(name) ?? []
    if (number !== undefined) term = Math.max(term, Number(number))
  }
  if (serverKey === undefined || term === 0)
    throw new VestryError('SEAL_BROKEN', 'The keyring is not complete')
  return { keys, term, serverKey }
}

function loadServerKey(seed: Uint8Array): Keyring['serverKey'] {
  using der = Secret.own(unpooled(ED25519_PKCS8.length + KEY_BYTES))
  der.bytes.set(ED25519_PKCS8)
  der.bytes.set(seed, ED25519_PKCS8.length)
  const bytes = Buffer.from(der.bytes.buffer)
  const privateKey = createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = Uint8Array.from(spki.subarray(-KEY_BYTES))
  return { privateKey, publicKey, id: createHash('sha256').update(publicKey).digest('hex') }
}

function termName(term: number): string {
  return `term/${term}`
}

function newEntry(name: string, createdAt: number, random: Random): KeyEntry {
  return { name, createdAt, key: Secret.own(random(KEY_BYTES)) }
}

function encode(entries: readonly KeyEntry[]): Secret {
  const size = entries.reduce((sum, { name, key }) => sum + 12 + name.length + key.length, 0)
  const out = Buffer.from(unpooled(HEADER_BYTES + size).buffer)
  let at = out.writeUInt8(FORMAT, MAGIC.copy(out))
  at = out.writeUInt16BE(entries.length, at)
  for (const { name, createdAt, key } of entries) {
    at = out.writeUInt16BE(name.length, at)
    at += out.write(name, at, 'latin1')
    at = out.writeBigUInt64BE(BigInt(createdAt), at)
    at = out.writeUInt16BE(key.length, at)
    out.set(key.bytes, at)
    at += key.length
  }
  return Secret.own(out)
}

/** The bytes are authenticated, so a malformed one is a newer format, not an attack. */
function decode(plain: Uint8Array): KeyEntry[] {
  const bytes = Buffer.from(plain.buffer, plain.byteOffset, plain.length)
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC) || bytes[MAGIC.length] !== FORMAT)
    throw new VestryError('SEAL_BROKEN', 'The keyring has a format this version cannot read')
  const entries: KeyEntry[] = []
  let at = HEADER_BYTES
  for (let left = bytes.readUInt16BE(MAGIC.length + 1); left > 0; left -= 1) {
    const nameEnd = at + 2 + bytes.readUInt16BE(at)
    const name = bytes.toString('latin1', at + 2, nameEnd)
    const keyAt = nameEnd + 10
    const keyEnd = keyAt + bytes.readUInt16BE(nameEnd + 8)
    const createdAt = Number(bytes.readBigUInt64BE(nameEnd))
    entries.push({ name, createdAt, key: Secret.copy(bytes.subarray(keyAt, keyEnd)) })
    at = keyEnd
  }
  return entries
}
