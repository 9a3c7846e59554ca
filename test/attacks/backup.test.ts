/** Somebody who can touch the folder of a backup, before it is made or before it is restored. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { canonicalJson } from '../../packages/contract/src/canonical.ts'
import { restore } from '../../packages/server/src/app/backup.ts'
import type { Home } from '../../packages/server/src/app/home.ts'
import { openStore } from '../../packages/server/src/store/store.ts'
import { boot, operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { codeOf } from '../harness/refusal.ts'

const PASSPHRASE = 'what opens the backup too'
let folder: string
let made: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vestry-backups-'))
  using source = temporaryHome()
  await using _daemon = await boot(source, { passphrase: PASSPHRASE })
  const admin = await operator(source)
  await putCredential(admin, 'a/b', 'a value')
  made = (await admin.call('admin.backup', { directory: folder })).directory
  admin.destroy()
})
afterEach(() => void vi.useRealTimers())
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function copyOfBackup(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'vestry-backup-copy-'))
  cpSync(made, path, { recursive: true })
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

async function restoreInto(home: Home, from: string): Promise<void> {
  mkdirSync(home.data, { recursive: true, mode: 0o700 })
  const store = await openStore(`sqlite:${home.store}`)
  try {
    await restore(from, home, store)
  } finally {
    await store.close()
  }
}

/** Everything consistent, with a key of the attacker's. */
function resign(dir: string, files: Record<string, string>): void {
  const { signature: _, ...manifest } = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8'))
  Object.assign(manifest.files, files)
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  manifest.server_public_key = spki.subarray(-32).toString('hex')
  const signature = sign(null, Buffer.from(canonicalJson(manifest)), privateKey).toString('base64')
  writeFileSync(join(dir, 'manifest.json'), JSON.stringify({ ...manifest, signature }))
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

test.each([
  '../outside.jsonl',
  '..',
  '.',
  '',
  'sub/file.jsonl',
  '/etc/passwd',
  '..\\outside.jsonl',
  'a\u0000.jsonl',
  'writer.lock',
  'audit.lock',
  '.hidden.jsonl',
  'vestry.db',
])('a manifest that names %j restores nothing', async (name) => {
  using copy = copyOfBackup()
  using home = temporaryHome()
  for (const hash of [sha256('planted'), '']) {
    if (/^[\w.]+$/.test(name) && name !== '.' && name !== '..')
      writeFileSync(join(copy.path, name), 'planted')
    resign(copy.path, { [name]: hash })
    await expect(restoreInto(home, copy.path), hash).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
    })
  }
  expect(existsSync(home.audit) ? readdirSync(home.audit) : []).toEqual([])
})

test('a link in the backup is not followed, wherever it leads', async () => {
  for (const target of ['/dev/zero', '/etc/hostname', '/proc/self/environ']) {
    using copy = copyOfBackup()
    using home = temporaryHome()
    symlinkSync(target, join(copy.path, 'audit-000000000009.jsonl'))
    resign(copy.path, { 'audit-000000000009.jsonl': sha256('') })
    await expect(restoreInto(home, copy.path), target).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
    })
  }
})

test('what is restored is private, whatever became of the backup’s own modes', async () => {
  using copy = copyOfBackup()
  using home = temporaryHome()
  for (const name of readdirSync(copy.path)) chmodSync(join(copy.path, name), 0o644)
  await restoreInto(home, copy.path)
  for (const name of readdirSync(home.audit))
    expect(statSync(join(home.audit, name)).mode & 0o077, name).toBe(0)
})

test('a folder somebody laid out for a backup to come is not written into', async () => {
  using home = temporaryHome()
  using spool = temporaryHome()
  using loot = temporaryHome()
  await using _daemon = await boot(home)
  const admin = await operator(home)
  // The name holds the time: whoever guesses it is there first.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() })
  const guess = `vestry-backup-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  symlinkSync(loot.dir, join(spool.dir, guess))
  expect(await codeOf(admin.call('admin.backup', { directory: spool.dir }))).toBe('INVALID_PARAMS')
  expect(readdirSync(loot.dir)).toEqual([])
  expect(existsSync(loot.dir)).toBe(true)
  admin.destroy()
})
