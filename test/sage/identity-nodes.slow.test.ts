import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { restore } from '../../packages/server/src/app/backup.ts'
import { makeHome } from '../../packages/server/src/app/initialise.ts'
import { openStore } from '../../packages/server/src/store/store.ts'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'
import { siblingHome } from '../gateway/world.ts'
import { boot, operator, temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'
import { rawRequest, requestBytes } from './raw-http.ts'

const MAIN = join(import.meta.dirname, '../../packages/server/src/cli/main.ts')
const ask = (socket: string) => rawRequest({ path: socket }, requestBytes('GET', '/trat', {}))

/** What the client knows; `closing` was asked for and not answered. */
type State = 'open' | 'closing' | 'closed'

const cluster = 'skip' in postgresOffer ? describe.skip : describe

cluster('sage §21.15: two nodes on one PostgreSQL', () => {
  test('share keys and runs; a run closed on one is over on the other within a second', async () => {
    const storeUrl = await postgresUrl()
    using home = temporaryHome()
    await using _first = await boot(home, { storeUrl, passphrase: 'correct horse battery staple' })
    using other = siblingHome(home)
    await using _second = await boot(other, {
      storeUrl,
      passphrase: 'correct horse battery staple',
    })
    const admin = await operator(home)
    const keys = newAgentKeys('scanner')
    await admin.call('admin.agent.add', { name: keys.name, public_key: keys.publicKeyHex })
    const { env, run_id } = await admin.call('admin.run.register', {
      org_id: '1',
      agent: keys.name,
    })
    const { body: token } = await ask(env.AUTH_SIDECAR_SOCKET)
    const client = await RawClient.connect({ path: other.vaultSocket })
    expect(await client.login(keys, 'agent_name', { txn_token: token })).toMatchObject({
      txn: run_id,
    })
    const there = await operator(other, home)
    // The socket is its own node's; what operators ask for is the same on all.
    expect(existsSync(env.AUTH_SIDECAR_SOCKET.replace(home.dir, other.dir))).toBe(false)
    expect((await there.call('admin.run.list')).runs).toMatchObject([{ run_id, state: 'open' }])
    // A process that was started there would find nothing of it.
    expect(await there.call('admin.run.show', { id: run_id })).toMatchObject({ run_id, env: null })
    const words = ['exec', '--run', run_id, '--home', other.dir, '--', 'true']
    const started = spawn(process.execPath, ['--conditions=source', MAIN, ...words])
    const [said, [code]] = await Promise.all([text(started.stderr), once(started, 'close')])
    expect([code, said]).toEqual([2, expect.stringContaining('another node')])
    await there.call('admin.run.close', { id: run_id })
    await expect
      .poll(async () => (await ask(env.AUTH_SIDECAR_SOCKET)).status, {
        timeout: 1_000,
        interval: 20,
      })
      .toBe(403)
    await expect(client.call('whoami')).rejects.toThrow(/SESSION_EXPIRED/)
    for (const each of [admin, there, client]) each.destroy()
  })
})

test('a daemon that is killed forgets no run that it answered for, and no closing', async () => {
  using home = temporaryHome()
  const acknowledged = new Map<string, { state: State; socket: string }>()
  for (let round = 0; round < 2; round += 1) {
    await using daemon = await DaemonProcess.start(home.dir)
    const admin = await operator(home)
    if (round === 0)
      await admin.call('admin.agent.add', {
        name: 'scanner',
        public_key: newAgentKeys('x').publicKeyHex,
      })
    const { runs } = await admin.call('admin.run.list', { all: true, limit: 1_000 })
    const found = new Map(
      runs.map((run: { run_id: string; state: string }) => [run.run_id, run.state]),
    )
    for (const [id, { state, socket }] of acknowledged) {
      // A closing that nobody was answered may have happened or not; the run is then wholly the one or the other.
      const now = found.get(id)
      expect(state === 'closing' ? ['open', 'closed'] : [state], id).toContain(now)
      expect((await ask(socket)).status, id).toBe(now === 'open' ? 200 : 403)
    }
    if (round > 0)
      expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
    const busy = [0, 1, 2].map(async (worker) => {
      const own = await operator(home)
      for (let n = 0; ; n += 1) {
        const run_id = `run_${round}_${worker}_${n}`
        const { env } = await own.call('admin.run.register', {
          org_id: '1',
          agent: 'scanner',
          run_id,
        })
        acknowledged.set(run_id, { state: 'open', socket: env.AUTH_SIDECAR_SOCKET })
        if (n % 2 === 0) continue
        acknowledged.set(run_id, { state: 'closing', socket: env.AUTH_SIDECAR_SOCKET })
        await own.call('admin.run.close', { id: run_id })
        acknowledged.set(run_id, { state: 'closed', socket: env.AUTH_SIDECAR_SOCKET })
      }
    })
    const ended = Promise.allSettled(busy)
    await expect.poll(() => acknowledged.size, { timeout: 5_000 }).toBeGreaterThan(12 * (round + 1))
    await daemon.kill()
    await ended
    admin.destroy()
  }
  const states = new Set([...acknowledged.values()].map(({ state }) => state))
  expect([...states]).toEqual(expect.arrayContaining(['open', 'closed']))
  expect(readFileSync(home.store).includes('PRIVATE KEY')).toBe(false)
})

test('a restored backup brings its runs along closed, and its keys', async () => {
  using home = temporaryHome()
  using into = temporaryHome()
  const folder = mkdtempSync(join(tmpdir(), 'vestry-backups-'))
  const passphrase = 'correct horse battery staple'
  let directory: string
  let jwks: string
  {
    await using daemon = await boot(home, { passphrase })
    const admin = await operator(home)
    const { publicKeyHex } = newAgentKeys('scanner')
    await admin.call('admin.agent.add', { name: 'scanner', public_key: publicKeyHex })
    await admin.call('admin.run.register', { org_id: '1', agent: 'scanner', run_id: 'run_old' })
    directory = (await admin.call('admin.backup', { directory: folder })).directory
    jwks = await (await fetch(`${daemon.ready.http}/.well-known/jwks.json`)).text()
    admin.destroy()
  }
  {
    makeHome(into)
    await using store = await openStore(`sqlite:${into.store}`)
    await restore(directory, into, store)
  }
  for (const _start of ['first', 'second']) {
    await using daemon = await boot(into, { passphrase })
    const admin = await operator(into, home)
    const { runs } = await admin.call('admin.run.list', { all: true })
    expect(runs).toMatchObject([{ run_id: 'run_old', state: 'closed' }])
    expect(await (await fetch(`${daemon.ready.http}/.well-known/jwks.json`)).text()).toBe(jwks)
    admin.destroy()
  }
  rmSync(folder, { recursive: true, force: true })
})
