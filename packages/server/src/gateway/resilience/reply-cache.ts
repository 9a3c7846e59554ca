/**
 * Results of repeatable calls for a short while (gateway contract §12.3). Holds what a tool returned, before any
 * policy cut it: whoever takes from here still filters. Kept as JSON text, so no reader can change it for another.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import type { Json, JsonObject } from '../tools/tool.ts'

export interface ReplyCacheOptions {
  /** Default 1000. */
  readonly maxEntries?: number
  /** All entries together; default 32 MiB. An entry of more than a quarter is not kept. */
  readonly maxBytes?: number
}

interface Entry {
  readonly text: string
  readonly expiresAtMs: number
}

export class ReplyCache {
  /** The one unused for longest comes first. */
  readonly #entries = new Map<string, Entry>()
  readonly #maxEntries: number
  readonly #maxBytes: number
  #bytes = 0

  constructor({ maxEntries = 1_000, maxBytes = 32 * 1024 * 1024 }: ReplyCacheOptions = {}) {
    this.#maxEntries = maxEntries
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Of all that shapes the result. The digest keeps a tool apart from what it was before it was changed. */
  key(digest: string, tool: string, action: string, params: JsonObject): string {
    return hash('sha256', canonicalJson([digest, tool, action, params]), 'base64url')
  }

  /** A copy of its own for each caller. */
  get(key: string, nowMs: number): Json | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    if (nowMs >= entry.expiresAtMs) {
      this.#bytes -= sizeOf(key, entry)
      return undefined
    }
    this.#entries.set(key, entry)
    return JSON.parse(entry.text) as Json // written by `set`
  }

  set(key: string, value: Json, ttlMs: number, nowMs: number): void {
    this.#drop(key)
    const entry = { text: JSON.stringify(value), expiresAtMs: nowMs + ttlMs }
    const size = sizeOf(key, entry)
    if (ttlMs <= 0 || size > this.#maxBytes / 4) return
    this.#entries.set(key, entry)
    this.#bytes += size
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries && this.#bytes <= this.#maxBytes) return
      this.#drop(oldest)
    }
  }

  clear(): void {
    this.#entries.clear()
    this.#bytes = 0
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#bytes -= sizeOf(key, entry)
  }
}

/** Strings take one byte per character, or two once any is beyond Latin-1: the larger is assumed. */
function sizeOf(key: string, { text }: Entry): number {
  return 2 * (key.length + text.length)
}
