/**
 * Kills a daemon with SIGKILL while clients write, lease and release, and looks after each restart whether
 * anything it had acknowledged is missing, or anything it should have ended goes on.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect } from 'vitest'
import { operator, putRules, temporaryHome } from './boot.ts'
import { DaemonProcess } from './daemon-process.ts'
import { type AgentKeys, newAgentKeys } from './keys.ts'
import { RawClient } from './raw-client.ts'

const PATHS = 24
const WRITERS = 2
const AGENTS = 2

interface Acknowledged {
  /** Path → newest version that was acknowledged, and its value. */
  readonly written: Map<string, { version: number; value: string }>
  leases: string[]
  writes: number
}

export interface CampaignReport {
  readonly kills: number
  readonly writes: number
  readonly leases: number
  readonly interrupted: number
}

/** @param random Numbers in [0, 1). */
export async function crashCampaign(rounds: number, random: () => number): Promise<CampaignReport> {
  using home = temporaryHome()
  const acknowledged: Acknowledged = { written: new Map(), leases: [], writes: 0 }
  const scouts = Array.from({ length: AGENTS }, (_, n) => newAgentKeys(`scout-${n}`))
  let leases = 0
  for (let round = 0; round <= rounds; round += 1) {
    await using daemon = await DaemonProcess.start(home.dir)
    const admin = await operator(home)
    if (round === 0) await setUp(admin, scouts)
    else await check(home, admin, acknowledged)
    if (round === rounds) {
      admin.destroy()
      await daemon.stop()
      break
    }
    leases += acknowledged.leases.length
    acknowledged.leases = []
    const clients = await Promise.all(scouts.map((keys) => loggedIn(home.vaultSocket, keys)))
    const writers = await Promise.all(Array.from({ length: WRITERS }, () => operator(home)))
    const running = Promise.all([
      ...writers.map((writer, n) => writes(writer, `${round}.${n}`, acknowledged)),
      ...clients.map((client) => leasesOf(client, acknowledged)),
    ])
    await new Promise((resolve) => setTimeout(resolve, random() ** 2 * 250))
    await daemon.kill()
    await running
    for (const client of [admin, ...clients, ...writers]) client.destroy()
  }
  return {
    kills: rounds,
    writes: acknowledged.writes,
    leases: leases + acknowledged.leases.length,
    interrupted: logLines(home.audit).filter((line) => line.includes('"INTERRUPTED"')).length,
  }
}

async function setUp(admin: RawClient, scouts: readonly AgentKeys[]): Promise<void> {
  for (const { name, publicKeyHex } of scouts)
    await admin.call('admin.agent.add', { name, public_key: publicKeyHex })
  await putRules(admin, {
    name: 'all',
    principals: ['agent:*'],
    resources: ['**'],
    actions: ['list', 'retrieve'],
  })
  const value_base64 = Buffer.from('fixed').toString('base64')
  await admin.call('admin.cred.put', { path: 'fixed/one', value_base64 })
}

async function loggedIn(path: string, keys: AgentKeys): Promise<RawClient> {
  const client = await RawClient.connect({ path })
  await client.login(keys)
  return client
}

/** Writes with several requests under way, until the daemon is gone. */
async function writes(writer: RawClient, tag: string, acknowledged: Acknowledged): Promise<void> {
  const pending = new Map<number, { path: string; value: string }>()
  let id = 1_000
  const send = () => {
    const path = `crash/${Math.floor(Math.random() * PATHS)}`
    const value = `value ${tag} ${id}`
    pending.set(id, { path, value })
    const value_base64 = Buffer.from(value).toString('base64')
    writer.send({ id, method: 'admin.cred.put', params: { path, value_base64 } })
    id += 1
  }
  for (let n = 0; n < 8; n += 1) send()
  for (;;) {
    const frame = await writer.next().catch(() => undefined)
    if (frame === undefined) return
    const put = pending.get(Number(frame.id))
    if (put !== undefined && frame.result !== undefined) {
      const { version } = frame.result
      const known = acknowledged.written.get(put.path)
      if (known === undefined || known.version < version)
        acknowledged.written.set(put.path, { version, value: put.value })
      acknowledged.writes += 1
    }
    send()
  }
}

/** Takes leases and gives some of them back, until the daemon is gone. */
async function leasesOf(client: RawClient, acknowledged: Acknowledged): Promise<void> {
  try {
    for (let n = 0; ; n += 1) {
      const { value, lease_id } = await client.call('retrieve', { path: 'fixed/one' })
      expect(Buffer.from(value, 'hex').toString()).toBe('fixed')
      acknowledged.leases.push(lease_id)
      if (n % 3 === 0) await client.call('release_lease', { lease_id })
    }
  } catch (error) {
    if (!client.ended) throw error
  }
}

async function check(
  home: { readonly store: string; readonly audit: string },
  admin: RawClient,
  { written, leases }: Acknowledged,
): Promise<void> {
  // Nothing acknowledged is lost or torn.
  for (const [path, { version, value }] of written) {
    const found = await admin.call('admin.cred.reveal', { path, version })
    expect(Buffer.from(found.value, 'hex').toString(), `${path}#${version}`).toBe(value)
  }
  // No lease lives on, neither in memory nor in the store.
  expect(await admin.call('admin.lease.list')).toMatchObject({ total: 0 })
  {
    using db = new DatabaseSync(home.store, { readOnly: true })
    expect(db.prepare(`select count(*) as n from lease where state = 'live'`).get()).toEqual({
      n: 0,
    })
    expect(db.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' })
  }
  // The log is whole, every lease that was handed out is in it, and no intent is left without an outcome.
  expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
  const lines = logLines(home.audit)
  const log = lines.join('\n')
  for (const lease of leases.slice(-20)) {
    const value_base64 = Buffer.from(lease).toString('base64')
    const { hash } = await admin.call('admin.audit.hash', { value_base64 })
    expect(log, 'a lease without a record').toContain(hash)
  }
  const open = new Set<string>()
  for (const line of lines) {
    const { action, phase, request_id } = JSON.parse(line)
    if (phase === 'intent') open.add(`${action} ${request_id}`)
    if (phase === 'outcome') open.delete(`${action} ${request_id}`)
  }
  // Those of this very check are answered, and so closed, too.
  expect([...open].filter((key) => !key.startsWith('credential.reveal'))).toEqual([])
}

function logLines(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith('.jsonl'))
    .sort((a, b) => Number(a === 'audit.jsonl') - Number(b === 'audit.jsonl') || (a < b ? -1 : 1))
    .flatMap((name) => readFileSync(join(dir, name), 'utf8').trimEnd().split('\n'))
}
