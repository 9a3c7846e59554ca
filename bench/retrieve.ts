/**
 * `retrieve` with policy, lease and durable audit against a bare JSON echo server with the same
 * framing: 64 connections in lock-step. Bar: ≥ 0.35 of its rate.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newAgentKeys } from '../test/harness/keys.ts'
import { runLoad } from './load.ts'
import { operator, removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const CONNECTIONS = 64
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 4)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)

const home = temporaryHome({ vault: { leases_per_agent: 1_000_000, leases_total: 4_000_000 } })
const daemon = await startScript('./daemon-process.ts', [home])
const echoPath = join(mkdtempSync(join(tmpdir(), 'echo-')), 'echo.sock')
const echo = await startScript('./echo-server.ts', [echoPath])
try {
  const admin = await operator(home)
  const agent = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: agent.publicKeyHex })
  for (let n = 0; n < 100; n += 1) {
    await admin.call('admin.cred.put', {
      path: `bench/key-${n}`,
      value_base64: Buffer.from(`sk-bench-${n}-0123456789`).toString('base64'),
    })
  }
  const rules = {
    version: 1,
    policies: [
      {
        name: 'bench',
        principals: ['agent:scout'],
        resources: ['bench/*'],
        actions: ['retrieve'],
        max_ttl: 900,
      },
    ],
  }
  await admin.call('admin.policy.put', {
    files: [{ name: 'rules.json', text: JSON.stringify(rules) }],
  })
  admin.destroy()

  const params = (n: number) => ({ path: `bench/key-${n % 100}`, ttl: 60 })
  const rounds: { echo: number; retrieve: number; ratio: number; p50: number; p99: number }[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const base = {
      connections: CONNECTIONS,
      seconds: SECONDS,
      warmupSeconds: 1,
      method: 'retrieve',
      params,
    }
    const bare = await runLoad({ ...base, path: echoPath })
    const full = await runLoad({ ...base, path: join(home, 'run/vault.sock'), agent })
    rounds.push({
      echo: bare.perSecond,
      retrieve: full.perSecond,
      ratio: full.perSecond / bare.perSecond,
      p50: full.p50,
      p99: full.p99,
    })
  }
  const single = await runLoad({
    path: join(home, 'run/vault.sock'),
    agent,
    connections: 1,
    seconds: SECONDS,
    warmupSeconds: 1,
    method: 'retrieve',
    params,
  })
  report('retrieve', {
    question: 'retrieve at 64 connections, as a share of a bare echo server',
    bar: 'ratio ≥ 0.35',
    rounds,
    median_ratio: rounds.map(({ ratio }) => ratio).sort((a, b) => a - b)[
      Math.floor(rounds.length / 2)
    ],
    one_connection: single,
  })
} finally {
  await stop(daemon)
  await stop(echo)
  removeHome(home)
}
