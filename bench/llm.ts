/**
 * What the LLM gateway adds to a model call: tokens of a run verified, policy, credential of the vault, and both audit
 * records on, against the same call made straight to the same upstream, and against `@portkey-ai/gateway`, which has
 * neither policy nor audit. Every call has a connection of its own, unless it says "kept".
 */
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import type { Ready } from '../packages/server/src/app/ready.ts'
import { newAgentKeys } from '../test/harness/keys.ts'
import { type LlmTarget, runLlmLoad, runStreams, streamOften } from './llm-load.ts'
import type { LlmResult, ManyCallers, OneCaller } from './llm-result.ts'
import type { Measured } from './load.ts'
import { PORTKEY, startPortkey } from './portkey.ts'
import { operator, removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'
import { tokenCosts } from './tokens.ts'

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 4)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const STREAMS = 50
const MANY_STREAMS = Number(process.env['BENCH_STREAMS'] ?? 10_000)
const KEY = 'sk-bench-0123456789abcdef'
const CHAT = '/v1/chat/completions'

const upstream = await startScript('./llm-upstream.ts', [])
const upstreamOrigin = `http://127.0.0.1:${upstream.line.split(' ')[1] ?? ''}`
const home = temporaryHome({
  http: { port: 0 },
  egress: { allow_cidrs: ['127.0.0.1/32'] },
  llm: {
    providers: { openai: { base_url: `${upstreamOrigin}/v1` } },
    // Else the callers here, who are one run, would measure the limit of one run.
    in_flight_per_run: 1_024,
  },
})
const daemon = await startScript('./daemon-process.ts', [home])
const portkey = await startPortkey()
try {
  const ready = JSON.parse(readFileSync(`${home}/run/ready.json`, 'utf8')) as Ready
  const admin = await operator(home)
  await admin.call('admin.cred.put', {
    path: 'llm/openai',
    value_base64: Buffer.from(KEY).toString('base64'),
  })
  const { publicKeyHex } = newAgentKeys('scanner')
  await admin.call('admin.agent.add', { name: 'scanner', public_key: publicKeyHex })
  const plain = await registeredRun({})
  const budgeted = await registeredRun({ budget: { tokens: 1_000_000_000_000, usd: 1_000_000 } })

  const direct: LlmTarget = {
    origin: upstreamOrigin,
    path: CHAT,
    headers: { authorization: `Bearer ${KEY}` },
  }
  const overSocket = async (run: Run): Promise<LlmTarget> => ({
    origin: 'http://gateway.local',
    socketPath: join(home, 'run/llm.sock'),
    path: CHAT,
    headers: await run.headers(),
  })
  const overTcp = async (run: Run): Promise<LlmTarget> => ({
    origin: ready.http,
    path: CHAT,
    headers: await run.headers(),
  })
  const rival: LlmTarget | undefined = portkey && {
    origin: portkey.origin,
    path: CHAT,
    headers: {
      authorization: `Bearer ${KEY}`,
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `${upstreamOrigin}/v1`,
    },
  }
  const measure = (target: LlmTarget, callers: number, keepAlive = false): Promise<Measured> =>
    runLlmLoad({ target, callers, keepAlive, seconds: SECONDS })

  const one: OneCaller[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const bare = await measure(direct, 1)
    const kept = await measure(direct, 1, true)
    const socket = await measure(await overSocket(plain), 1)
    const tcp = await measure(await overTcp(plain), 1)
    const held = await measure(await overSocket(budgeted), 1)
    one.push({
      direct: bare,
      direct_kept: kept,
      gateway: socket,
      gateway_over_tcp: tcp,
      gateway_with_budgets: held,
      ...(rival && {
        portkey: await measure(rival, 1),
        portkey_kept: await measure(rival, 1, true),
      }),
      added_p50_ms: (socket.p50 - bare.p50) / 1000,
      added_p50_ms_with_budgets: (held.p50 - bare.p50) / 1000,
      added_p50_ms_against_kept: (socket.p50 - kept.p50) / 1000,
    })
  }

  const sixteen: ManyCallers[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const gateway = await measure(await overSocket(plain), 16)
    const held = await measure(await overSocket(budgeted), 16)
    const rivals = rival && {
      portkey: await measure(rival, 16),
      portkey_kept: await measure(rival, 16, true),
    }
    sixteen.push({
      direct: await measure(direct, 16),
      gateway,
      gateway_with_budgets: held,
      ...rivals,
      ...(rivals && {
        times_portkey: gateway.perSecond / rivals.portkey.perSecond,
        times_portkey_kept: gateway.perSecond / rivals.portkey_kept.perSecond,
      }),
    })
  }

  // Without the rival: on this version of Node it answers every stream with status 500.
  const stream = (target: LlmTarget) => runStreams({ target, callers: STREAMS, seconds: SECONDS })
  const bareStreams = await stream(direct)
  const gatewayStreams = await stream(await overSocket(plain))

  const before = await rss()
  await streamOften(await overSocket(plain), STREAMS, MANY_STREAMS / 2)
  const half = await rss()
  await streamOften(await overSocket(plain), STREAMS, MANY_STREAMS / 2)
  const after = await rss()
  admin.destroy()

  const result: LlmResult = {
    question: 'what a model call costs through the gateway',
    rival: PORTKEY,
    one_caller: { bar: 'added p50 ≤ 0.4 ms', rounds: one },
    sixteen_callers: { bar: `≥ 5 × ${PORTKEY}`, rounds: sixteen },
    streams: {
      at_once: STREAMS,
      direct: bareStreams,
      gateway: gatewayStreams,
      added_first_event_p50_ms: (gatewayStreams.first.p50 - bareStreams.first.p50) / 1000,
    },
    memory: {
      streams: MANY_STREAMS,
      rss_mib_before: before,
      rss_mib_after_half: half,
      rss_mib_after: after,
    },
    tokens: await tokenCosts(),
  }
  report('llm', { ...result })

  interface Run {
    headers(): Promise<Record<string, string>>
  }

  /** A run that may use the model, and its two tokens as they are now. */
  async function registeredRun(more: object): Promise<Run> {
    const { env } = (await admin.call('admin.run.register', {
      agent: 'scanner',
      org_id: '90210',
      allowed_models: { analysis: ['openai:gpt-4o'] },
      ...more,
    })) as { env: Record<string, string> }
    return {
      headers: async () => ({
        authorization: `Bearer ${readFileSync(env['SPIFFE_JWT_PATH'] ?? '', 'utf8').trim()}`,
        'txn-token': await get(env['AUTH_SIDECAR_SOCKET'] ?? '', '/trat'),
      }),
    }
  }

  function rss(): Promise<number> {
    return new Promise((resolve) => {
      daemon.once('message', (message: { rss: number }) =>
        resolve(Math.round(message.rss / 2 ** 20)),
      )
      daemon.send('rss')
    })
  }
} finally {
  portkey?.process.kill()
  await stop(daemon)
  await stop(upstream)
  removeHome(home)
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    httpRequest({ socketPath, path }, (reply) => {
      let text = ''
      reply.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      reply.on('end', () => resolve(text.trim()))
    })
      .once('error', reject)
      .end()
  })
}
