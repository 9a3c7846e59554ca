/**
 * Skill directories: many files under one signature. Each file has a digest of its path and content, and what is
 * signed are these digests in the order of the paths (runtime contract §7.9). Pure.
 */
import { createHash } from 'node:crypto'
import { isTokenObject, type TokenJson } from '../../json/raw-number.ts'

/** Relative path with `/` → `sha256:` and 64 hex digits. */
export type SkillManifest = ReadonlyMap<string, string>

/** Holds the signature, so it is not signed itself. */
export const SKILL_SIGNATURE_FILE = '.schemapin.sig'
export const MAX_SKILL_FILES = 10_000

const DIGEST = /^sha256:[0-9a-f]{64}$/

export function fileDigest(path: string, content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(path, 'utf8').update(content).digest('hex')}`
}

/** @returns undefined for what is no manifest. */
export function readManifest(value: TokenJson): SkillManifest | undefined {
  if (!isTokenObject(value)) return undefined
  const entries = Object.entries(value)
  const ok = entries.every(([path, digest]) => path !== '' && DIGEST.test(String(digest)))
  if (!ok || entries.length === 0 || entries.length > MAX_SKILL_FILES) return undefined
  return new Map(entries.map(([path, digest]) => [path, String(digest)]))
}

/** The SHA-256 of this text is the digest of the skill. */
export function skillText(manifest: SkillManifest): string {
  return [...manifest]
    .map(([path, digest]) => ({ bytes: Buffer.from(path), hex: digest.slice('sha256:'.length) }))
    .sort((one, other) => Buffer.compare(one.bytes, other.bytes))
    .map(({ hex }) => hex)
    .join('')
}
