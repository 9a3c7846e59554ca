/** How far the log was exported, on disk: written whole or not at all, so that no outage and no crash loses the place. */
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as z from 'zod'

const Seq = z.int().min(0)

const Cursor = z.object({
  version: z.literal(1),
  /** Of the log it belongs to. */
  chain: z.string(),
  /** Records up to this one are read, and what came of them is sent, apart from the open spans. */
  read: Seq,
  /** Log records up to this one are sent; ahead of `read` when spans of the same batch were not. */
  logs: Seq,
  /** First records of the spans that have not gone out. */
  open: z.array(Seq).max(16_384),
  /** Spans that went out without an end. */
  incomplete: z.array(z.string().max(512)).max(4_096),
  /** What a receiver refused for good, and which part of the log it came from. */
  refused: z
    .object({ count: z.int().min(0), first: Seq, last: Seq, reason: z.string() })
    .optional(),
})
export type Cursor = z.output<typeof Cursor>

export function cursorAt(chain: string, seq: number): Cursor {
  return { version: 1, chain, read: seq, logs: seq, open: [], incomplete: [] }
}

/** @returns undefined when there is none. @throws ZodError or SyntaxError for a file that is no cursor; what the file system throws. */
export async function readCursor(path: string): Promise<Cursor | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  return Cursor.parse(JSON.parse(text))
}

export async function writeCursor(path: string, cursor: Cursor): Promise<void> {
  const draft = `${path}.new`
  const file = await open(draft, 'w', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(cursor)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
