import { fork, spawnSync } from 'node:child_process'
import { createDecipheriv, scryptSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { Secret } from '../../packages/server/src/seal/secret.ts'
import { FileKey } from '../../packages/server/src/secrets/file/container.ts'
import { FileBackend } from '../../packages/server/src/secrets/file/file-backend.ts'
import { signal } from '../../packages/server/src/secrets/testing/conformance.test-kit.ts'
import { KvServer } from '../../packages/server/src/secrets/testing/kv-server.test-kit.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { RuntimeNode } from './node.ts'

const SECRETS = join(import.meta.dirname, '../../packages/server/src/secrets')
const KEY = Buffer.alloc(32, 5).toString('base64')
const ROUNDS = 25

test('runtime §20.14: where there is no Argon2 a file is made with scrypt, as another program reads it, and read again', async () => {
  using key = new FileKey(Secret.copy(Buffer.from('passphrase')), false)
  const file = await key.seal(Buffer.from('{"version":1,"agents":{}}'))
  const { kdf, salt, nonce, ciphertext } = JSON.parse(file.toString()) as Record<string, string>
  expect(kdf).toBe('scrypt-N131072-r8-p1')
  const bytes = (text = '') => Buffer.from(text, 'base64')
  const options = { N: 131_072, r: 8, p: 1, maxmem: 2 ** 28 }
  const derived = scryptSync('passphrase', bytes(salt), 32, options)
  const decipher = createDecipheriv('aes-256-gcm', derived, bytes(nonce))
  decipher.setAuthTag(bytes(ciphertext).subarray(-16))
  const plain = decipher.update(bytes(ciphertext).subarray(0, -16))
  expect(plain.toString() + decipher.final('utf8')).toBe('{"version":1,"agents":{}}')
  using other = new FileKey(Secret.copy(Buffer.from('passphrase')))
  using opened = await other.open(file)
  expect(opened.length).toBe(plain.length)
})

test('runtime §20.15: killed while it writes, a file holds the old content or the new, and all that was acknowledged', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'killed-'))
  const path = join(directory, 'secrets.enc')
  const open = () =>
    new FileBackend({
      path,
      key: async () => Secret.copy(Buffer.from(KEY)),
      backups: 1,
      importAgent: undefined,
      now: Date.now,
    })
  let next = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const child = fork(join(SECRETS, 'test-file-writer.ts'), [path, KEY, String(next)], {
      execArgv: ['--conditions=source'],
    })
    const acknowledged = new Map<string, number>()
    let last = next - 1
    child.on('message', (at: number | 'ready') => {
      if (at === 'ready') return
      acknowledged.set(`n${at % 20}`, at)
      last = at
    })
    await once(child, 'message')
    await sleep(20 + ((round * 37) % 160))
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
    const backend = open()
    for (const [name, at] of acknowledged) {
      const found = await backend.get({ agent: 'scout', name }, signal)
      using value = found?.value
      const number = Number(
        Buffer.from(value?.bytes ?? [])
          .toString()
          .split(' ')[1],
      )
      // The write after the last acknowledged one may have come through as well.
      expect([at, last + 1]).toContain(number)
    }
    next = last + 2
    await backend.close()
  }
  expect(next).toBeGreaterThan(ROUNDS)
  const backend = open()
  await backend.probe(signal, { create: true })
  await backend.close()
  expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([])
  rmSync(directory, { recursive: true })
})

test('runtime §20.15: a daemon killed while it moves secrets comes up with the old back end, and a second move finishes', async () => {
  const home = mkdtempSync(join(tmpdir(), 'moved-'))
  writeFileSync(
    join(home, 'vestry.yaml'),
    stringify({ egress: { allow_cidrs: ['127.0.0.1/32'] } }),
    {
      mode: 0o600,
    },
  )
  await using kv = await KvServer.start()
  const config = {
    backend_type: 'vault',
    vault_config: { url: kv.url, auth_method: 'token', token: kv.rootToken },
  }
  const start = async () => {
    const process_ = await DaemonProcess.start(home)
    return { process_, node: new RuntimeNode(process_.ready) }
  }
  let { process_, node } = await start()
  const COUNT = 12
  for (let at = 0; at < COUNT; at += 1) {
    const body = { agent_id: 'scout', secret_name: `n${at}`, secret_value: `value ${at}` }
    expect((await node.ask('POST', 'secrets', { body })).status).toBe(201)
  }
  for (const copiesBefore of [1, 5, 11]) {
    const { promise, resolve } = Promise.withResolvers<void>()
    const watching = setInterval(() => {
      if (kv.paths().length >= copiesBefore) kv.stall ??= promise
    }, 1)
    const moving = node
      .ask('POST', 'secrets/config?migrate=true', { body: config })
      .catch(() => undefined)
    await expect.poll(() => kv.stall !== undefined, { timeout: 10_000 }).toBe(true)
    clearInterval(watching)
    await process_.kill()
    resolve()
    kv.stall = undefined
    await moving
    ;({ process_, node } = await start())
    expect((await node.ask('GET', 'secrets/config')).json.backend_type).toBe('vestry')
    expect((await node.ask('GET', 'secrets/config/migration')).json).toEqual({
      status: 'interrupted',
    })
    expect((await node.ask('GET', 'secrets/scout')).json.secrets).toHaveLength(COUNT)
    expect((await node.ask('GET', 'secrets/scout/n3')).json.value).toBe('value 3')
  }
  const body = { agent_id: 'scout', secret_name: 'n3', secret_value: 'newer' }
  expect((await node.ask('POST', 'secrets', { body })).status).toBe(200)
  const done = await node.ask('POST', 'secrets/config?migrate=true', { body: config })
  expect(done.json).toMatchObject({
    backend_type: 'vault',
    migration: { status: 'done', copied: COUNT },
  })
  expect((await node.ask('GET', 'secrets/scout/n3')).json.value).toBe('newer')
  await process_.stop()
  rmSync(home, { recursive: true })
})

const inSession = (command: string) => {
  const ran = spawnSync('dbus-run-session', ['--', 'sh', '-c', command], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return JSON.parse(ran.stdout.trim().split('\n').at(-1) ?? '')
}
const has = (program: string) => spawnSync('which', [program]).status === 0
const ROUND = `"${process.execPath}" --conditions=source "${join(SECRETS, 'test-keychain-round.ts')}"`

test.skipIf(!has('dbus-run-session'))(
  'vault §28.56: a session without a keychain service is told so',
  () => {
    expect(inSession(ROUND)).toEqual(['BACKEND_UNAVAILABLE'])
  },
)

test.skipIf(!has('dbus-run-session') || !has('gnome-keyring-daemon'))(
  'vault §28.56, runtime §20.14: round trip through the keychain of a session (needs gnome-keyring-daemon)',
  () => {
    const home = mkdtempSync(join(tmpdir(), 'keyring-'))
    const unlocked = `export HOME="${home}"; printf pass | gnome-keyring-daemon --unlock --components=secrets >/dev/null; ${ROUND}`
    expect(inSession(unlocked)).toEqual([
      [1, 'one'],
      [2, 'käse 🧀'],
      ['db/password'],
      ['scout'],
      true,
      [],
    ])
    rmSync(home, { recursive: true })
  },
)
