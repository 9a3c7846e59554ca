/**
 * Secrets in the operating system's keychain: service `symbiont`, account `<agent>/<name>`, the value as its text. It
 * keeps one version; what else is known stands in an index entry of each agent.
 */
import { Secret } from '../../seal/secret.ts'
import {
  type PutOptions,
  type SecretBackend,
  type StoredSecret,
  sorted,
  versionConflict,
  type Written,
} from '../backend.ts'
import type { SecretPlace } from '../place.ts'
import { type AgentIndex, readIndex, readOwners, writeIndex, writeOwners } from './agent-index.ts'
import type { Keychain } from './keychain.ts'

/** No agent's name begins with a dot. */
const OWNERS = '.index'
const PROBE = '.probe'

export class KeychainBackend implements SecretBackend {
  readonly type = 'os_keychain'
  readonly identity = 'os_keychain'
  readonly #keychain: Keychain
  readonly #now: () => number
  #writing: Promise<unknown> = Promise.resolve()

  constructor(keychain: Keychain, now: () => number) {
    this.#keychain = keychain
    this.#now = now
  }

  put(place: SecretPlace, value: Secret, options: PutOptions): Promise<Written> {
    const text = Buffer.from(value.bytes).toString('utf8')
    return this.#alone(async () => {
      const { signal, expectedVersion, origin, description } = options
      const index = await this.#index(place.agent, signal)
      const before = await this.#settled(place, index, signal)
      if (expectedVersion !== undefined && expectedVersion !== (before?.version ?? 0))
        throw versionConflict(before?.version ?? 0)
      const nowMs = this.#now()
      const facts = {
        version: before === undefined ? (origin?.version ?? 1) : before.version + 1,
        createdAtMs: before?.createdAtMs ?? origin?.createdAtMs ?? nowMs,
        updatedAtMs: before === undefined ? origin?.updatedAtMs : nowMs,
        description,
      }
      await this.#addOwner(place.agent, signal)
      await this.#saveIndex(place.agent, index.set(place.name, { ...facts, pending: true }), signal)
      await this.#keychain.set(account(place), text, signal)
      await this.#saveIndex(
        place.agent,
        index.set(place.name, { ...facts, pending: false }),
        signal,
      )
      return { ...facts, created: before === undefined }
    })
  }

  async get(
    place: SecretPlace,
    signal: AbortSignal,
    version?: number,
  ): Promise<StoredSecret | undefined> {
    const entry = (await this.#index(place.agent, signal)).get(place.name)
    if (entry === undefined || (version !== undefined && version !== entry.version))
      return undefined
    const text = await this.#keychain.get(account(place), signal)
    if (text === undefined) return undefined
    const { pending: _, ...facts } = entry
    return { ...facts, value: Secret.copy(Buffer.from(text)) }
  }

  async list(agent: string, signal: AbortSignal): Promise<string[]> {
    const index = await this.#index(agent, signal)
    const names: string[] = []
    for (const name of index.keys())
      if ((await this.#settled({ agent, name }, index, signal)) !== undefined) names.push(name)
    return sorted(names)
  }

  delete(place: SecretPlace, signal: AbortSignal): Promise<boolean> {
    return this.#alone(async () => {
      const { agent, name } = place
      const index = await this.#index(agent, signal)
      const entry = await this.#settled(place, index, signal)
      if (entry === undefined) return false
      await this.#saveIndex(agent, index.set(name, { ...entry, pending: true }), signal)
      await this.#keychain.delete(account(place), signal)
      index.delete(name)
      await this.#saveIndex(agent, index, signal)
      return true
    })
  }

  async owners(signal: AbortSignal): Promise<string[]> {
    const owners: string[] = []
    for (const agent of readOwners(await this.#keychain.get(OWNERS, signal)))
      if ((await this.list(agent, signal)).length > 0) owners.push(agent)
    return sorted(owners)
  }

  async probe(
    signal: AbortSignal,
    { create }: { create: boolean },
  ): Promise<Record<string, unknown>> {
    if (create) {
      await this.#keychain.set(PROBE, 'probe', signal)
      await this.#keychain.delete(PROBE, signal)
    }
    readOwners(await this.#keychain.get(OWNERS, signal))
    return { service: 'symbiont' }
  }

  async close(): Promise<void> {
    await this.#writing
  }

  async #index(agent: string, signal: AbortSignal): Promise<AgentIndex> {
    return readIndex(await this.#keychain.get(indexAccount(agent), signal))
  }

  async #saveIndex(agent: string, index: AgentIndex, signal: AbortSignal): Promise<void> {
    if (index.size > 0) await this.#keychain.set(indexAccount(agent), writeIndex(index), signal)
    else await this.#keychain.delete(indexAccount(agent), signal)
  }

  /** The entry of a secret that is there; the value itself says so where a change was cut short. */
  async #settled(place: SecretPlace, index: AgentIndex, signal: AbortSignal) {
    const entry = index.get(place.name)
    if (entry === undefined || !entry.pending) return entry
    return (await this.#keychain.get(account(place), signal)) === undefined ? undefined : entry
  }

  async #addOwner(agent: string, signal: AbortSignal): Promise<void> {
    const owners = readOwners(await this.#keychain.get(OWNERS, signal))
    if (!owners.includes(agent))
      await this.#keychain.set(OWNERS, writeOwners([...owners, agent]), signal)
  }

  /** Indexes are read and written again: one change at a time. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#writing.then(work)
    this.#writing = turn.catch(() => undefined)
    return turn
  }
}

function account({ agent, name }: SecretPlace): string {
  return `${agent}/${name}`
}

function indexAccount(agent: string): string {
  return `${OWNERS}/${agent}`
}
