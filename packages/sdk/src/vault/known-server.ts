/**
 * Remembers which daemon answers at an address: trust on first use, refuse on change. One line per
 * address, `<endpoint> <server id>`; the endpoint `*` stands for every address.
 */
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AuthError } from './errors.ts'
import { vaultHome } from './target.ts'
import { vaultError } from './wire-error.ts'

export const defaultKnownServerPath = (): string => join(vaultHome(), 'known_server')

const LINE = /^(?<endpoint>.+) (?<id>[0-9a-f]{64})$/i

/**
 * @returns True when the id is the remembered one, false when the address is new.
 * @throws AuthError when another daemon was trusted at this address.
 */
export async function isKnownServer(
  file: string,
  endpoint: string,
  serverId: string,
): Promise<boolean> {
  const pinned = await pinnedId(file, endpoint)
  if (pinned === undefined) return false
  if (pinned === serverId) return true
  throw new AuthError(undefined, {
    detail: `The daemon at ${endpoint} is not the one trusted before`,
    suggestion: `If the vault was set up anew on purpose, remove its line from ${file}`,
    context: { expected: pinned, received: serverId },
  })
}

/** Remembers a daemon. Appends one short line, so processes that do this at once do not collide. */
export async function trustServer(file: string, endpoint: string, serverId: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await appendFile(file, `${endpoint} ${serverId}\n`, { mode: 0o600 })
  } catch (cause) {
    throw vaultError('AUTH_FAILED', `The daemon's identity cannot be remembered in ${file}`, {
      suggestion: 'Make the file writable, or connect without pinServer.',
      cause,
    })
  }
}

/** The first line that fits wins: a later one cannot displace what was trusted. */
async function pinnedId(file: string, endpoint: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return ''
    throw vaultError('AUTH_FAILED', `The file of known servers ${file} cannot be read`, { cause })
  })
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const { endpoint: at, id } = LINE.exec(line.trim())?.groups ?? {}
    if (at === undefined || id === undefined) {
      throw vaultError('AUTH_FAILED', `The file of known servers ${file} has a malformed line`, {
        suggestion: 'Each line is an endpoint, a space and 64 hex characters.',
      })
    }
    if (at === endpoint || at === '*') return id.toLowerCase()
  }
  return undefined
}
