/** For tests: a keyring like an unsealed vault's, and the guard made from it. */
import { createPublicKey } from 'node:crypto'
import { disposeEntries, newEntries, OpenKeyring } from '../seal/keyring.ts'
import { exportPublicKey, importSeed } from './ed25519.ts'
import { type RowGuard, rowGuard } from './row-guard.ts'

export function testKeyring(): OpenKeyring {
  const entries = newEntries(0)
  const keyring = new OpenKeyring('6b1f9a7e-0d55-4f0a-9f43-0c8f7a2f1d11', entries)
  disposeEntries(entries)
  return keyring
}

export function testGuard(keyring: OpenKeyring): RowGuard {
  return rowGuard(() => keyring)
}

/** A key pair by number; the same number is the same pair. */
export function testPair(n: number) {
  const seed = new Uint8Array(32).fill(n)
  const privateKey = importSeed(seed)
  const raw = exportPublicKey(createPublicKey(privateKey))
  return { privateKey, raw, hex: Buffer.from(raw).toString('hex') }
}
