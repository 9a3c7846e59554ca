import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { boot, operator, putCredential, putRules, temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient, type RpcFailure } from '../harness/raw-client.ts'

const isRoot = process.getuid?.() === 0

/** A file system of its own, a few MB large. Only root may mount one. */
function smallDisk(dir: string, size: string): Disposable {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', dir])
  return { [Symbol.dispose]: () => void execFileSync('umount', ['-l', dir]) }
}

function canMount(): boolean {
  if (!isRoot || process.platform !== 'linux') return false
  using home = temporaryHome()
  try {
    using _disk = smallDisk(join(home.dir, 'probe'), '1m')
    return true
  } catch {
    return false
  }
}

const mountable = canMount()

/** Takes all the space that is left. @returns The way to give it back. */
function fillUp(dir: string): () => void {
  const path = join(dir, 'ballast')
  const free = () => {
    const { bavail, bsize } = statfsSync(dir)
    return bavail * bsize
  }
  writeFileSync(path, Buffer.alloc(free()))
  expect(free()).toBe(0)
  return () => rmSync(path)
}

async function prepare(home: Home, port: number) {
  const admin = await operator(home)
  const scout = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
  await putCredential(admin, 'a/b', 'sk-the-value', {
    settings: { allowed_hosts: [`127.0.0.1:${port}`] },
  })
  await putRules(admin, {
    name: 'all',
    principals: ['agent:scout'],
    resources: ['**'],
    actions: ['list', 'retrieve', 'use'],
    hosts: [`127.0.0.1:${port}`],
    allow_http: true,
  })
  const client = await RawClient.connect({ path: home.vaultSocket })
  await client.login(scout)
  return { admin, client }
}

/** Counts what reaches it. */
async function upstream(): Promise<{ port: number; hits: () => number } & Disposable> {
  let hits = 0
  const server = createServer((_request, response) => {
    hits += 1
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    hits: () => hits,
    [Symbol.dispose]: () => void server.close(),
  }
}

const CONFIG = { egress: { allow_cidrs: ['127.0.0.1/32'] } }
const unavailable = expect.objectContaining({ code: 'AUDIT_UNAVAILABLE' })

test.skipIf(!mountable)(
  `vault §28.50: a full disk stops service with AUDIT_UNAVAILABLE, nothing goes out, and it recovers by itself${
    mountable ? '' : ' (skipped: needs root, to mount a small file system)'
  }`,
  async () => {
    using home = temporaryHome()
    using _disk = smallDisk(home.audit, '2m')
    using target = await upstream()
    await using daemon = await boot(home, { config: CONFIG })
    const { admin, client } = await prepare(home, target.port)
    const url = `http://127.0.0.1:${target.port}/x`
    const send = () =>
      client.call('use', {
        path: 'a/b',
        operation: 'http_request',
        params: { method: 'POST', url },
      })
    expect(await send()).toMatchObject({ status: 200 })
    expect(target.hits()).toBe(1)

    const free = fillUp(home.audit)
    // The segment's last page may still take a record or two.
    await expect
      .poll(
        () => client.call('retrieve', { path: 'a/b' }).then(String, (e: RpcFailure) => e.code),
        {
          timeout: 10_000,
          interval: 5,
        },
      )
      .toBe('AUDIT_UNAVAILABLE')
    const before = target.hits()
    for (let n = 0; n < 20; n += 1) await expect(send()).rejects.toEqual(unavailable)
    await expect(client.call('retrieve', { path: 'a/b' })).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      error: { suggestion: expect.stringContaining('disk') },
    })
    await expect(putCredential(admin, 'a/c', 'not stored')).rejects.toEqual(unavailable)
    expect(target.hits()).toBe(before)
    expect((await fetch(`${daemon.ready.http}/ready`)).status).toBe(503)
    expect(await (await fetch(`${daemon.ready.http}/ready`)).json()).toMatchObject({
      audit_available: false,
    })
    expect(await (await fetch(`${daemon.ready.http}/metrics`)).text()).toMatch(
      /^vestry_audit_available 0$/m,
    )

    free()
    await expect
      .poll(
        () =>
          client.call('retrieve', { path: 'a/b' }).then(
            () => 'OK',
            (e: RpcFailure) => e.code,
          ),
        {
          timeout: 15_000,
        },
      )
      .toBe('OK')
    expect(await send()).toMatchObject({ status: 200 })
    expect(target.hits()).toBe(before + 1)
    await expect(admin.call('admin.cred.show', { path: 'a/c' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    expect((await fetch(`${daemon.ready.http}/ready`)).status).toBe(200)
    expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
    const log = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
    expect(log).toContain('audit_unavailable')
    client.destroy()
    admin.destroy()
  },
)

test.skipIf(!mountable)(
  `a full disk under the store refuses changes, serves what is there, and recovers by itself${
    mountable ? '' : ' (skipped: needs root, to mount a small file system)'
  }`,
  async () => {
    using home = temporaryHome()
    using _disk = smallDisk(home.data, '4m')
    await using _daemon = await boot(home, { config: CONFIG })
    const { admin, client } = await prepare(home, 1)
    const free = fillUp(home.data)
    let stored = 0
    const put = () =>
      putCredential(admin, `fill/${stored}`, 'x'.repeat(20_000)).then(
        () => {
          stored += 1
          return 'OK'
        },
        (error: RpcFailure) => error.code,
      )
    await expect.poll(put, { timeout: 10_000, interval: 1 }).toBe('STORE_UNAVAILABLE')
    // Reading needs no space.
    const { value } = await client.call('retrieve', { path: 'a/b' })
    expect(Buffer.from(value, 'hex').toString()).toBe('sk-the-value')
    free()
    await expect.poll(put, { timeout: 10_000 }).toBe('OK')
    // What was acknowledged is there, what was refused is not.
    const { credentials } = await admin.call('admin.cred.list', { prefix: 'fill/' })
    expect(credentials).toHaveLength(stored)
    client.destroy()
    admin.destroy()
  },
)

/** Largest file the process may write, as an administrator's limit would have it; undefined lifts it. */
function limitFileSize(pid: number, bytes: number | undefined): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes ?? 'unlimited'}:`])
}

const limitable = process.platform === 'linux' && existsSync('/usr/bin/prlimit')
const unlimited = limitable ? '' : ' (skipped: needs prlimit)'

test.skipIf(!limitable)(
  `vault §28.50: a log that cannot be written stops service, and it recovers by itself${unlimited}`,
  async () => {
    using home = temporaryHome()
    using target = await upstream()
    writeFileSync(home.config, JSON.stringify(CONFIG), { mode: 0o600 })
    await using daemon = await DaemonProcess.start(home.dir)
    const { admin, client } = await prepare(home, target.port)
    const url = `http://127.0.0.1:${target.port}/x`
    const send = () =>
      codeOf(
        client.call('use', {
          path: 'a/b',
          operation: 'http_request',
          params: { method: 'GET', url },
        }),
      )
    expect(await send()).toBe('OK')
    limitFileSize(daemon.ready.pid, statSync(join(home.audit, 'audit.jsonl')).size)
    await expect.poll(send, { timeout: 10_000 }).toBe('AUDIT_UNAVAILABLE')
    const before = target.hits()
    for (let n = 0; n < 5; n += 1) expect(await send()).toBe('AUDIT_UNAVAILABLE')
    expect(target.hits()).toBe(before)
    limitFileSize(daemon.ready.pid, undefined)
    await expect.poll(send, { timeout: 15_000 }).toBe('OK')
    expect(target.hits()).toBe(before + 1)
    expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
    client.destroy()
    admin.destroy()
  },
)

test.skipIf(!limitable)(
  `a vault that cannot record its opening stays sealed, and opens when it can${unlimited}`,
  async () => {
    using home = temporaryHome()
    await using daemon = await DaemonProcess.start(home.dir)
    await daemon.seal()
    const key = readFileSync(home.devKeyFile, 'latin1').trim()
    const keyfile_base64 = Buffer.from(key, 'hex').toString('base64')
    const stranger = await RawClient.connect({ path: home.adminSocket })
    const unseal = () => codeOf(stranger.call('admin.unseal', { keyfile_base64 }))
    limitFileSize(daemon.ready.pid, statSync(join(home.audit, 'audit.jsonl')).size)
    expect(await unseal()).not.toBe('OK')
    expect(await unseal()).toBe('AUDIT_UNAVAILABLE')
    expect(await stranger.call('status')).toMatchObject({ sealed: true })
    expect(JSON.parse(readFileSync(home.ready, 'utf8'))).toMatchObject({ sealed: true })
    limitFileSize(daemon.ready.pid, undefined)
    await expect.poll(unseal, { timeout: 15_000 }).toBe('OK')
    const admin = await operator(home)
    expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
    stranger.destroy()
    admin.destroy()
  },
)

test('a log that cannot be opened at all is a start error that says so', async () => {
  using home = temporaryHome()
  mkdirSync(join(home.audit, 'audit.jsonl'), { recursive: true, mode: 0o700 })
  await expect(boot(home)).rejects.toMatchObject({
    code: 'AUDIT_UNAVAILABLE',
    hint: expect.any(String),
  })
  expect(existsSync(home.ready)).toBe(false)
})

function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'OK',
    (error: RpcFailure) => error.code,
  )
}
