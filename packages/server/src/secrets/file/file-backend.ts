/**
 * Secrets in one encrypted file. Read and opened for each request, so that a change made beside us counts at once and
 * no value stays in memory; written whole, under a lock.
 */
import { VestryError } from '@vestry/contract/errors'
import { Secret } from '../../seal/secret.ts'
import {
  type PutOptions,
  type SecretBackend,
  type SecretFacts,
  type StoredSecret,
  sorted,
  versionConflict,
  type Written,
} from '../backend.ts'
import { assertLive } from '../deadline.ts'
import type { SecretPlace } from '../place.ts'
import { WriteOrder } from '../write-order.ts'
import { FileKey } from './container.ts'
import { type Entry, type FileDocument, readDocument, writeDocument } from './document.ts'
import { readPrivateFile, removeLeftovers, withFileLock, writePrivateFile } from './private-file.ts'

export interface FileBackendOptions {
  /** Absolute. */
  readonly path: string
  /** Passphrase or 32 bytes in base64; asked for once. The back end disposes it. */
  readonly key: () => Promise<Secret>
  readonly backups: number
  /** Whose the secrets of a flat file become. */
  readonly importAgent: string | undefined
  readonly now: () => number
}

export class FileBackend implements SecretBackend {
  readonly type = 'encrypted_file'
  readonly identity: string
  readonly #options: FileBackendOptions
  #key: Promise<FileKey> | undefined
  #closed = false
  #writing: Promise<unknown> = Promise.resolve()
  /** Each holds the whole file: one after the other. */
  readonly #reads = new WriteOrder()

  constructor(options: FileBackendOptions) {
    this.#options = options
    this.identity = `encrypted_file:${options.path}`
  }

  put(place: SecretPlace, value: Secret, options: PutOptions): Promise<Written> {
    const text = Buffer.from(value.bytes).toString('utf8')
    return this.#change(options.signal, (document) => {
      const secrets = document.get(place.agent) ?? new Map<string, Entry>()
      const before = secrets.get(place.name)
      const { expectedVersion, origin } = options
      if (expectedVersion !== undefined && expectedVersion !== (before?.version ?? 0))
        throw versionConflict(before?.version ?? 0)
      const nowMs = this.#options.now()
      const entry: Entry = {
        value: text,
        description: options.description ?? null,
        createdAtMs: before?.createdAtMs ?? origin?.createdAtMs ?? nowMs,
        updatedAtMs: before === undefined ? (origin?.updatedAtMs ?? null) : nowMs,
        version: before === undefined ? (origin?.version ?? 1) : before.version + 1,
      }
      secrets.set(place.name, entry)
      document.set(place.agent, secrets)
      return { changed: true, result: { ...factsOf(entry), created: before === undefined } }
    })
  }

  async get(
    { agent, name }: SecretPlace,
    signal: AbortSignal,
    version?: number,
  ): Promise<StoredSecret | undefined> {
    const entry = (await this.#read(signal)).get(agent)?.get(name)
    if (entry === undefined || (version !== undefined && version !== entry.version))
      return undefined
    return { ...factsOf(entry), value: Secret.copy(Buffer.from(entry.value)) }
  }

  async list(agent: string, signal: AbortSignal): Promise<string[]> {
    return sorted((await this.#read(signal)).get(agent)?.keys() ?? [])
  }

  delete({ agent, name }: SecretPlace, signal: AbortSignal): Promise<boolean> {
    return this.#change(signal, (document) => {
      const secrets = document.get(agent)
      const existed = secrets?.delete(name) ?? false
      if (secrets?.size === 0) document.delete(agent)
      return { changed: existed, result: existed }
    })
  }

  async owners(signal: AbortSignal): Promise<string[]> {
    const document = await this.#read(signal)
    return sorted([...document].filter(([, { size }]) => size > 0).map(([agent]) => agent))
  }

  async probe(
    signal: AbortSignal,
    { create }: { create: boolean },
  ): Promise<Record<string, unknown>> {
    const { path } = this.#options
    if (create) {
      await this.#exclusively(signal, async () => {
        await removeLeftovers(path)
        if ((await readPrivateFile(path)) === undefined) await this.#write(new Map())
      })
    }
    await this.#read(signal)
    return { file: path.split('/').at(-1), backups: this.#options.backups }
  }

  async close(): Promise<void> {
    await this.#writing.catch(() => undefined)
    this.#closed = true
    const key = await this.#key?.catch(() => undefined)
    key?.[Symbol.dispose]()
  }

  #read(signal: AbortSignal): Promise<FileDocument> {
    return this.#reads.run('', signal, () => this.#opened(signal))
  }

  async #opened(signal: AbortSignal): Promise<FileDocument> {
    assertLive(signal)
    const { path, importAgent } = this.#options
    const file = await readPrivateFile(path)
    // An empty set instead would have the next write begin anew, over whatever comes back.
    if (file === undefined) throw gone()
    using plain = await (await this.#fileKey()).open(file.bytes)
    const flat = { agent: importAgent, writtenAtMs: file.writtenAtMs }
    const document = readDocument(plain.bytes, flat)
    return document
  }

  #change<T>(
    signal: AbortSignal,
    change: (document: FileDocument) => { changed: boolean; result: T },
  ): Promise<T> {
    return this.#exclusively(signal, async () => {
      const document = await this.#read(signal)
      const { changed, result } = change(document)
      if (changed) await this.#write(document)
      return result
    })
  }

  async #write(document: FileDocument): Promise<void> {
    const plain = writeDocument(document)
    try {
      const content = await (await this.#fileKey()).seal(plain)
      await writePrivateFile(this.#options.path, content, this.#options.backups)
    } finally {
      plain.fill(0)
    }
  }

  /** One after the other here, and one process after the other. */
  #exclusively<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const turn = this.#writing.then(() => withFileLock(this.#options.path, signal, work))
    this.#writing = turn.catch(() => undefined)
    return turn
  }

  async #fileKey(): Promise<FileKey> {
    const key = await this.#keyOnce()
    if (!this.#closed) return key
    throw new VestryError('BACKEND_UNAVAILABLE', 'The secret back end was closed')
  }

  #keyOnce(): Promise<FileKey> {
    if (this.#key === undefined) {
      const asked = this.#options.key().then((text) => new FileKey(text))
      asked.catch(() => {
        this.#key = undefined // asked again next time: a keychain may have been locked
      })
      this.#key = asked
    }
    return this.#key
  }
}

function factsOf({ version, createdAtMs, updatedAtMs, description }: Entry): SecretFacts {
  return {
    version,
    createdAtMs,
    updatedAtMs: updatedAtMs ?? undefined,
    description: description ?? undefined,
  }
}

function gone(): VestryError {
  return new VestryError('BACKEND_UNAVAILABLE', 'The secrets file is not there', {
    hint: 'Put it back from a copy, or configure the back end again to begin a new one.',
  })
}
