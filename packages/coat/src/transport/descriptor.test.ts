import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Descriptor } from './descriptor.ts'
import { openFile } from './file.ts'

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'coat-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Files are given the lowest free number, until it is the one that was closed. */
function reopen(fd: number, path: string): void {
  for (let tries = 0; tries < 64; tries += 1) {
    const opened = openSync(path, 'w')
    onTestFinished(() => {
      try {
        closeSync(opened)
      } catch {}
    })
    if (opened === fd) return
  }
  throw new Error(`descriptor ${fd} was not free`)
}

test('a number that was closed and is another file by now is not written to', () => {
  const folder = directory()
  const fd = openSync(join(folder, 'events'), 'w')
  const outlet = new Descriptor(() => fd)
  outlet.write(Buffer.from('first\n'))
  expect(outlet.progress()).toBe('idle')
  closeSync(fd)
  reopen(fd, join(folder, 'data'))
  outlet.write(Buffer.from('second\n'))
  expect(outlet.progress()).toBe('broken')
  expect([outlet.reason, outlet.taken]).toEqual(['EBADF', 6])
  expect(readFileSync(join(folder, 'events'), 'utf8')).toBe('first\n')
  expect(readFileSync(join(folder, 'data'), 'utf8')).toBe('')
})

test('nor is it closed by the one that had it before', () => {
  const folder = directory()
  const probe = openSync(join(folder, 'probe'), 'w')
  closeSync(probe)
  const outlet = openFile(join(folder, 'events'))
  // The lowest free number was the probe's, so it is the file's now.
  closeSync(probe)
  reopen(probe, join(folder, 'data'))
  outlet.write(Buffer.from('lost\n'))
  expect(outlet.progress()).toBe('broken')
  outlet.close()
  expect(fstatSync(probe).isFile()).toBe(true)
  expect(readFileSync(join(folder, 'data'), 'utf8')).toBe('')
})
