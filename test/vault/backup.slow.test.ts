import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canonicalJson } from '../../packages/contract/src/canonical.ts'
import { restore } from '../../packages/server/src/app/backup.ts'
import type { Home } from '../../packages/server/src/app/home.ts'
import { openStore } from '../../packages/server/src/store/store.ts'
import { postgresUrl } from '../../packages/server/src/store/test-store.ts'
import { base64, boot, operator, putCredential, putRules, temporaryHome } from '../harness/boot.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'

const PASSPHRASE = 'what opens the backup too'
const SECRET = 'sk-live-7f3a9c-the-value-in-the-backup'
const scout = newAgentKeys('scout')

let source: Home & Disposable
let folder: string
/** The backup every test copies before it touches it. */
let made: string

beforeAll(async () => {
  source = temporaryHome()
  folder = mkdtempSync(join(tmpdir(), 'vestry-backups-'))
  await using daemon = await boot(source, { passphrase: PASSPHRASE })
  const admin = await operator(source)
  await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
  await putCredential(admin, 'a/b', 'an older value')
  await putCredential(admin, 'a/b', SECRET)
  for (let n = 0; n < 600; n += 1) {
    const params = { path: `many/${n % 7}`, value_base64: base64(`${n}`) }
    admin.send({ id: n, method: 'admin.cred.put', params })
  }
  for (let n = 0; n < 600; n += 1) expect((await admin.next())?.error).toBeUndefined()
  await putRules(admin, {
    name: 'all',
    principals: ['agent:scout'],
    resources: ['**'],
    actions: ['list', 'retrieve'],
  })
  await daemon.rotateLog() // so that there is a closed segment too
  const answer = await admin.call('admin.backup', { directory: folder })
  made = answer.directory
  admin.destroy()
})

afterAll(() => {
  source[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})

function copyOfBackup(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'vestry-backup-copy-'))
  cpSync(made, path, { recursive: true })
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

async function restoreInto(home: Home, from: string, url = `sqlite:${home.store}`) {
  const { mkdirSync } = await import('node:fs')
  mkdirSync(home.data, { recursive: true, mode: 0o700 })
  const store = await openStore(url)
  try {
    return await restore(from, home, store)
  } finally {
    await store.close()
  }
}

async function serves(home: Home, storeUrl?: string): Promise<void> {
  cpSync(source.keys, home.keys, { recursive: true })
  await using _daemon = await boot(home, { passphrase: PASSPHRASE, storeUrl })
  const agent = await RawClient.connect({ path: home.vaultSocket })
  await agent.login(scout)
  const { value, version } = await agent.call('retrieve', { path: 'a/b' })
  expect(Buffer.from(value, 'hex').toString()).toBe(SECRET)
  expect(version).toBe(2)
  expect((await agent.call('list')).credentials).toHaveLength(8)
  const admin = await operator(home)
  expect((await admin.call('admin.cred.show', { path: 'many/3' })).versions.length).toBe(86)
  expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
  await putCredential(admin, 'a/b', 'life goes on')
  agent.destroy()
  admin.destroy()
}

test('a backup holds ciphertext only, and is private', () => {
  expect(statSync(made).mode & 0o777).toBe(0o700)
  for (const name of readdirSync(made)) {
    const bytes = readFileSync(join(made, name))
    for (const secret of [SECRET, 'an older value', PASSPHRASE]) {
      for (const form of [secret, Buffer.from(secret).toString('hex'), base64(secret)])
        expect(bytes.includes(form), `${name} holds ${form}`).toBe(false)
    }
    expect(statSync(join(made, name)).mode & 0o077, name).toBe(0)
  }
})

test('an empty home is restored from it, unsealed with the passphrase, and serves', async () => {
  using home = temporaryHome()
  const { rows } = await restoreInto(home, made)
  expect(rows).toBeGreaterThan(70)
  await serves(home)
  // The restored home is an ordinary one from then on.
  await (await boot(home, { passphrase: PASSPHRASE })).stop()
})

test('the same on PostgreSQL', async (context) => {
  const url = await postgresUrl()
  if (url === undefined) return context.skip('PostgreSQL cannot run here')
  using home = temporaryHome()
  await restoreInto(home, made, url)
  await serves(home, url)
})

test('the backup of a busy vault is of one moment', async () => {
  using home = temporaryHome()
  using target = temporaryHome()
  {
    await using _daemon = await boot(home, { passphrase: PASSPHRASE })
    const admin = await operator(home)
    const busy = await operator(home)
    let running = true
    const writing = (async () => {
      for (let n = 0; running; n += 1) await putCredential(busy, `busy/${n % 5}`, `value ${n}`)
    })()
    for (let n = 0; n < 5; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 30))
      const { directory } = await admin.call('admin.backup', { directory: target.dir })
      using into = temporaryHome()
      await restoreInto(into, directory)
      await (await boot(into, { passphrase: PASSPHRASE })).stop()
    }
    running = false
    await writing
    admin.destroy()
    busy.destroy()
  }
})

describe('a backup that was touched is refused', () => {
  test('any of its files with one byte changed', async () => {
    for (const name of readdirSync(made)) {
      using copy = copyOfBackup()
      const path = join(copy.path, name)
      const bytes = readFileSync(path)
      const at = Math.floor(bytes.length / 2)
      bytes[at] = (bytes[at] as number) ^ 1
      writeFileSync(path, bytes)
      using home = temporaryHome()
      await expect(restoreInto(home, copy.path), name).rejects.toMatchObject({
        code: expect.stringMatching(/^(STORE_CORRUPT|INVALID_PARAMS)$/),
        hint: expect.any(String),
      })
      expect(existsSync(home.audit), name).toBe(false)
    }
  })

  test('one with a file less', async () => {
    for (const name of readdirSync(made)) {
      using copy = copyOfBackup()
      rmSync(join(copy.path, name))
      using home = temporaryHome()
      await expect(restoreInto(home, copy.path), name).rejects.toMatchObject({
        code: name === 'manifest.json' ? 'INVALID_PARAMS' : 'STORE_CORRUPT',
      })
    }
  })

  test('one that somebody else has signed, at the latest when the vault is opened', async () => {
    using copy = copyOfBackup()
    // A row less, and a manifest that is right in itself.
    const rows = readFileSync(join(copy.path, 'store.jsonl'), 'utf8').split('\n')
    const store = rows.filter((row) => !row.includes('"vault:all"')).join('\n')
    resign(copy.path, store)
    using home = temporaryHome()
    await restoreInto(home, copy.path)
    await expect(boot(home, { passphrase: PASSPHRASE })).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      message: expect.stringContaining('signed'),
    })
    // And again: the refusal is not spent by one try.
    await expect(boot(home, { passphrase: PASSPHRASE })).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
    })
  })

  test('one whose manifest names files outside of it', async () => {
    using copy = copyOfBackup()
    resign(copy.path, undefined, { '../../outside.jsonl': createHash('sha256').digest('hex') })
    using home = temporaryHome()
    await expect(restoreInto(home, copy.path)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })
})

test('a home that holds something is left as it is', async () => {
  using home = temporaryHome()
  await (await boot(home)).stop()
  const before = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
  await expect(restoreInto(home, made)).rejects.toMatchObject({ code: 'CONFLICT' })
  expect(readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')).toBe(before)
  await (await boot(home)).stop()
})

test('a directory that cannot be written, or is relative, is refused', async () => {
  using home = temporaryHome()
  await using _daemon = await boot(home)
  const admin = await operator(home)
  appendFileSync(join(home.dir, 'file'), '')
  for (const directory of [join(home.dir, 'file', 'x'), 'relative/dir']) {
    await expect(admin.call('admin.backup', { directory })).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    })
  }
  admin.destroy()
})

/** As an attacker would: own key, own signature, everything consistent. */
function resign(dir: string, store: string | undefined, more: Record<string, string> = {}): void {
  const { signature: _, ...manifest } = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8'))
  if (store !== undefined) {
    writeFileSync(join(dir, 'store.jsonl'), store)
    manifest.files['store.jsonl'] = createHash('sha256').update(store).digest('hex')
  }
  Object.assign(manifest.files, more)
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  manifest.server_public_key = spki.subarray(-32).toString('hex')
  const signature = sign(null, Buffer.from(canonicalJson(manifest)), privateKey).toString('base64')
  writeFileSync(join(dir, 'manifest.json'), JSON.stringify({ ...manifest, signature }))
}
