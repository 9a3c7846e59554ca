/**
 * Secrets in a HashiCorp Vault or OpenBao, KV version 2, under `agents/<agent>/secrets/<name>`. Its versions and times
 * are the server's own. When the server is away nothing is answered from memory.
 */
import { VestryError } from '@vestry/contract/errors'
import { Secret } from '../../seal/secret.ts'
import {
  type PutOptions,
  type SecretBackend,
  type StoredSecret,
  sorted,
  versionConflict,
  type Written,
} from '../backend.ts'
import { within } from '../deadline.ts'
import { isOwner, isSecretName, type SecretPlace } from '../place.ts'
import { isRecord, VaultClient, type VaultClientDeps, type VaultReply } from './client.ts'
import { mountPath } from './login.ts'
import { type Schedule, VaultSession } from './session.ts'
import type { VaultSettings } from './settings.ts'

export interface VaultBackendDeps extends VaultClientDeps {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly now: () => number
  readonly schedule?: Schedule
}

/** Requests of one operation, all retries together. */
const OPERATION_MS = 20_000
/** Keys of one listing, folders included. */
const MAX_KEYS = 100_000
const MAX_DEPTH = 16

interface Asked {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: Readonly<Record<string, unknown>>
}

export class VaultBackend implements SecretBackend {
  readonly type = 'vault'
  readonly identity: string
  readonly #settings: VaultSettings
  readonly #client: VaultClient
  readonly #session: VaultSession

  constructor(settings: VaultSettings, deps: VaultBackendDeps) {
    this.#settings = settings
    const { url, namespace, mount } = settings
    this.identity = `vault:${JSON.stringify([url, namespace ?? '', mount])}`
    this.#client = new VaultClient(settings, deps)
    this.#session = new VaultSession({ client: this.#client, settings, ...deps }, deps.schedule)
  }

  async put(place: SecretPlace, value: Secret, options: PutOptions): Promise<Written> {
    const { description, expectedVersion } = options
    const signal = within(options.signal, OPERATION_MS)
    const reply = await this.#call(signal, {
      method: 'POST',
      path: this.#path('data', place),
      body: {
        data: {
          value: Buffer.from(value.bytes).toString('utf8'),
          ...(description !== undefined && { description }),
        },
        ...(expectedVersion !== undefined && { options: { cas: expectedVersion } }),
      },
    })
    // The one thing it objects to in what we send.
    if (reply.status === 400 && expectedVersion !== undefined)
      throw versionConflict((await this.#facts(place, signal))?.version ?? 0)
    const written = versionOf(okData(reply))
    const facts = { version: written.version, description }
    if (written.version === 1)
      return { ...facts, createdAtMs: written.atMs, updatedAtMs: undefined, created: true }
    const createdAtMs = (await this.#facts(place, signal))?.createdAtMs ?? written.atMs
    return { ...facts, createdAtMs, updatedAtMs: written.atMs, created: false }
  }

  async get(
    place: SecretPlace,
    asked: AbortSignal,
    version?: number,
  ): Promise<StoredSecret | undefined> {
    const signal = within(asked, OPERATION_MS)
    const query = version === undefined ? '' : `?version=${version}`
    const reply = await this.#call(signal, {
      method: 'GET',
      path: `${this.#path('data', place)}${query}`,
    })
    if (reply.status === 404) return absent(reply)
    const { data, metadata } = okData(reply)
    if (!isRecord(data)) return undefined // deleted, and its metadata left
    const text = data['value'] ?? data['content']
    if (typeof text !== 'string') throw noValue(Object.keys(data))
    const found = versionOf(isRecord(metadata) ? metadata : {})
    const createdAtMs =
      found.version === 1
        ? found.atMs
        : ((await this.#facts(place, signal))?.createdAtMs ?? found.atMs)
    return {
      value: Secret.copy(Buffer.from(text)),
      version: found.version,
      createdAtMs,
      updatedAtMs: found.version === 1 ? undefined : found.atMs,
      description: typeof data['description'] === 'string' ? data['description'] : undefined,
    }
  }

  async list(agent: string, signal: AbortSignal): Promise<string[]> {
    const keys = { left: MAX_KEYS }
    const names = await this.#names(
      `agents/${agent}/secrets`,
      '',
      within(signal, OPERATION_MS),
      keys,
      0,
    )
    return sorted(names.filter(isSecretName))
  }

  async delete(place: SecretPlace, asked: AbortSignal): Promise<boolean> {
    const signal = within(asked, OPERATION_MS)
    if ((await this.#facts(place, signal)) === undefined) return false
    const path = this.#path('metadata', place)
    const reply = await this.#call(signal, { method: 'DELETE', path })
    if (reply.status !== 204 && reply.status !== 200) throw refused(reply)
    return true
  }

  async owners(asked: AbortSignal): Promise<string[]> {
    const signal = within(asked, OPERATION_MS)
    const agents = (await this.#keys('agents', signal))
      .filter((key) => key.endsWith('/'))
      .map((key) => key.slice(0, -1))
      .filter(isOwner)
    const owners: string[] = []
    for (const agent of agents) {
      // Others may keep something else below an agent's folder.
      if ((await this.#keys(`agents/${agent}`, signal)).includes('secrets/')) owners.push(agent)
    }
    return sorted(owners)
  }

  async probe(
    asked: AbortSignal,
    { create }: { create: boolean },
  ): Promise<Record<string, unknown>> {
    const signal = within(asked, OPERATION_MS)
    const { url, mount, namespace, auth } = this.#settings
    // To see whether it is there takes no new login.
    const login = create ? await this.#session.check(signal) : undefined
    if (create) await this.#assertEngine(signal)
    await this.#keys('agents', signal)
    return {
      url,
      mount,
      ...(namespace !== undefined && { namespace }),
      auth_method: auth.method,
      ...(login !== undefined && {
        token_ttl_seconds: login.leaseMs / 1_000,
        token_renewable: login.renewable,
      }),
    }
  }

  async close(): Promise<void> {
    await this.#session.close()
    await this.#client.close()
  }

  #call(signal: AbortSignal, asked: Asked): Promise<VaultReply> {
    return this.#session.with(
      signal,
      (token) => this.#client.request({ ...asked, token, signal }),
      ({ status }) => status === 403,
    )
  }

  /** Of the key as a whole; undefined when there is none, or when we may not ask. */
  async #facts(
    place: SecretPlace,
    signal: AbortSignal,
  ): Promise<{ createdAtMs: number | undefined; version: number } | undefined> {
    const path = this.#path('metadata', place)
    const reply = await this.#call(signal, { method: 'GET', path })
    if (reply.status === 404) return absent(reply)
    if (reply.status === 403) return { createdAtMs: undefined, version: 0 }
    const data = okData(reply)
    const createdAtMs = Date.parse(String(data['created_time']))
    return {
      createdAtMs: Number.isNaN(createdAtMs) ? undefined : createdAtMs,
      version: Number(data['current_version'] ?? 0),
    }
  }

  async #names(
    folder: string,
    prefix: string,
    signal: AbortSignal,
    keys: { left: number },
    depth: number,
  ): Promise<string[]> {
    if (depth === MAX_DEPTH) return []
    const names: string[] = []
    for (const key of await this.#keys(folder, signal)) {
      keys.left -= 1
      if (keys.left < 0)
        throw new VestryError('BACKEND_ERROR', `There are more than ${MAX_KEYS} keys`)
      if (!key.endsWith('/')) names.push(prefix + key)
      else {
        const below = `${folder}/${key.slice(0, -1)}`
        names.push(...(await this.#names(below, prefix + key, signal, keys, depth + 1)))
      }
    }
    return names
  }

  async #keys(folder: string, signal: AbortSignal): Promise<string[]> {
    const path = `${this.#base('metadata')}/${encoded(folder)}?list=true`
    const reply = await this.#call(signal, { method: 'GET', path })
    if (reply.status === 404) return absent(reply) ?? []
    const { keys } = okData(reply)
    return Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : []
  }

  /** A mount of version 1 would take our writes, and keep them under other names. */
  async #assertEngine(signal: AbortSignal): Promise<void> {
    const path = `sys/internal/ui/mounts/${mountPath(this.#settings.mount)}`
    const { status, json } = await this.#call(signal, { method: 'GET', path })
    if (status !== 200 || !isRecord(json['data'])) return // who may not ask finds out by listing
    const { type, options } = json['data']
    const isKv2 = type === 'kv' && isRecord(options) && options['version'] === '2'
    if (isKv2) return
    throw new VestryError(
      'BACKEND_ERROR',
      `"${this.#settings.mount}" is not a KV engine of version 2`,
      { hint: 'Name another mount, or upgrade this one: vault kv enable-versioning.' },
    )
  }

  #base(kind: 'data' | 'metadata'): string {
    return `${mountPath(this.#settings.mount)}/${kind}`
  }

  #path(kind: 'data' | 'metadata', { agent, name }: SecretPlace): string {
    return `${this.#base(kind)}/${encoded(`agents/${agent}/secrets/${name}`)}`
  }
}

function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/** @throws VestryError BACKEND_ERROR for anything but success. */
function okData(reply: VaultReply): Record<string, unknown> {
  const { data } = reply.json
  if (reply.status === 200 && isRecord(data)) return data
  throw refused(reply)
}

/** A missing secret answers without a complaint; a missing engine has one. */
function absent({ json }: VaultReply): undefined {
  const { errors } = json
  if (!Array.isArray(errors) || errors.length === 0) return undefined
  throw new VestryError('BACKEND_ERROR', 'The secret back end has no engine at this mount', {
    hint: 'Check "mount": it names a KV engine of version 2, usually "secret".',
  })
}

function versionOf(metadata: Readonly<Record<string, unknown>>): { version: number; atMs: number } {
  const { version, created_time } = metadata
  const atMs = Date.parse(String(created_time))
  if (typeof version === 'number' && Number.isInteger(version) && !Number.isNaN(atMs))
    return { version, atMs }
  throw new VestryError('BACKEND_ERROR', 'The secret back end answered without a version', {
    hint: 'The mount must be a KV engine of version 2.',
  })
}

/** Names of fields are no secrets; whoever wrote them here wants to know what was found instead. */
function noValue(fields: readonly string[]): VestryError {
  return new VestryError(
    'BACKEND_ERROR',
    `The secret has no field "value", only: ${fields.slice(0, 8).join(', ') || 'none'}`,
    { hint: 'Write it with a field named "value".' },
  )
}

function refused({ status }: VaultReply): VestryError {
  if (status === 403) {
    return new VestryError('BACKEND_ERROR', 'The secret back end does not permit this', {
      hint: 'Its policy must allow our token create, read, update, delete and list below agents/.',
    })
  }
  return new VestryError('BACKEND_ERROR', `The secret back end answered ${status}`)
}
