/** Mixed load for as long as asked (`BENCH_MINUTES`, default 60): memory stays flat, nothing unanswered. */
import { readFileSync } from 'node:fs'
import { newAgentKeys } from '../test/harness/keys.ts'
import { runLoad } from './load.ts'
import { operator, removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const MINUTES = Number(process.env['BENCH_MINUTES'] ?? 60)

const home = temporaryHome({ vault: { leases_per_agent: 1_000_000, leases_total: 4_000_000 } })
const daemon = await startScript('./daemon-process.ts', [home])
try {
  const admin = await operator(home)
  const agent = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: agent.publicKeyHex })
  await admin.call('admin.cred.put', {
    path: 'bench/key',
    value_base64: Buffer.from('sk-soak-0123456789').toString('base64'),
  })
  const rules = {
    version: 1,
    policies: [
      {
        name: 'soak',
        principals: ['agent:*'],
        resources: ['bench/*'],
        actions: ['list', 'retrieve', 'use:sign'],
        max_ttl: 30,
      },
    ],
  }
  await admin.call('admin.policy.put', {
    files: [{ name: 'rules.json', text: JSON.stringify(rules) }],
  })
  const base = { path: `${home}/run/vault.sock`, agent, warmupSeconds: 0, seconds: 60 }
  const memory: number[] = []
  let requests = 0
  for (let minute = 0; minute < MINUTES; minute += 1) {
    const [retrieved, signed, listed] = await Promise.all([
      runLoad({
        ...base,
        connections: 8,
        method: 'retrieve',
        params: () => ({ path: 'bench/key' }),
        after: ({ lease_id }) => ({ method: 'release_lease', params: { lease_id } }),
      }),
      runLoad({
        ...base,
        connections: 4,
        method: 'use',
        params: (n) => ({ path: 'bench/key', operation: 'sign', params: { data: `payload ${n}` } }),
      }),
      runLoad({ ...base, connections: 2, method: 'list', params: () => ({}) }),
    ])
    requests += 60 * (retrieved.perSecond * 2 + signed.perSecond + listed.perSecond)
    memory.push(rss(daemon.pid ?? 0) / 1024)
  }
  report('soak', {
    question: 'memory under mixed load',
    bar: 'last minute within 1.1× of the tenth',
    minutes: MINUTES,
    requests,
    rss_mb_by_minute: memory,
    growth: (memory.at(-1) ?? 0) / (memory[Math.min(9, memory.length - 1)] ?? 1),
  })
  admin.destroy()
} finally {
  await stop(daemon)
  removeHome(home)
}

function rss(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}
