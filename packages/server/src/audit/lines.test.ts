import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Line, linesBackward, linesForward } from './lines.ts'
import { MAX_LINE_BYTES } from './record.ts'

async function readBoth(content: Buffer): Promise<{ forward: Line[]; back: Line[]; rest: number }> {
  using dir = mkdtempDisposableSync(`${tmpdir()}/lines-`)
  const path = join(dir.path, 'f')
  writeFileSync(path, content)
  const handle = await open(path)
  try {
    const forward: Line[] = []
    const batches = linesForward(handle)
    let next = await batches.next()
    for (; !next.done; next = await batches.next()) forward.push(...next.value)
    const back: Line[] = []
    for await (const batch of linesBackward(handle, content.length)) back.push(...batch)
    return { forward, back, rest: next.value }
  } finally {
    await handle.close()
  }
}

test('reading forwards and backwards gives the same lines, and leaves an unfinished one out', async () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll('\n', ' ')),
    fc.integer({ min: 30_000, max: 700_000 }).map((size) => 'é'.repeat(size)),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 12 }),
      fc.constantFrom('', 'x', 'torn'),
      async (lines, tail) => {
        const content = Buffer.from(lines.map((text) => `${text}\n`).join('') + tail)
        const { forward, back, rest } = await readBoth(content)
        expect(forward.map(({ text }) => text)).toEqual(lines)
        expect(back.reverse()).toEqual(forward)
        expect(rest).toBe(content.length - tail.length)
      },
    ),
    { numRuns: 60 },
  )
})

test('bytes that are not UTF-8 and lines longer than any record have no text', async () => {
  const long = Buffer.alloc(MAX_LINE_BYTES + 2_000_000, 0x61)
  const content = Buffer.concat([
    Buffer.from('a\n'),
    Buffer.from([0xc3, 0x28, 10]),
    long,
    Buffer.from('\nb\n'),
  ])
  const { forward, back } = await readBoth(content)
  expect(forward.map(({ text }) => text)).toEqual(['a', undefined, undefined, 'b'])
  expect(forward[2]).toMatchObject({ offset: 5, length: long.length })
  expect(back.reverse()).toEqual(forward)
})
