/** A skill directory read from disk: the digests of its files, and the signature that lies beside them. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { fileDigest, MAX_SKILL_FILES, SKILL_SIGNATURE_FILE } from '../review/signing/skill.ts'

const MAX_SIGNATURE_BYTES = 1_048_576
const MAX_FILE_BYTES = 268_435_456

export interface SkillDirectory {
  readonly manifest: Record<string, string>
  /** What the signature file says; empty without one. */
  readonly signed: Readonly<Record<string, unknown>>
}

/** @throws VestryError `NOT_FOUND`, `INVALID_PARAMS` */
export function readSkillDirectory(dir: string): SkillDirectory {
  const manifest: Record<string, string> = Object.create(null)
  let count = 0
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    // A link leads to what is not part of the directory; neither is the signature.
    if (!entry.isFile() || entry.name === SKILL_SIGNATURE_FILE) continue
    count += 1
    if (count > MAX_SKILL_FILES)
      throw new VestryError('INVALID_PARAMS', `${dir} holds more than ${MAX_SKILL_FILES} files`)
    const file = join(entry.parentPath, entry.name)
    if (statSync(file).size > MAX_FILE_BYTES)
      throw new VestryError('INVALID_PARAMS', `${file} is larger than ${MAX_FILE_BYTES} bytes`)
    const path = relative(dir, file).split(sep).join('/')
    manifest[path] = fileDigest(path, readFileSync(file))
  }
  return { manifest, signed: signatureIn(join(dir, SKILL_SIGNATURE_FILE)) }
}

function signatureIn(file: string): Readonly<Record<string, unknown>> {
  let text: string
  try {
    if (statSync(file).size > MAX_SIGNATURE_BYTES)
      throw new VestryError('INVALID_PARAMS', `${file} is too large to be a signature`)
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof VestryError) throw error
    return {}
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // told below
  }
  throw new VestryError('INVALID_PARAMS', `${file} is no signature: it is not a JSON object`)
}
