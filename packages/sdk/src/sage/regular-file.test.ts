import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readRegularFile } from './regular-file.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sage-'))
})

afterEach(() => rm(directory, { recursive: true, force: true }))

test('a file is read up to its bound, through a link if that is allowed', async () => {
  const file = join(directory, 'file')
  const link = join(directory, 'link')
  await writeFile(file, 'abc')
  await symlink('file', link)
  expect(String(await readRegularFile(file, { maxBytes: 3 }))).toBe('abc')
  expect(String(await readRegularFile(link, { maxBytes: 3 }))).toBe('abc')
  await expect(readRegularFile(file, { maxBytes: 2 })).rejects.toThrow('it is larger than 2 bytes')
  await expect(readRegularFile(link, { maxBytes: 3, followLinks: false })).rejects.toThrow(
    'it is unreadable (ELOOP)',
  )
})

test.skipIf(process.platform !== 'linux')(
  'a file that says it is empty is bounded too',
  async () => {
    expect(
      (await readRegularFile('/proc/self/status', { maxBytes: 65_536 })).length,
    ).toBeGreaterThan(9)
    await expect(readRegularFile('/proc/self/status', { maxBytes: 9 })).rejects.toThrow(
      'it is larger than 9 bytes',
    )
  },
)

test('pipes, devices, directories and what is missing are no files', async () => {
  const pipe = join(directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  for (const path of [pipe, '/dev/zero', directory]) {
    await expect(readRegularFile(path, { maxBytes: 3 })).rejects.toThrow('it is not a file')
  }
  const missing = join(directory, 'missing')
  await expect(readRegularFile(missing, { maxBytes: 3 })).rejects.toThrow('it does not exist')
})
