/**
 * What the gateway adds to a tool call: policy, quota, vault credential and durable audit all on, against the same
 * request sent straight to the same upstream. Bar: p50 grows by at most 0.4 ms on one connection; 10 000 agents
 * and 10 000 policies leave it within 1.2×.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Ready } from '../packages/server/src/app/ready.ts'
import { newAgentKeys } from '../test/harness/keys.ts'
import type { RawClient } from '../test/harness/raw-client.ts'
import { type HttpLoad, runHttpLoad } from './http-load.ts'
import type { Measured } from './load.ts'
import { operator, removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 4)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const CREDENTIAL = 'sk-bench-0123456789abcdef'
const MANY = 10_000

const upstream = await startScript('./gateway-upstream.ts', [])
const upstreamOrigin = `http://127.0.0.1:${upstream.line.split(' ')[1] ?? ''}`
const relay = await startScript('./gateway-relay.ts', [upstreamOrigin])
const relayOrigin = `http://127.0.0.1:${relay.line.split(' ')[1] ?? ''}`
const home = temporaryHome({
  http: { port: 0 },
  egress: { allow_cidrs: ['127.0.0.1/32'] },
  gateway: {
    mode: 'live',
    cache_enabled: false,
    // Else 16 callers would measure the queue in front of ten places.
    cb_bulkhead_concurrency: 64,
    tools: {
      bench: {
        description: 'The upstream of this benchmark',
        base_url: upstreamOrigin,
        credential: { path: 'tools/bench' },
        actions: {
          ask: {
            description: 'A small question',
            method: 'POST',
            path: '/ask',
            permission: 'read',
            repeatable: true,
            params: { type: 'object', properties: { q: { type: 'string' } }, required: ['q'] },
          },
        },
      },
    },
  },
})
const daemon = await startScript('./daemon-process.ts', [home])
try {
  const ready = JSON.parse(readFileSync(`${home}/run/ready.json`, 'utf8')) as Ready
  const key = readFileSync(ready.admin_key_file, 'utf8').trim()
  const admin = await operator(home)
  await admin.call('admin.cred.put', {
    path: 'tools/bench',
    value_base64: Buffer.from(CREDENTIAL).toString('base64'),
  })
  await admin.call('admin.policy.put', { files: [policyFile('bench', { role: 'bench' })] })
  const withoutQuota = await newToken(ready, key, 'plain-role')
  await admin.call('admin.policy.put', {
    files: [policyFile('plain', { role: 'plain-role' }, false)],
  })
  const token = await newToken(ready, key, 'bench')

  const direct = { origin: upstreamOrigin, request: directRequest }
  const gateway = { origin: ready.http, request: (n: number) => gatewayRequest(token, n) }
  const relayed = { origin: relayOrigin, request: (n: number) => gatewayRequest(token, n) }
  const plain = { origin: ready.http, request: (n: number) => gatewayRequest(withoutQuota, n) }
  const measure = (
    load: Pick<HttpLoad, 'origin' | 'request'>,
    connections: number,
  ): Promise<Measured> => runHttpLoad({ ...load, connections, seconds: SECONDS, warmupSeconds: 1 })

  const one: object[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const bare = await measure(direct, 1)
    const bareRelay = await measure(relayed, 1)
    const full = await measure(gateway, 1)
    const noQuota = await measure(plain, 1)
    one.push({
      direct: bare,
      relay: bareRelay,
      gateway: full,
      without_quota: noQuota,
      added_p50_ms: (full.p50 - bare.p50) / 1000,
      added_p50_ms_without_quota: (noQuota.p50 - bare.p50) / 1000,
    })
  }
  const bare16 = await measure(direct, 16)
  const relay16 = await measure(relayed, 16)
  const full16 = await measure(gateway, 16)
  const plain16 = await measure(plain, 16)

  const smallest = await measure(gateway, 1)
  await fill(admin, MANY)
  const largest = await measure(gateway, 1)
  admin.destroy()
  report('gateway', {
    question: 'what a tool call costs through the gateway, one connection, as p50',
    bar: 'added p50 ≤ 0.4 ms',
    one_connection: one,
    sixteen_connections: {
      direct: bare16,
      relay: relay16,
      gateway: full16,
      without_quota: plain16,
      share_of_direct: full16.perSecond / bare16.perSecond,
      share_of_relay: full16.perSecond / relay16.perSecond,
    },
    growth: {
      few: smallest,
      ten_thousand_agents_and_policies: largest,
      ratio: largest.p50 / smallest.p50,
      bar: '≤ 1.2',
    },
  })
} finally {
  await stop(daemon)
  await stop(relay)
  await stop(upstream)
  removeHome(home)
}

function directRequest(n: number) {
  return {
    path: '/ask',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${CREDENTIAL}` },
    body: JSON.stringify({ q: `question ${n}` }),
  }
}

function gatewayRequest(token: string, n: number) {
  return {
    path: '/api/proxy-request',
    headers: { 'content-type': 'application/json', 'x-correlation-id': `req_${n}_${randomUUID()}` },
    body: JSON.stringify({
      agent_token: token,
      tool: 'bench',
      action: 'ask',
      params: { q: `question ${n}` },
      intent: 'benchmark',
    }),
  }
}

function policyFile(name: string, owner: { role: string }, quota = true) {
  const spec = {
    scopes: ['bench:ask'],
    intent: 'benchmark',
    guards: { maxRequestSize: 10_000, maxResponseSize: 100_000 },
    ...(quota && { quotas: [{ action: 'bench:ask', limit: 1_000_000_000, window: '24h' }] }),
    responseFilters: { redactFields: ['token'] },
  }
  return { name: `${name}.json`, text: JSON.stringify({ name, ...owner, spec }) }
}

async function newToken({ http }: Ready, key: string, role: string): Promise<string> {
  const made = await post(`${http}/api/create-agent`, key, {
    name: `${role} agent`,
    created_by: 'bench',
    role,
  })
  const { agent_token } = await post(`${http}/api/generate-token`, undefined, {
    agent_id: made['agent_id'],
    tools: ['bench'],
    permissions: ['read'],
    expires_at: new Date(Date.now() + 3_600_000).toISOString(),
  })
  return String(agent_token)
}

async function post(url: string, key: string | undefined, body: object) {
  const reply = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(body),
  })
  if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`)
  return (await reply.json()) as Record<string, unknown>
}

/** Other agents, each with a policy of its own. */
async function fill(admin: RawClient, count: number): Promise<void> {
  for (let start = 0; start < count; start += 100) {
    const names = Array.from({ length: 100 }, (_, index) => `worker-${start + index}`)
    for (const name of names)
      await admin.call('admin.agent.add', { name, public_key: newAgentKeys(name).publicKeyHex })
    if (start % 1_000 !== 0) continue
    const documents = Array.from({ length: 1_000 }, (_, index) => ({
      name: `role ${start + index}`,
      role: `role-${start + index}`,
      spec: { scopes: ['bench:ask', 'serpapi:search'], guards: { maxRequestSize: 5_000 } },
    }))
    await admin.call(
      'admin.policy.put',
      { files: [{ name: 'many.json', text: JSON.stringify(documents) }] },
      300_000,
    )
  }
}
