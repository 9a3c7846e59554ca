/**
 * A restored home remembers whose backup it came from, until the vault is opened for the first time: only
 * then is the server's key known, and only the server itself can have signed its backup.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Home } from './home.ts'

export function rememberRestored(home: Home, serverPublicKeyHex: string): void {
  writeFileSync(pathIn(home), `${serverPublicKeyHex}\n`, { mode: 0o600, flush: true })
}

export function forgetRestored(home: Home): void {
  rmSync(pathIn(home), { force: true })
}

/**
 * @returns Whether this vault was restored and not opened since; `forgetRestored` ends that.
 * @throws VestryError STORE_CORRUPT when another key than the vault's own has signed the backup.
 */
export function checkRestored(home: Home, serverKey: { readonly publicKey: Uint8Array }): boolean {
  let signer: string
  try {
    signer = readFileSync(pathIn(home), 'utf8').trim()
  } catch {
    return false
  }
  if (signer !== Buffer.from(serverKey.publicKey).toString('hex')) {
    throw new VestryError('STORE_CORRUPT', 'the backup was not signed by the server it is of', {
      hint: 'Restore another backup into a new --home',
    })
  }
  return true
}

function pathIn({ data }: Home): string {
  return join(data, 'restored-by')
}
