import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { bundleIn } from './external-bundle.ts'

function place(): string {
  const dir = mkdtempSync(join(tmpdir(), 'bundle-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return join(dir, 'bundle.json')
}

test('a bundle is read from its file', async () => {
  const file = place()
  writeFileSync(file, '{"keys":[]}')
  expect(await bundleIn(file)).toBe('{"keys":[]}')
})

test('a file that is too large is not read', async () => {
  const file = place()
  writeFileSync(file, '')
  truncateSync(file, 1_048_577)
  await expect(bundleIn(file)).rejects.toMatchObject({ code: 'REQUEST_TOO_LARGE' })
})

test('what is no file keeps nobody waiting', async () => {
  const file = place()
  spawnSync('mkfifo', [file])
  await expect(bundleIn(file)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  mkdirSync(`${file}.d`)
  await expect(bundleIn(`${file}.d`)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})
