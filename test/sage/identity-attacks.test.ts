/** What processes of a run, or others who may write into its directory, try against a real daemon; and what it may cost. */

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

let vestry: TestDaemon
beforeAll(async () => {
  vestry = await startTestDaemon({
    config: { limits: { authenticate: { per_second: 10, burst: 20 } } },
  })
})
afterAll(() => vestry.stop())

let count = 0
async function newRun(body: object = {}) {
  count += 1
  const agent = `suspect-${count}`
  await vestry.addAgent(agent)
  const run = await vestry.admin.call('admin.run.register', { agent, org_id: '1', ...body })
  return { id: String(run.run_id), agent, env: run.env as Record<string, string> }
}
const ask = (socket: string | undefined, path: string) =>
  rawRequest({ path: socket ?? '' }, requestBytes('GET', path, {}))
const codeOf = ({ body }: RawReply) => JSON.parse(body).error.code
const issued = (action: string) =>
  vestry.auditLines().filter((line) => JSON.parse(line).action === action).length

test('a flood costs a run its own answers, and the log next to nothing', async () => {
  const { env } = await newRun()
  const other = await newRun()
  const before = { svid: issued('svid.issue'), trat: issued('trat.issue') }
  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, at) => ask(env['AUTH_SIDECAR_SOCKET'], `/svid?audience=${at}`)),
  )
  const refused = replies.filter(({ status }) => status === 429)
  expect(refused.length).toBeGreaterThan(50)
  expect(replies.length - refused.length).toBe(issued('svid.issue') - before.svid)
  expect(refused.map(({ headers }) => Number(headers['retry-after']) >= 1)).not.toContain(false)
  expect((await ask(other.env['AUTH_SIDECAR_SOCKET'], '/svid?audience=x')).status).toBe(200)
  const trats = await Promise.all(
    Array.from({ length: 100 }, () => ask(env['AUTH_SIDECAR_SOCKET'], '/trat')),
  )
  expect(trats.map(({ status }) => status)).not.toContain(429)
  expect(issued('trat.issue')).toBe(before.trat)
})

test('a run whose directory was turned inside out closes all the same, and the daemon lives', async () => {
  const { id, env } = await newRun()
  const { SPIFFE_JWT_PATH: svid = '', TRAT_FILE: trat = '' } = env
  for (const path of [svid, trat]) {
    rmSync(path)
    mkdirSync(join(path, 'a', 'b'), { recursive: true })
  }
  const { ended, state } = await vestry.admin.call('admin.run.close', { id })
  expect([state, ended]).toMatchObject(['closed', { sessions: 0 }])
  expect([svid, trat].map((path) => existsSync(path))).toEqual([false, false])
  expect(codeOf(await ask(env['AUTH_SIDECAR_SOCKET'], '/trat'))).toBe('run_closed')
})

test('keys are rotated at once although an agent is disabled, and every other run has its new tokens by then', async () => {
  const idle = await newRun()
  const busy = await newRun()
  await vestry.admin.call('admin.agent.disable', { name: idle.agent })
  const read = () => readFileSync(busy.env['SPIFFE_JWT_PATH'] ?? '', 'utf8')
  const before = read()
  const { keys } = await vestry.admin.call('admin.run.rotate_keys', { immediately: true })
  expect(keys).toHaveLength(2)
  expect(read()).not.toBe(before)
})

test('a run is over for its processes even when what it took could not be looked through', async () => {
  const { id, env } = await newRun()
  const db = new DatabaseSync(vestry.home.store)
  db.exec('alter table gateway_token rename to gateway_token_away')
  try {
    await expect(vestry.admin.call('admin.run.close', { id })).rejects.toThrow()
    expect(existsSync(env['TRAT_FILE'] ?? '')).toBe(false)
    expect(codeOf(await ask(env['AUTH_SIDECAR_SOCKET'], '/trat'))).toBe('run_closed')
  } finally {
    db.exec('alter table gateway_token_away rename to gateway_token')
    db.close()
  }
  expect(await vestry.admin.call('admin.run.close', { id })).toMatchObject({ state: 'closed' })
})

test('a link in place of the directory of runs or of a socket leads nothing astray', async () => {
  const id = 'run_planted'
  const place = join(vestry.home.sidecars, `${sha256(id).slice(0, 8)}.sock`)
  const victim = join(vestry.home.dir, 'victim')
  writeFileSync(victim, 'untouched')
  symlinkSync(victim, place)
  const { env } = await newRun({ run_id: id })
  expect(env['AUTH_SIDECAR_SOCKET']).toBe(place)
  expect((await ask(place, '/trat')).status).toBe(200)
  expect(readFileSync(victim, 'utf8')).toBe('untouched')
})

test('somebody who listens in the place of a socket is put aside', async () => {
  const id = 'run_squatted'
  const place = join(vestry.home.sidecars, `${sha256(id).slice(0, 8)}.sock`)
  mkdirSync(dirname(place), { recursive: true })
  const squatter = createServer((socket) => socket.end('mine'))
  await new Promise<void>((resolve) => squatter.listen(place, resolve))
  try {
    const { env } = await newRun({ run_id: id })
    expect((await ask(env['AUTH_SIDECAR_SOCKET'], '/trat')).body).toMatch(/^eyJ/)
  } finally {
    squatter.close()
  }
})

test.each([
  ['a path', 'a/b'],
  ['a way up', '..'],
  ['a hidden name', '.x'],
  ['a line', 'a\nb'],
  ['an empty text', ''],
  ['a mark of direction', 'a\u202eb'],
  ['another alphabet', 'r\u0443n'],
  ['a transaction of its own', 'txn_1'],
  ['too much', 'a'.repeat(129)],
  ['a NUL', 'a\0'],
])('%s is no id of a run', async (_what, run_id) => {
  await expect(newRun({ run_id })).rejects.toThrow(/INVALID_PARAMS/)
})

test.each([
  ['ten thousand models', { allowed_models: { triage: Array(10_000).fill('gpt-4o') } }],
  ['a pattern', { allowed_models: { triage: ['openai:*'] } }],
  ['a category of its own', { allowed_models: { chat: ['gpt-4o'] } }],
  [
    'a model of another provider',
    { allowed_models: { triage: ['gpt-4o'] }, allowed_providers: ['google'] },
  ],
  [
    'tools without end',
    {
      allowed_tools: Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`s${n}`, ['x']])),
    },
  ],
  ['a scope that is none', { scope: 'scan"execute' }],
  ['an end in the past', { expires_at: 1 }],
  ['another trust domain', { spiffe_id: 'spiffe://evil.example/scanner/x' }],
  ['an encoded path', { spiffe_id: 'spiffe://sage-sanctum.local/a%2fb' }],
  ['another alphabet in a path', { spiffe_id: 'spiffe://sage-sanctum.local/\u0430' }],
  ['the run of another path', { spiffe_id: 'spiffe://sage-sanctum.local/scanner/other' }],
])('%s is not registered', async (_what, body) => {
  await expect(newRun(body)).rejects.toThrow(/INVALID_(?:PARAMS|REQUEST)/) // the latter for a frame that is too large
})

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
