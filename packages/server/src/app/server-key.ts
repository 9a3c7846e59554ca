/** The daemon's public key as a file, so that its log can be verified without it. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Home } from './home.ts'

/** @param publicKey Raw Ed25519, 32 bytes. Written as 64 hex digits, only when it is new. */
export function keepServerKey({ serverPublicKey: path }: Home, publicKey: Uint8Array): void {
  const text = `${Buffer.from(publicKey).toString('hex')}\n`
  if (readServerKey(path) === text.trim()) return
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, text, { mode: 0o600 })
  renameSync(draft, path)
}

/** @returns 64 hex digits; undefined when there is no such file. */
export function readServerKey(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim()
    return /^[0-9a-f]{64}$/.test(text) ? text : undefined
  } catch {
    return undefined
  }
}
