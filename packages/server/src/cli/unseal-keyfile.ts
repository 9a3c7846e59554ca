/** The key file of an automatic slot: made when it is missing, and never beside the data without a word. */
import { existsSync } from 'node:fs'
import { createKeyFile, isInside } from '../seal/keyfile-load.ts'
import type { CommandIo } from './command-io.ts'

export async function ensureKeyFile(io: CommandIo, path: string): Promise<void> {
  if (isInside(io.home.dir, path)) {
    io.warn(`${path} lies beside the data: it protects nothing against theft of the disk`)
  }
  if (existsSync(path)) return
  using made = await createKeyFile(path)
  io.note(`Made the key file ${path} (${made.length} random bytes). Losing it may lose the vault.`)
}
