/**
 * Associated data for every wrap and MAC of the vault: what a ciphertext belongs to, in bytes.
 * `AAD(kind, f1, …) = "SNC1" ‖ lp(kind) ‖ lp(vault id) ‖ lp(f1) …`, lp = 16-bit big-endian length first,
 * so no two field lists share an encoding. @see wire contract §15.4
 */
import { VestryError } from '@vestry/contract/errors'

const MAGIC = 'SNC1'
const MAX_FIELD_BYTES = 0xffff
const MAX_U32 = 0xffff_ffff

/**
 * @param kind What the bytes are used for, e.g. `dek`, `val`, `use`, `slot`.
 * @param vaultId The vault's UUID as text; it keeps records from being copied between vaults.
 * @throws VestryError `INVALID_PARAMS` for a field over 65 535 bytes or a string with an unpaired surrogate.
 */
export function aad(
  kind: string,
  vaultId: string,
  ...fields: readonly (string | Uint8Array)[]
): Uint8Array {
  const parts = [kind, vaultId, ...fields]
  let length = MAGIC.length
  for (const part of parts) length += 2 + fieldLength(part)
  const out = Buffer.alloc(length)
  let at = out.write(MAGIC, 'latin1')
  for (const part of parts) {
    const size = fieldLength(part)
    at = out.writeUInt16BE(size, at)
    if (typeof part === 'string') out.write(part, at, 'utf8')
    else out.set(part, at)
    at += size
  }
  return out
}

/** @param value An integer from 0 to 2^32 − 1, as 4 bytes big-endian. */
export function u32(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > MAX_U32)
    throw new VestryError('INVALID_PARAMS', `${value} does not fit in 32 bits`)
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}

function fieldLength(part: string | Uint8Array): number {
  // UTF-8 writes every unpaired surrogate as U+FFFD: two different names would share one encoding.
  if (typeof part === 'string' && !part.isWellFormed())
    throw new VestryError('INVALID_PARAMS', 'a name holds an unpaired surrogate')
  const length = typeof part === 'string' ? Buffer.byteLength(part) : part.length
  if (length > MAX_FIELD_BYTES)
    throw new VestryError('INVALID_PARAMS', `a field of ${length} bytes is too long to be bound`)
  return length
}
