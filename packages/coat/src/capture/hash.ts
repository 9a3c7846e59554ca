/**
 * Mode `hash`: a keyed hash that shows which values are equal and nothing else. Without a key the few
 * possible values of a short secret could all be tried.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { Capture } from '../aot.ts'
import type { Json } from './capturer.ts'

export type HashKey = Uint8Array

/** Least length of a key, in bytes. */
const LEAST_BYTES = 16

/** @returns The key as hex or base64 writes it; a random one where there is none, or it is too short. */
export function hashKey(text?: string): HashKey {
  const given = text?.trim() ?? ''
  if (/^(?:[0-9a-fA-F]{2})+$/.test(given)) {
    const key = Buffer.from(given, 'hex')
    if (key.length >= LEAST_BYTES) return key
  }
  if (/^[A-Za-z0-9+/_-]+={0,2}$/.test(given)) {
    const key = Buffer.from(given, 'base64')
    if (key.length >= LEAST_BYTES) return key
  }
  return randomBytes(32)
}

/** Tells which key it was, so that only hashes of one key are compared. */
export function hashMember(key: HashKey): NonNullable<Capture['hash']> {
  const id = createHash('sha256').update(key).digest('hex').slice(0, 8)
  return { alg: 'hmac-sha256-128', key_id: id }
}

/**
 * @param type Keeps the number 1 and the text `1` apart.
 * @param size Shown behind the hash: length of a text or a list, or number of keys.
 */
export function hashed(key: HashKey, type: string, canonical: string, size?: string): string {
  const digest = createHmac('sha256', key)
    .update(`${type}\0${canonical}`)
    .digest('hex')
    .slice(0, 32)
  return size === undefined ? `h:${digest}` : `h:${digest}:${size}`
}

/** JSON with sorted names: the order in which members were added does not count. */
export function canonicalJson(value: Json): string {
  return JSON.stringify(value, sorted)
}

function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value)
  entries.sort(([one], [other]) => (one < other ? -1 : 1))
  return Object.fromEntries(entries)
}
