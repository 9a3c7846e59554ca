/**
 * The wire contract's own targets (§23): retrieve at 16 connections, full handshakes, a list of 1 000
 * entries, and opening a vault of 100 000 credentials. Absolute numbers of this machine, beside the bar.
 */
import { newAgentKeys, signHex } from '../test/harness/keys.ts'
import { Caller, runLoad } from './load.ts'
import { operator, removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 4)

const config = { vault: { leases_per_agent: 1_000_000, leases_total: 4_000_000 } }
const home = temporaryHome(config)
let daemon = await startScript('./daemon-process.ts', [home])
try {
  const admin = await operator(home)
  const agent = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: agent.publicKeyHex })
  for (let n = 0; n < 1_000; n += 1) {
    admin.send({
      id: 10_000 + n,
      method: 'admin.cred.put',
      params: {
        path: `bench/key-${n}`,
        value_base64: Buffer.from(`sk-bench-${n}-0123456789`).toString('base64'),
        description: `the key of service ${n}`,
        tags: ['bench'],
      },
    })
    if (n % 32 === 31) for (let waited = 0; waited < 32; waited += 1) await admin.next()
  }
  for (let waited = 0; waited < 1_000 % 32; waited += 1) await admin.next()
  const rules = {
    version: 1,
    policies: [
      {
        name: 'bench',
        principals: ['agent:*'],
        resources: ['bench/*'],
        actions: ['list', 'retrieve', 'use:sign'],
        max_ttl: 900,
      },
    ],
  }
  await admin.call('admin.policy.put', {
    files: [{ name: 'rules.json', text: JSON.stringify(rules) }],
  })
  admin.destroy()

  const path = `${home}/run/vault.sock`
  const base = { path, agent, seconds: SECONDS, warmupSeconds: 1 }
  const sixteen = await runLoad({
    ...base,
    connections: 16,
    method: 'retrieve',
    params: (n) => ({ path: `bench/key-${n % 1_000}`, ttl: 60 }),
  })
  const signing = await runLoad({
    ...base,
    connections: 16,
    method: 'use',
    params: (n) => ({ path: `bench/key-${n % 1_000}`, operation: 'sign', params: { data: 'x' } }),
  })
  const listing = await runLoad({ ...base, connections: 1, method: 'list', params: () => ({}) })
  const handshakes = await measureHandshakes(path, agent)
  await stop(daemon)

  const opened: number[] = []
  for (let round = 0; round < 3; round += 1) {
    const before = performance.now()
    daemon = await startScript('./daemon-process.ts', [home])
    opened.push(Math.round(performance.now() - before))
    if (round < 2) await stop(daemon)
  }
  report('targets', {
    question: 'the wire contract’s own targets',
    retrieve_16: { bar: '≥ 15 000/s, p99 ≤ 5 ms', ...sixteen },
    sign_16: signing,
    list_1000: { bar: '≤ 10 ms', p50_ms: listing.p50 / 1000, p99_ms: listing.p99 / 1000 },
    handshakes_16: { bar: '≥ 5 000/s', per_second: handshakes },
    start_with_1000_credentials_ms: opened,
  })
} finally {
  await stop(daemon)
  removeHome(home)
}

/** Logs in again and again on 16 open connections; signing happens in this process, so it is the client's cost too. */
async function measureHandshakes(
  path: string,
  agent: { name: string; seed: Buffer },
): Promise<number> {
  const end = performance.now() + SECONDS * 1000
  let count = 0
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      const caller = await Caller.connect(path)
      while (performance.now() < end) {
        const { session_id, challenge } = await caller.call('authenticate', {
          agent_name: agent.name,
        })
        const signature = signHex(agent.seed, Buffer.from(String(challenge), 'hex'))
        await caller.call('challenge_response', { session_id, signature })
        count += 1
      }
      caller.close()
    }),
  )
  return Math.round(count / SECONDS)
}
