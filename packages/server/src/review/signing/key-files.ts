/** Signing keys that somebody brings along: `<key id>.pem` in a directory of the home, readable by its owner alone. */
import type { KeyObject } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { KEY_ID, readPrivateKey } from './signing-key.ts'

const MAX_PEM_BYTES = 16_384
const SUFFIX = '.pem'

/**
 * @param dir Need not exist.
 * @returns By name, in its order.
 * @throws VestryError `CONFIG_INVALID` for a `.pem` file that others may read, that is no P-256 key in PKCS #8, or
 *   whose name is no key id.
 */
export async function readKeyFiles(dir: string): Promise<{ id: string; key: KeyObject }[]> {
  const names = await readdir(dir).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return []
    throw refused(dir, 'cannot be read', 'Check who owns it', cause)
  })
  const found: { id: string; key: KeyObject }[] = []
  for (const name of names.filter((one) => one.endsWith(SUFFIX)).sort()) {
    const id = name.slice(0, -SUFFIX.length)
    const path = join(dir, name)
    if (!KEY_ID.test(id))
      throw refused(path, 'does not name a key', 'Call it <key id>.pem, such as release.pem')
    found.push({ id, key: await readOne(path) })
  }
  return found
}

async function readOne(path: string): Promise<KeyObject> {
  // A pipe that nobody writes to would hold up the start; a link could lead to a file whose mode is not seen here.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW
  await using file = await open(path, flags).catch((cause: unknown) => {
    throw refused(path, 'cannot be read', 'It must be a plain file of the daemon’s user', cause)
  })
  const stat = await file.stat()
  if (!stat.isFile()) throw refused(path, 'is no plain file', 'Put the key itself there')
  if ((stat.mode & 0o077) !== 0)
    throw refused(path, 'may be read by others', `Run "chmod 600 ${path}"`)
  if (stat.size > MAX_PEM_BYTES)
    throw refused(path, 'is too large to be a key', 'Put one PKCS #8 key there')
  const bytes = Buffer.alloc(Number(stat.size))
  try {
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    const key = readPrivateKey(bytes.subarray(0, bytesRead))
    if (key !== undefined) return key
  } finally {
    bytes.fill(0)
  }
  throw refused(
    path,
    'is no P-256 private key in PKCS #8 PEM',
    'Make one with "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"',
  )
}

function refused(path: string, what: string, hint: string, cause?: unknown): VestryError {
  return new VestryError('CONFIG_INVALID', `${path} ${what}`, { hint, cause })
}
