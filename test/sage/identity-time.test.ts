// First: every daemon of this process then lives at the moved time.

import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseJws } from '../../packages/server/src/identity/runs/jws.ts'
import { advance } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RawClient } from '../harness/raw-client.ts'
import { rawRequest, requestBytes } from './raw-http.ts'

let vestry: TestDaemon
beforeAll(async () => {
  vestry = await startTestDaemon()
})
afterAll(() => vestry.stop())

async function newRun(name: string, body: Record<string, unknown> = {}) {
  const keys = await vestry.addAgent(name)
  const { env } = await vestry.admin.call('admin.run.register', {
    org_id: '1',
    agent: name,
    run_id: `run_${name}`,
    ...body,
  })
  const {
    AUTH_SIDECAR_SOCKET: socket,
    SPIFFE_JWT_PATH: svid,
    TRAT_FILE: trat,
  } = env as Record<'AUTH_SIDECAR_SOCKET' | 'SPIFFE_JWT_PATH' | 'TRAT_FILE', string>
  return {
    keys,
    socket,
    svid,
    trat,
    ask: () => rawRequest({ path: socket }, requestBytes('GET', '/trat', {})),
  }
}

const expOf = (token: string) => Number(parseJws(token)?.payload['exp']) * 1_000

test('sage §21.12: what the sidecar hands out has sixty seconds left, at every moment', async () => {
  const { ask } = await newRun('steady')
  for (let step = 0; step < 30; step += 1) {
    advance(47_000)
    const { body } = await ask()
    expect(expOf(body) - Date.now(), `after ${step} steps`).toBeGreaterThanOrEqual(60_000)
  }
})

test('sage §21.10: token files are replaced at half of their life, and never half written', async () => {
  const { svid, trat } = await newRun('rotating')
  const before = { svid: readFileSync(svid, 'utf8'), trat: readFileSync(trat, 'utf8') }
  const seen = new Set<string>()
  const watch = setInterval(() => {
    for (const file of [svid, trat]) seen.add(readFileSync(file, 'utf8'))
  }, 1)
  advance(150_000)
  await expect.poll(() => readFileSync(trat, 'utf8'), { timeout: 3_000 }).not.toBe(before.trat)
  expect(readFileSync(svid, 'utf8')).toBe(before.svid)
  advance(750_000)
  await expect.poll(() => readFileSync(svid, 'utf8'), { timeout: 3_000 }).not.toBe(before.svid)
  clearInterval(watch)
  for (const text of seen) expect(parseJws(text)).toBeDefined()
  expect(expOf(readFileSync(svid, 'utf8')) - Date.now()).toBeGreaterThan(900_000)
})

test('sage §21.15: a run that expires ends what was taken under it; socket and files go', async () => {
  const expires_at = new Date(Date.now() + 120_000).toISOString()
  const { keys, ask, socket, svid, trat } = await newRun('ending', { expires_at })
  const { body: token } = await ask()
  const client = await RawClient.connect({ path: vestry.home.vaultSocket })
  await client.login(keys, 'agent_name', { txn_token: token })
  await client.call('whoami')
  advance(120_001)
  await expect(client.call('whoami')).rejects.toThrow(/SESSION_EXPIRED/)
  await expect.poll(() => existsSync(socket), { timeout: 3_000 }).toBe(false)
  expect([existsSync(svid), existsSync(trat)]).toEqual([false, false])
  const { runs } = await vestry.admin.call('admin.run.list', { all: true, agent: 'ending' })
  expect(runs).toMatchObject([{ state: 'expired' }])
  client.destroy()
})

test('a closed run’s socket answers until the run would have expired', async () => {
  const expires_at = new Date(Date.now() + 120_000).toISOString()
  const { ask, socket } = await newRun('closed', { expires_at })
  await vestry.admin.call('admin.run.close', { id: 'run_closed' })
  advance(110_000)
  expect((await ask()).status).toBe(403)
  advance(10_001)
  await expect.poll(() => existsSync(socket), { timeout: 3_000 }).toBe(false)
})

test('sage §21.15: keys are rotated under load without a refused token', async () => {
  const { keys, ask } = await newRun('rotated')
  const client = await RawClient.connect({ path: vestry.home.vaultSocket })
  const kids = new Set<unknown>()
  for (let step = 0; step < 30; step += 1) {
    if (step === 5) await vestry.admin.call('admin.run.rotate_keys')
    const { body: token } = await ask()
    kids.add(parseJws(token)?.header['kid'])
    expect(await client.login(keys, 'agent_name', { txn_token: token })).toMatchObject({
      txn: 'run_rotated',
    })
    advance(30_000)
  }
  expect(kids.size).toBe(2)
  client.destroy()
})
