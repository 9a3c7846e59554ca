/**
 * What does Vestry add to a call of an MCP tool? The published client straight to a server, against the same server
 * behind Vestry: over HTTP as programs call it, and as an MCP client over Vestry's own endpoint. Then 200 calls at once
 * over ten servers, every answer looked at; and what it takes to tell that a tool is the one that was signed. Bars: p50
 * grows by at most 1 ms, no call is lost, verification at most 0.2 ms.
 */
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { Pool } from 'undici'
import type { Ready } from '../packages/server/src/app/ready.ts'
import { testGuard, testKeyring } from '../packages/server/src/identity/test-keys.ts'
import type { TokenObject } from '../packages/server/src/json/raw-number.ts'
import type { LiveTool } from '../packages/server/src/mcp/hub.ts'
import { liveDocument } from '../packages/server/src/mcp/live-document.ts'
import { KnownTools } from '../packages/server/src/mcp/pins/known-tools.ts'
import { ToolPinStore } from '../packages/server/src/mcp/pins/tool-pin-store.ts'
import { commandOf } from '../packages/server/src/mcp/testing/hub.test-kit.ts'
import { documentJson } from '../packages/server/src/review/normalise.ts'
import { signText, verifyText } from '../packages/server/src/review/signing/schemapin.ts'
import { testReview } from '../packages/server/src/review/test-review.ts'
import { openStore } from '../packages/server/src/store/store.ts'
import { removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const BAR = { addedP50Ms: 1, verifyMs: 0.2 }
const CALLS = Number(process.env['BENCH_CALLS'] ?? 2_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const SERVERS = 10
const AT_ONCE = 200
const BURSTS = 5
const VERIFICATIONS = 2_000

const home = temporaryHome({ http: { port: 0 } })
const daemon = await startScript('./daemon-process.ts', [home])
const ready = JSON.parse(readFileSync(join(home, 'run/ready.json'), 'utf8')) as Ready
const key = readFileSync(ready.admin_key_file, 'utf8').trim()
const pool = new Pool(ready.http, { connections: AT_ONCE, pipelining: 1 })

const names = Array.from({ length: SERVERS }, (_, at) => `server-${at}`)
for (const name of names) {
  await post('/api/v1/mcp/servers', { name, command: commandOf(), timeout_seconds: 30 })
  await post(`/api/v1/mcp/servers/${name}/connect`, {})
}
const [command = '', ...args] = commandOf()
const direct = new Client({ name: 'bench', version: '1.0.0' })
await direct.connect(new StdioClientTransport({ command, args }))
const session = await openSession()

const viaDirect = async (text: string) => {
  const { content } = await direct.callTool({ name: 'echo', arguments: { text } })
  return textOf({ content })
}
const viaRoute = async (text: string, server = 'server-0') =>
  textOf(await post(`/api/v1/mcp/servers/${server}/tools/echo/call`, { arguments: { text } }))
const viaEndpoint = async (text: string) => {
  const params = { name: 'server-0__echo', arguments: { text } }
  const message = { jsonrpc: '2.0', id: text, method: 'tools/call', params }
  const { result } = await post('/mcp', message, { 'mcp-session-id': session })
  return textOf(result as Record<string, unknown>)
}

const rounds = []
for (let round = 0; round < ROUNDS; round += 1) {
  const plain = await timed(viaDirect)
  const route = await timed(viaRoute)
  const endpoint = await timed(viaEndpoint)
  rounds.push({
    direct: plain,
    route,
    endpoint,
    added_p50_ms: route.p50_ms - plain.p50_ms,
    endpoint_added_p50_ms: endpoint.p50_ms - plain.p50_ms,
  })
}

let answered = 0
const burstsStarted = performance.now()
for (let burst = 0; burst < BURSTS; burst += 1) {
  const replies = await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, at) => {
      const text = `${burst}-${at}`
      return (await viaRoute(text, names[at % SERVERS])) === text
    }),
  )
  answered += replies.filter(Boolean).length
}
const burstMs = performance.now() - burstsStarted

const verification = await verified()
await direct.close()
await pool.close()
await stop(daemon)
removeHome(home)

report('mcp', {
  bar: BAR,
  calls: CALLS,
  rounds,
  at_once: {
    calls: AT_ONCE * BURSTS,
    servers: SERVERS,
    answered,
    per_second: Math.round((AT_ONCE * BURSTS * 1_000) / burstMs),
  },
  verification,
})
const best = Math.min(...rounds.map(({ added_p50_ms: ms }) => ms))
if (
  best > BAR.addedP50Ms ||
  answered < AT_ONCE * BURSTS ||
  verification.signature.p50_ms > BAR.verifyMs
) {
  console.error('a bar is missed')
  process.exitCode = 1
}

async function timed(call: (text: string) => Promise<string>) {
  for (let n = 0; n < CALLS / 10; n += 1) await call('warm')
  const took: number[] = []
  for (let n = 0; n < CALLS; n += 1) {
    const text = `text ${n}`
    const before = performance.now()
    const answer = await call(text)
    took.push(performance.now() - before)
    if (answer !== text) throw new Error(`the answer is ${answer}`)
  }
  return spread(took)
}

/** The signature over the canonical form; the same with the rows it is looked up in, and as it is remembered. */
async function verified() {
  const dir = temporaryHome({})
  const store = await openStore(`sqlite:${join(dir, 'bench.db')}`)
  const review = testReview(store)
  await review.open()
  const schema = {
    type: 'object',
    properties: Object.fromEntries(
      Array.from({ length: 8 }, (_, at) => [
        `field_${at}`,
        { type: 'string', description: 'The town that the forecast is made for', maxLength: 80 },
      ]),
    ),
    required: ['field_0'],
  }
  const provider = { name: 'bench', public_key_url: null }
  await review.signedTool({ name: 'echo', description: 'Echoes', tool_schema: schema, provider })
  const known = new KnownTools({
    pins: new ToolPinStore({ store, guard: testGuard(testKeyring()), now: Date.now }),
    reviewed: review.reviewed,
    hub: { tools: () => [] },
    publicKeyUrl: () => null,
    allowUnreviewed: false,
    audit: { append: async () => 0 },
    warn: () => undefined,
    now: Date.now,
  })
  await known.open()
  const tool: LiveTool = {
    server: 'bench',
    name: 'echo',
    description: 'Echoes',
    inputSchema: JSON.parse(JSON.stringify(schema)) as TokenObject,
    outputSchema: undefined,
    annotations: undefined,
    meta: undefined,
  }
  const anew: number[] = []
  const remembered: number[] = []
  for (let n = -200; n < VERIFICATIONS; n += 1) {
    review.onChange(['tool_signature'])
    known.onChange(['tool_signature'])
    const before = performance.now()
    const { verified: holds } = await known.standing(tool)
    const between = performance.now()
    await known.standing(tool)
    const after = performance.now()
    if (!holds) throw new Error('the tool is not verified')
    if (n < 0) continue
    anew.push(between - before)
    remembered.push(after - between)
  }
  const document = liveDocument(tool, null)
  const text = documentJson(document)
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signature = signText(text, privateKey, 'A')
  const alone: number[] = []
  for (let n = -200; n < VERIFICATIONS; n += 1) {
    const before = performance.now()
    const holds = verifyText(documentJson(liveDocument(tool, null)), signature, publicKey, ['A'])
    const after = performance.now()
    if (holds !== 'A') throw new Error('the signature does not hold')
    if (n >= 0) alone.push(after - before)
  }
  await review.close()
  await store.close()
  removeHome(dir)
  return { signature: spread(alone), anew: spread(anew), remembered: spread(remembered) }
}

async function openSession(): Promise<string> {
  const params = {
    protocolVersion: '2025-06-18',
    capabilities: {},
    clientInfo: { name: 'bench', version: '1.0.0' },
  }
  const message = { jsonrpc: '2.0', id: 0, method: 'initialize', params }
  const reply = await request('/mcp', message, {})
  await reply.body.text()
  return String(reply.headers['mcp-session-id'])
}

async function post(
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  const reply = await request(path, body, headers)
  const text = await reply.body.text()
  if (reply.statusCode >= 300) throw new Error(`${reply.statusCode} ${text}`)
  return JSON.parse(text) as Record<string, unknown>
}

function request(path: string, body: object, headers: Record<string, string>) {
  return pool.request({
    method: 'POST',
    path,
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify(body),
  })
}

function textOf({ content }: Record<string, unknown>): string {
  const [first] = content as { text?: string }[]
  return String(first?.text)
}

function spread(took: number[]) {
  const sorted = took.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  return { p50_ms: at(0.5), p99_ms: at(0.99) }
}
