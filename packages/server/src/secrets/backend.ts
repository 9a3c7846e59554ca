/**
 * What keeps secrets. A back end stores and finds; who may ask, in which order writes happen and what is recorded is
 * decided before it. All of them behave alike, which testing/conformance.test-kit.ts holds them to.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Secret } from '../seal/secret.ts'
import type { SecretPlace } from './place.ts'

/** `vault` is HashiCorp Vault and OpenBao, as the wire has it; `vestry` is our own vault. */
export const BACKEND_TYPES = ['vestry', 'vault', 'encrypted_file', 'os_keychain'] as const
export type BackendType = (typeof BACKEND_TYPES)[number]

export interface SecretFacts {
  /** From 1; each write raises it. */
  readonly version: number
  /** Epoch ms; overwriting keeps it. */
  readonly createdAtMs: number
  /** Of the last overwrite. */
  readonly updatedAtMs: number | undefined
  readonly description: string | undefined
}

export interface StoredSecret extends SecretFacts {
  /** The caller disposes it. */
  readonly value: Secret
}

export interface PutOptions {
  readonly description: string | undefined
  /** Compare-and-set: the version the writer saw; 0: must not exist. */
  readonly expectedVersion?: number | undefined
  /** Facts that a secret brings along from another back end; kept where the back end can. */
  readonly origin?: SecretFacts | undefined
  /** `operator:ada`, `agent:scout`. */
  readonly createdBy: string
  readonly signal: AbortSignal
}

export interface Written extends SecretFacts {
  readonly created: boolean
}

/**
 * Every method may throw VestryError BACKEND_UNAVAILABLE, BACKEND_AUTH_FAILED, BACKEND_ERROR, BACKEND_TIMEOUT, and the
 * reason of its signal. Values go in and come out as UTF-8 text.
 */
export interface SecretBackend {
  readonly type: BackendType
  /** Equal for two back ends that keep the same secrets. No credentials. */
  readonly identity: string
  /** @param value Borrowed. @throws VestryError CONFLICT for another version than the expected one. */
  put(place: SecretPlace, value: Secret, options: PutOptions): Promise<Written>
  /** @param version Absent: the newest. Back ends that keep no older ones have none. */
  get(place: SecretPlace, signal: AbortSignal, version?: number): Promise<StoredSecret | undefined>
  /** Names, sorted. */
  list(agent: string, signal: AbortSignal): Promise<string[]>
  /** For good, all versions. @returns Whether there was one. */
  delete(place: SecretPlace, signal: AbortSignal): Promise<boolean>
  /** Everybody who has a secret, sorted. */
  owners(signal: AbortSignal): Promise<string[]>
  /** Of all secrets, where that is cheaper than listing them. */
  count?(signal: AbortSignal): Promise<number>
  /**
   * Tries the back end for real.
   * @param options.create Makes what is not there yet, such as a file; else its absence is an error.
   * @returns What is known about it, without credentials.
   */
  probe(signal: AbortSignal, options: { create: boolean }): Promise<Record<string, unknown>>
  close(): Promise<void>
}

/** Texts in the order all listings have. */
export function sorted(names: Iterable<string>): string[] {
  return [...names].sort((one, other) => (one < other ? -1 : one > other ? 1 : 0))
}

/** @param version What is there; 0 for nothing. */
export function versionConflict(version: number): VestryError {
  return new VestryError('CONFLICT', `The secret is at version ${version}`, {
    hint: 'Read it again and repeat the change if it still applies',
    context: { version },
  })
}
