import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { type Home, homeAt } from '../../packages/server/src/app/home.ts'
import { TokenDesk } from '../../packages/server/src/gateway/token-desk.ts'
import { base64, boot, operator, putCredential, putRules, temporaryHome } from '../harness/boot.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { encode, RawClient } from '../harness/raw-client.ts'

const PASSPHRASE = 'correct horse battery staple'

function ready(home: Home): Record<string, unknown> | undefined {
  return existsSync(home.ready) ? JSON.parse(readFileSync(home.ready, 'utf8')) : undefined
}

function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8)
}

function connect(home: Home, admin = false): Promise<RawClient> {
  return RawClient.connect({ path: admin ? home.adminSocket : home.vaultSocket })
}

const refusedWith = (code: string) => expect.objectContaining({ code })

test('ready.json says what is open, and is gone once the daemon has stopped', async () => {
  using home = temporaryHome()
  const daemon = await boot(home)
  const said = ready(home)
  expect(said).toMatchObject({
    pid: process.pid,
    http: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    vault_socket: home.vaultSocket,
    admin_socket: home.adminSocket,
    admin_key_file: home.adminKey,
  })
  expect(said).not.toHaveProperty('sealed')
  const { status, version } = (await (await fetch(`${said?.['http']}/health`)).json()) as {
    status: string
    version: string
  }
  expect({ status, version }).toEqual({ status: 'healthy', version: said?.['version'] })
  await Promise.all([daemon.stop(), daemon.stop()])
  expect(ready(home)).toBeUndefined()
  expect(existsSync(home.vaultSocket)).toBe(false)
  expect(existsSync(home.adminSocket)).toBe(false)
  await expect(fetch(`${said?.['http']}/health`)).rejects.toThrow()
})

test('vault §28.44: files and sockets are private under any umask', async () => {
  using home = temporaryHome()
  const before = process.umask(0)
  try {
    await using _daemon = await boot(home)
    const admin = await operator(home)
    await putCredential(admin, 'a/b', 'value')
    for (const dir of [home.dir, home.data, home.keys, home.run, home.audit])
      expect(mode(dir), dir).toBe('700')
    const files = [home.store, `${home.store}-wal`, home.ready, home.operatorKey, home.adminKey]
    files.push(home.devKeyFile, join(home.audit, 'audit.jsonl'), home.vaultSocket, home.adminSocket)
    for (const file of files) expect(mode(file), file).toBe('600')
    admin.destroy()
  } finally {
    process.umask(before)
  }
})

test('vault §28.44: a second daemon on the same home is refused, and the first does not notice', async () => {
  using home = temporaryHome()
  await using _daemon = await boot(home)
  const before = readFileSync(home.ready, 'utf8')
  await expect(boot(home)).rejects.toMatchObject({
    code: 'INSTANCE_RUNNING',
    hint: expect.any(String),
  })
  expect(readFileSync(home.ready, 'utf8')).toBe(before)
  const admin = await operator(home)
  expect(await admin.call('ping')).toEqual({ pong: true })
  admin.destroy()
})

test('vault §28.44: a second home on the same SQLite store is refused', async () => {
  using home = temporaryHome()
  using other = temporaryHome()
  await using _daemon = await boot(home)
  await expect(boot(other, { storeUrl: `sqlite:${home.store}` })).rejects.toMatchObject({
    code: 'INSTANCE_RUNNING',
    message: expect.stringContaining('store'),
  })
  expect(ready(other)).toBeUndefined()
})

test('vault §28.44: sockets and ready.json of a killed daemon are replaced', async () => {
  using home = temporaryHome()
  await (await boot(home)).stop()
  // What kill -9 leaves: socket files nobody answers on, and a ready.json that lies.
  const stale = spawn(process.execPath, [
    '-e',
    `const net = require('node:net'); net.createServer().listen(${JSON.stringify(home.vaultSocket)}, () => process.kill(process.pid, 9))`,
  ])
  await once(stale, 'exit')
  expect(existsSync(home.vaultSocket)).toBe(true)
  writeFileSync(home.ready, JSON.stringify({ pid: 1, http: 'http://127.0.0.1:1' }))
  await using _daemon = await boot(home)
  expect(ready(home)).toMatchObject({ pid: process.pid })
  const client = await connect(home)
  expect(await client.call('status')).toMatchObject({ sealed: false })
  client.destroy()
})

test('something else at the place of the socket is left alone', async () => {
  using home = temporaryHome()
  mkdirSync(home.run, { recursive: true, mode: 0o700 })
  writeFileSync(home.vaultSocket, 'not a socket')
  await expect(boot(home)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  expect(readFileSync(home.vaultSocket, 'utf8')).toBe('not a socket')
})

test('a start that fails half-way leaves nothing open and can be repeated', async () => {
  using home = temporaryHome()
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  writeFileSync(join(home.dir, 'x'), '')
  mkdirSync(home.run, { mode: 0o700 })
  writeFileSync(home.ready, '{"pid":1}') // of a daemon before, killed
  await expect(boot(home, { port })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(String(port)),
    hint: expect.stringContaining('--port'),
  })
  expect(ready(home)).toBeUndefined()
  expect(existsSync(home.vaultSocket)).toBe(false)
  taken.close()
  await using daemon = await boot(home)
  expect(daemon.ready.pid).toBe(process.pid)
})

test('a first start without a way to unseal makes no vault and names init', async () => {
  using home = temporaryHome()
  await expect(boot(home, { dev: false })).rejects.toMatchObject({
    code: 'NOT_INITIALIZED',
    hint: expect.stringContaining('vestry init'),
  })
  expect(ready(home)).toBeUndefined()
  await using _daemon = await boot(home)
})

test('a first start that was cut short is begun anew', async () => {
  using home = temporaryHome()
  await (await boot(home)).stop()
  // As if the process had died between the keyring and the first operator.
  const { DatabaseSync } = await import('node:sqlite')
  using db = new DatabaseSync(home.store)
  db.exec(`delete from api_key; delete from operator; delete from policy;
    delete from meta where key in ('row_state', 'vault_finished_at')`)
  db.close()
  await using _daemon = await boot(home)
  const admin = await operator(home)
  expect(await admin.call('admin.server.show')).toMatchObject({ credentials: 0 })
  admin.destroy()
})

test('keys of another store are not overwritten', async () => {
  using home = temporaryHome()
  mkdirSync(home.keys, { mode: 0o700 })
  writeFileSync(home.operatorKey, 'precious', { mode: 0o600 })
  await expect(boot(home)).rejects.toMatchObject({ code: 'CONFLICT' })
  await expect(boot(home)).rejects.toMatchObject({ code: 'CONFLICT' })
  expect(readFileSync(home.operatorKey, 'utf8')).toBe('precious')
})

test('a sealed start serves health, status and unseal; everything else is VAULT_LOCKED until it is opened', async () => {
  using home = temporaryHome()
  await (await boot(home, { passphrase: PASSPHRASE })).stop()
  const warnings: string[] = []
  await using daemon = await boot(home, { dev: false, warn: (line) => warnings.push(line) })
  expect(warnings.join()).toContain('vestry unseal')
  expect(ready(home)).toMatchObject({ sealed: true })
  const { http } = daemon.ready
  expect(await (await fetch(`${http}/health`)).json()).toMatchObject({ ok: true, sealed: true })
  expect((await fetch(`${http}/ready`)).status).toBe(503)
  expect(await (await fetch(`${http}/metrics`)).text()).toMatch(/^vestry_sealed 1$/m)

  const agent = await connect(home)
  expect(await agent.call('status')).toMatchObject({ sealed: true, initialized: true })
  const locked = refusedWith('VAULT_LOCKED')
  await expect(agent.call('authenticate', { agent_name: 'scout' })).rejects.toEqual(locked)
  await expect(agent.call('retrieve', { path: 'a/b' })).rejects.toEqual(locked)
  const admin = await connect(home, true)
  await expect(admin.call('authenticate', { operator_name: 'owner' })).rejects.toEqual(locked)
  await expect(admin.call('admin.agent.list')).rejects.toEqual(locked)

  await expect(
    admin.call('admin.unseal', { passphrase_base64: base64('wrong') }),
  ).rejects.toMatchObject({ code: 'UNSEAL_FAILED', error: { suggestion: expect.any(String) } })
  expect(await admin.call('admin.unseal', { passphrase_base64: base64(PASSPHRASE) })).toMatchObject(
    { sealed: false, failed_attempts: 1 },
  )
  expect(ready(home)).not.toHaveProperty('sealed')
  const owner = await operator(home)
  expect(await owner.call('admin.server.show')).toMatchObject({ term: { term: 1 } })
  expect((await fetch(`${http}/ready`)).status).toBe(200)
  for (const client of [agent, admin, owner]) client.destroy()
})

test('two operators who unseal at the same time open the vault once', async () => {
  using home = temporaryHome()
  await (await boot(home, { passphrase: PASSPHRASE })).stop()
  await using _daemon = await boot(home, { dev: false })
  const clients = [await connect(home, true), await connect(home, true)]
  const answers = await Promise.all(
    clients.map((client) => client.call('admin.unseal', { passphrase_base64: base64(PASSPHRASE) })),
  )
  expect(answers).toMatchObject([{ sealed: false }, { sealed: false }])
  const log = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
  const opened = log.split('\n').filter((line) => line.includes('the vault is open'))
  expect(opened).toHaveLength(2) // the first start, and this one
  for (const client of clients) client.destroy()
})

test('a wrong passphrase at start is refused and leaves nothing behind', async () => {
  using home = temporaryHome()
  await (await boot(home, { passphrase: PASSPHRASE })).stop()
  await expect(boot(home, { passphrase: 'wrong' })).rejects.toMatchObject({
    code: 'UNSEAL_FAILED',
    hint: expect.any(String),
  })
  expect(ready(home)).toBeUndefined()
  expect(existsSync(home.vaultSocket)).toBe(false)
  await (await boot(home, { passphrase: PASSPHRASE })).stop()
})

test('stopping answers what is in flight, then says good-bye, and releases the home', async () => {
  using home = temporaryHome()
  const daemon = await boot(home)
  const admin = await operator(home)
  const keys = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: keys.publicKeyHex })
  await putCredential(admin, 'a/b', 'value')
  await putRules(admin, {
    name: 'all',
    principals: ['agent:*'],
    resources: ['**'],
    actions: ['list', 'retrieve'],
  })
  const agent = await connect(home)
  await agent.login(keys)
  const calls = 30
  const frame = (id: number) => encode({ id, method: 'retrieve', params: { path: 'a/b' } })
  agent.write(Buffer.concat(Array.from({ length: calls }, (_, id) => frame(id))))
  const first = await agent.next() // so that all of them have arrived
  const stopping = daemon.stop()
  const frames = [first]
  while (frames.length < calls) frames.push(await agent.next())
  expect(new Set(frames.map((reply) => reply?.id)).size).toBe(calls)
  for (const reply of frames) {
    if (reply?.result === undefined)
      expect(['SHUTTING_DOWN', 'VAULT_LOCKED']).toContain(reply?.error?.code)
  }
  expect(await agent.next()).toBeUndefined()
  agent.destroy()
  admin.destroy()
  await stopping
  await (await boot(home)).stop()
})

test('peers that never hang up do not hold a stop for more than 10 seconds', async () => {
  using home = temporaryHome()
  const daemon = await boot(home)
  const stubborn = await RawClient.connect({ path: home.vaultSocket, allowHalfOpen: true })
  await stubborn.call('ping')
  // And a request to HTTP that is never finished.
  const { port, hostname } = new URL(daemon.ready.http)
  const at = { port: Number(port), host: hostname, allowHalfOpen: true }
  const http = await RawClient.connect(at)
  http.write(Buffer.from('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc'))
  const started = performance.now()
  await daemon.stop()
  const took = performance.now() - started
  expect(took).toBeGreaterThan(1_000) // the peer was given its time
  expect(took).toBeLessThan(10_500)
  stubborn.destroy()
  http.destroy()
})

test('an idle vault seals itself when told to; use keeps it open', async () => {
  using home = temporaryHome()
  await using _daemon = await boot(home, { config: { vault: { auto_seal_idle: 1 } } })
  const admin = await operator(home)
  const until = performance.now() + 1_600
  while (performance.now() < until) {
    await admin.call('admin.slot.list')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  // Asking for the state is no use of the vault.
  await expect
    .poll(async () => (await admin.call('status')).sealed, { timeout: 10_000, interval: 50 })
    .toBe(true)
  // Written once the sealing is done, which the state is told of first.
  await expect.poll(() => ready(home), { timeout: 5_000 }).toMatchObject({ sealed: true })
  await expect(admin.call('admin.slot.list')).rejects.toEqual(refusedWith('VAULT_LOCKED'))
  admin.destroy()
})

test('a home others may enter is refused; a home behind a link is fine', async () => {
  using home = temporaryHome()
  chmodSync(home.dir, 0o755)
  await expect(boot(home)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    hint: expect.stringContaining('chmod'),
  })
  chmodSync(home.dir, 0o700)
  const { symlinkSync, rmSync } = await import('node:fs')
  const link = `${home.dir}-link`
  symlinkSync(home.dir, link)
  try {
    await using _daemon = await boot(homeAt(link, {}))
  } finally {
    rmSync(link)
  }
})

test('a socket path that is too long for the kernel is a start error that says so', async () => {
  using home = temporaryHome()
  const deep = join(home.dir, 'd'.repeat(90))
  mkdirSync(deep, { mode: 0o700 })
  await expect(boot(homeAt(deep, {}))).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    hint: expect.stringContaining('--home'),
  })
})

test('stop and seal may be asked for at the same time, and twice', async () => {
  using home = temporaryHome()
  const daemon = await boot(home)
  await Promise.all([daemon.seal('a'), daemon.stop(), daemon.seal('b'), daemon.stop()])
  await (await boot(home)).stop()
})

test('an order to seal that comes while the vault is being unsealed stands', async () => {
  using home = temporaryHome()
  await using daemon = await boot(home, { passphrase: PASSPHRASE })
  await daemon.seal('first')
  const admin = await connect(home, true)
  for (const afterMs of [0, 5, 40]) {
    const unsealing = admin.call('admin.unseal', { passphrase_base64: base64(PASSPHRASE) })
    await sleep(afterMs)
    await daemon.seal('an order')
    await expect(unsealing).rejects.toEqual(refusedWith('VAULT_LOCKED'))
    expect(ready(home)).toMatchObject({ sealed: true })
  }
  admin.destroy()
})

test('a vault sealed and unsealed again while it was opening up is not half open', async () => {
  using home = temporaryHome()
  await using daemon = await boot(home, { passphrase: PASSPHRASE })
  await daemon.seal('first')
  const [one, other] = await Promise.all([connect(home, true), connect(home, true)])
  const unseal = (client: RawClient) =>
    client.call('admin.unseal', { passphrase_base64: base64(PASSPHRASE) }).then(
      () => 'open',
      ({ code }) => code,
    )
  const open = TokenDesk.prototype.open
  const held = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const slow = vi.spyOn(TokenDesk.prototype, 'open').mockImplementationOnce(async function (
    this: TokenDesk,
    ...args
  ) {
    await open.apply(this, args)
    reached.resolve()
    await held.promise
  })
  try {
    const first = unseal(one)
    await reached.promise
    await daemon.seal('an order')
    const second = unseal(other)
    const isSealed = async () => {
      const answer = await fetch(`${daemon.ready.http}/ready`)
      return ((await answer.json()) as { sealed: boolean }).sealed
    }
    await expect.poll(isSealed).toBe(false)
    held.resolve()
    expect([await first, await second]).toEqual(['VAULT_LOCKED', 'VAULT_LOCKED'])
  } finally {
    held.resolve()
    slow.mockRestore()
  }
  expect(ready(home)).toMatchObject({ sealed: true })
  expect(await unseal(one)).toBe('open')
  const { http } = daemon.ready
  const answer = await fetch(`${http}/api/proxy-request`, { method: 'POST', body: '{}' })
  expect(answer.status).not.toBe(503)
  one.destroy()
  other.destroy()
})

test('a log that was asked to rotate goes on in a new segment', async () => {
  using home = temporaryHome()
  await using daemon = await boot(home)
  await daemon.rotateLog()
  const admin = await operator(home)
  expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
  expect(await admin.call('admin.server.show')).toMatchObject({ audit: { available: true } })
  admin.destroy()
})
