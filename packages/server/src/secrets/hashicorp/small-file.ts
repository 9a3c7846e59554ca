/** Files that a configuration names: regular and small. A device or a pipe would never end. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'

const MAX_BYTES = 65_536

/** @throws why it cannot be read. */
export function readSmallFile(path: string, maxBytes: number = MAX_BYTES): Buffer {
  // Not waiting: a pipe without a writer would be waited for.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(file)
    if (!stat.isFile()) throw new VestryError('INVALID_PARAMS', 'is not a regular file')
    if (stat.size > maxBytes) throw new VestryError('INVALID_PARAMS', 'is too large')
    return readFileSync(file)
  } finally {
    closeSync(file)
  }
}
