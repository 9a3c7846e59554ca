/**
 * Does `retrieve` slow down as the vault fills? p50 at 16 connections with 100, 1 000 and 100 000
 * credentials, 1 000 and 10 000 policies, 1 000 and 10 000 agents, and as the log grows with all that. Bar: each within 1.2× of the smallest.
 */

import { newAgentKeys } from '../test/harness/keys.ts'
import type { RawClient } from '../test/harness/raw-client.ts'
import { type Measured, runLoad } from './load.ts'
import { operator, removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 4)
const CREDENTIALS = [100, 1_000, 100_000]
const POLICIES = [1, 1_000, 10_000]
const AGENTS = [1, 1_000, 10_000]
const IN_FLIGHT = 32
let lastId = 1_000_000

const home = temporaryHome({ vault: { leases_per_agent: 1_000_000, leases_total: 4_000_000 } })
const daemon = await startScript('./daemon-process.ts', [home])
try {
  const admin = await operator(home)
  const agent = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: agent.publicKeyHex })
  await addPolicies(admin, 0, 1)

  // Long enough to have used every credential once: a cold one costs two reads of the store more.
  const measure = async (credentials: number): Promise<Measured> =>
    runLoad({
      path: `${home}/run/vault.sock`,
      agent,
      connections: 16,
      seconds: SECONDS,
      warmupSeconds: credentials > 10_000 ? 15 : 2,
      method: 'retrieve',
      params: (n) => ({ path: pathOf((n * 7_919) % credentials), ttl: 60 }),
    })

  const byCredentials: (Measured & { credentials: number })[] = []
  let written = 0
  for (const credentials of CREDENTIALS) {
    await addCredentials(admin, written, credentials)
    written = credentials
    byCredentials.push({ credentials, ...(await measure(credentials)) })
  }
  const byPolicies: (Measured & { policies: number })[] = []
  let rules = 1
  for (const policies of POLICIES) {
    await addPolicies(admin, rules, policies)
    rules = policies
    byPolicies.push({ policies, ...(await measure(1_000)) })
  }
  const byAgents: (Measured & { agents: number })[] = []
  let registered = 1
  for (const agents of AGENTS) {
    await addAgents(admin, registered, agents)
    registered = agents
    byAgents.push({ agents, ...(await measure(1_000)) })
  }
  admin.destroy()
  report('scaling', {
    question: 'p50 of retrieve as credentials and policies grow, 16 connections',
    bar: 'p50 within 1.2× of the smallest',
    by_credentials: byCredentials.map((row) => ({
      ...row,
      growth: row.p50 / (byCredentials[0]?.p50 ?? 1),
    })),
    by_policies: byPolicies.map((row) => ({ ...row, growth: row.p50 / (byPolicies[0]?.p50 ?? 1) })),
    by_agents: byAgents.map((row) => ({ ...row, growth: row.p50 / (byAgents[0]?.p50 ?? 1) })),
  })
} finally {
  await stop(daemon)
  removeHome(home)
}

function pathOf(n: number): string {
  return `bench/team-${n % 97}/key-${n}`
}

async function addCredentials(admin: RawClient, from: number, to: number): Promise<void> {
  await many(admin, from, to, 'admin.cred.put', (n) => ({
    path: pathOf(n),
    value_base64: Buffer.from(`sk-bench-${n}-0123456789`).toString('base64'),
  }))
}

async function addAgents(admin: RawClient, from: number, to: number): Promise<void> {
  await many(admin, from, to, 'admin.agent.add', (n) => ({
    name: `agent-${n}`,
    public_key: newAgentKeys(`agent-${n}`).publicKeyHex,
  }))
}

/** Many at once, so that they share commits. */
async function many(
  admin: RawClient,
  from: number,
  to: number,
  method: string,
  params: (n: number) => object,
): Promise<void> {
  let inFlight = 0
  for (let n = from; n < to; n += 1) {
    lastId += 1
    admin.send({ id: lastId, method, params: params(n) })
    inFlight += 1
    if (inFlight < IN_FLIGHT) continue
    assertOk(await admin.next(60_000))
    inFlight -= 1
  }
  for (; inFlight > 0; inFlight -= 1) assertOk(await admin.next(60_000))
}

function assertOk(frame: { error?: unknown } | undefined): void {
  if (frame === undefined || frame.error !== undefined) throw new Error(JSON.stringify(frame))
}

/** Rule 0 is the one that decides; the others are other teams' and other agents'. */
async function addPolicies(admin: RawClient, from: number, to: number): Promise<void> {
  for (let start = from; start < to; start += 500) {
    const policies = Array.from({ length: Math.min(500, to - start) }, (_, index) =>
      rule(start + index),
    )
    const text = JSON.stringify({ version: 1, policies })
    await admin.call('admin.policy.put', { files: [{ name: 'rules.json', text }] }, 300_000)
  }
}

function rule(n: number): object {
  if (n === 0) {
    return {
      name: 'bench',
      principals: ['agent:scout'],
      resources: ['bench/**'],
      actions: ['retrieve'],
      max_ttl: 900,
    }
  }
  return {
    name: `team-${n}`,
    principals: [`agent:worker-${n}-*`],
    resources: [`team-${n % 400}/**`],
    actions: ['list', 'retrieve'],
    max_ttl: 300 + (n % 600),
  }
}
