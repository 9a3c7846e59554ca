/**
 * The lines that findings point at, read from the repository: their text, lengths and fingerprints. A file that
 * cannot be read, is too large, or leads out of the repository through a link has no lines; that is no error.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join, relative, sep } from 'node:path'
import { lineHashes } from './line-hash.ts'

/** What one line of source contributes to a report. */
export interface SourceLine {
  readonly text: string
  /** The column after its last character, in UTF-16 code units. */
  readonly endColumn: number
  readonly hash: string
}

export interface SourceFile {
  /** @param number From 1. */
  line(number: number): SourceLine | undefined
  readonly lineCount: number
}

const LARGEST_FILE_BYTES = 8 * 1024 * 1024

export type SourceFiles = (path: string) => SourceFile | undefined

/** @param root Absolute. Without a repository no file has lines. */
export function sourceFiles(root: string | undefined): SourceFiles {
  const known = new Map<string, SourceFile | undefined>()
  return (path) => {
    if (root === undefined) return undefined
    if (!known.has(path)) known.set(path, open(root, path))
    return known.get(path)
  }
}

/** A repository's path as given, and without links: an agent may know it by either. */
export function rootNames(root: string | undefined): string[] {
  if (root === undefined) return []
  try {
    return [...new Set([root, realpathSync(root)])]
  } catch {
    return [root]
  }
}

function open(root: string, path: string): SourceFile | undefined {
  try {
    const file = realpathSync(join(root, path))
    const inside = relative(realpathSync(root), file)
    if (inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) return undefined
    const facts = statSync(file)
    if (!facts.isFile() || facts.size > LARGEST_FILE_BYTES) return undefined
    return sourceFile(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

export function sourceFile(text: string): SourceFile {
  const lines = text.split(/\r\n|\n|\r/)
  const hashes = lineHashes(text)
  return {
    lineCount: lines.length,
    line(number) {
      const line = lines[number - 1]
      const hash = hashes[number - 1]
      if (line === undefined || hash === undefined) return undefined
      return { text: line, endColumn: line.length + 1, hash }
    },
  }
}
