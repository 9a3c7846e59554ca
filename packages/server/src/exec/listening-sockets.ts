/**
 * Sockets in the file system on which somebody listens: a view that is read-only does not keep an agent from
 * connecting to them.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs'

/** `Num RefCount Protocol Flags Type St Inode Path`; the flag is __SO_ACCEPTCON. */
const LISTENING = /^[0-9a-f]+: \S+ \S+ [0-9A-F]{3}1[0-9A-F]{4} \S+ \S+ +\d+ (\/.*)$/gim

/** @returns Absolute paths without links, each once, of those that are there. */
export function listeningSockets(): string[] {
  const text = readFileSync('/proc/net/unix', 'latin1')
  const found = [...text.matchAll(LISTENING)].flatMap(([, path = '']) => placeOf(path) ?? [])
  return [...new Set(found)]
}

function placeOf(bytes: string): string | undefined {
  try {
    const path = realpathSync(Buffer.from(bytes, 'latin1').toString('utf8'))
    return statSync(path).isSocket() ? path : undefined
  } catch {
    return undefined // seen from another root, or gone
  }
}
