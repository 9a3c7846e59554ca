/** Damaged requests at speed: every one is answered readably, nothing fails inside, and the log stays whole. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { parseRaw, startSecurityWorld } from '../gateway/security-world.ts'
import { LETTER } from '../gateway/world.ts'
import { operator } from '../harness/boot.ts'
import { Dice, mutate } from './frame-mutator.ts'

const SEED = 19
const DURATION_MS = 50_000
const LANES = 12
const WARM_UP = 5_000
const GROWTH_BYTES = 200 * 1_048_576

const METHODS = ['POST', 'POST', 'POST', 'GET', 'DELETE', 'PUT', 'PATCH', 'OPTIONS', 'HEAD']
const PATHS = [
  '/api/proxy-request',
  '/api/proxy-request',
  '/api/proxy',
  '/api/generate-token',
  '/api/jobs/job_0123456789abcdef',
  '/api/create-agent',
  '/api/policies',
  '/api/policies/x',
  '/api/admin/creds/set',
  '/api/admin/tokens/x/revoke',
  '/api/proxy/logs?limit=20',
  '/api/policy-logs?limit=5',
  '/health',
  '/nothing',
]

interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

function send(
  agent: Agent,
  url: URL,
  { method, path, headers, body }: ReturnType<typeof damaged>,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { agent, host: url.hostname, port: url.port, method, path, headers },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        )
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

function damaged(dice: Dice, corpus: readonly Buffer[], operatorKey: string) {
  const path = dice.pick(PATHS)
  const words = ['', 'a', 'req_1_abc', '"', '\u00e9', 'x'.repeat(200), 'policy', 'Bearer x.y']
  const headers: Record<string, string> = {
    'content-type': dice.pick(['application/json', 'text/plain', 'policy', '']),
    'x-correlation-id':
      dice.roll(3) === 0 ? dice.pick(words) : `req_${dice.roll(1e9)}_${dice.roll(1e9)}`,
    'user-agent': dice.pick(['@4runr/gateway/1.0.0', 'runrgateway/1.0.0', 'x']),
  }
  for (const name of ['idempotency-key', 'x-agent-intent', 'x-agent-signature', 'traceparent'])
    if (dice.roll(6) === 0) headers[name] = dice.pick(words)
  if (dice.roll(3) === 0) headers['authorization'] = dice.pick([operatorKey, ...words])
  const body = dice.roll(4) === 0 ? dice.pick(corpus) : mutate(dice, corpus)
  headers['content-length'] = String(body.length)
  return {
    method: dice.pick(METHODS),
    path: dice.roll(10) === 0 ? `${path}/${encodeURIComponent(dice.pick(words))}` : path,
    headers,
    body,
  }
}

function assertReadable({ status, headers, text }: Answered, method: string): void {
  expect(headers['x-correlation-id']).toMatch(/^[A-Za-z0-9._:-]{1,128}$/)
  if (status < 300 || method === 'HEAD') {
    expect(status).toBeLessThan(600)
    return
  }
  expect([status >= 400, status !== 500], text).toEqual([true, true])
  const body = JSON.parse(text) as { error: unknown }
  expect(body.error).toEqual(expect.stringMatching(/./))
  if (status === 400 && !String(body.error).startsWith('Policy denied'))
    expect(body.error).not.toMatch(/policy|scope/i)
}

/** A whole request with bytes of it changed anywhere, its head included. */
function sendDamagedBytes(dice: Dice, url: URL, corpus: readonly Buffer[]): Promise<string> {
  const body = dice.pick(corpus)
  const whole = Buffer.concat([
    Buffer.from(
      `POST ${dice.pick(PATHS)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
    ),
    body,
  ])
  for (let n = 1 + dice.roll(6); n > 0; n -= 1) whole[dice.roll(whole.length)] = dice.roll(256)
  return new Promise((resolve) => {
    let heard = ''
    const socket = connect(Number(url.port), url.hostname, () => socket.end(whole))
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(heard))
  })
}

test('a minute of damaged requests: every one answered, none with 500, the log intact, no growth', async () => {
  const failures: unknown[] = []
  const note = (error: unknown) => failures.push(error)
  process.on('unhandledRejection', note)
  await using world = await startSecurityWorld({ cb_fail_threshold: 10_000 })
  const { node } = world
  world.upstreamDoes((request, reply) => void reply.end(JSON.stringify({ got: request.url })))
  const { id, token } = await node.caller({
    scopes: ['*'],
    guards: { allowedDomains: [world.host] },
  })
  const expires_at = new Date(Date.now() + 600_000).toISOString()
  const call = (tool: string, action: string, params: object, more: object = {}) => ({
    agent_token: token,
    tool,
    action,
    params,
    ...more,
  })
  const corpus = [
    { agent_id: id, tools: ['*'], permissions: ['read'], expires_at },
    {
      agent_id: id,
      tools: ['serpapi'],
      permissions: ['read'],
      expires_at: '2030-01-01T03:44:11.782419',
    },
    call('crm', 'find', { q: 'é😀' }),
    call('crm', 'add', { note: 'a' }, { async: true, intent: 'lead_discovery' }),
    call('serpapi', 'search', { q: 'a', num: 3, idempotency_key: 'idemp_0123456789abcdef' }),
    call('http_fetch', 'get', {
      url: world.at('/a?b=c'),
      headers: { accept: '*/*' },
      timeout: 2_000,
    }),
    call('openai', 'chat', { messages: [{ role: 'user', content: 'a' }], temperature: 0.5 }),
    call('gmail_send', 'send', { ...LETTER, cc: ['b@example.org'], html: '<p>a' }),
    call('gmail_send', 'profile', {}, { proof_payload: { agent_id: id } }),
    { name: 'a', created_by: 'b', role: 'c', timezone: 'Europe/Berlin' },
    {
      name: 'p',
      role: 'scraper',
      spec: { scopes: ['serpapi:search'], guards: { maxRequestSize: 9 } },
    },
    { tool: 'crm', version: '1', credential: 'x' },
  ].map((body) => Buffer.from(JSON.stringify(body)))
  const operatorKey = world.operatorHeaders['authorization'] ?? ''
  const url = new URL(node.url)

  // R-7: a connection that rests for longer than a minute is still there.
  const resting = connect(Number(url.port), url.hostname)
  let rested = ''
  resting.on('data', (chunk: Buffer) => {
    rested += chunk.toString('latin1')
  })
  const greet = () => resting.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
  greet()
  const restSince = performance.now()

  const tally = new Map<string, number>()
  let sent = 0
  let level: number | undefined
  let highest = 0
  const watch = setInterval(() => {
    if (sent < WARM_UP) return
    const { rss } = process.memoryUsage()
    level ??= rss
    highest = Math.max(highest, rss)
  }, 250)
  const until = performance.now() + DURATION_MS
  const lane = async (dice: Dice) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (performance.now() < until) {
      if (dice.roll(10) === 0) {
        const heard = await sendDamagedBytes(dice, url, corpus)
        const status = heard === '' ? 0 : parseRaw(heard).status
        expect(status, heard.slice(0, 200)).not.toBe(500)
        tally.set(`raw ${status}`, (tally.get(`raw ${status}`) ?? 0) + 1)
      } else {
        const request = damaged(dice, corpus, operatorKey)
        const answered = await send(agent, url, request)
        assertReadable(answered, request.method)
        const key = String(answered.status)
        tally.set(key, (tally.get(key) ?? 0) + 1)
      }
      sent += 1
    }
    agent.destroy()
  }
  try {
    await Promise.all(Array.from({ length: LANES }, (_, n) => lane(new Dice(SEED + n))))
  } finally {
    clearInterval(watch)
    process.removeListener('unhandledRejection', note)
  }
  const mib = (bytes = 0) => (bytes / 1_048_576).toFixed(0)
  process.stdout.write(
    `${sent} requests, rss ${mib(level)} MiB → at most ${mib(highest)} MiB\n` +
      `${[...tally].map(([status, count]) => `${status}: ${count}`).join(', ')}\n`,
  )
  expect(failures).toEqual([])
  expect(world.warnings.filter((line) => line.includes('internal error'))).toEqual([])
  expect(sent).toBeGreaterThan(WARM_UP)
  for (const status of ['200', '201', '202', '400', '401', '404'])
    expect(tally.get(status) ?? 0, status).toBeGreaterThan(20)
  expect(highest - (level ?? 0)).toBeLessThan(GROWTH_BYTES)

  await sleep(Math.max(0, 64_000 - (performance.now() - restSince)))
  const before = rested.length
  greet()
  await expect.poll(() => rested.length, { timeout: 5_000 }).toBeGreaterThan(before)
  resting.destroy()

  const { status } = await node.call(token, 'crm:find', { q: 'after all that' })
  expect(status).toBe(200)
  const admin = await operator(world.home)
  expect((await admin.call('admin.audit.verify')).status).toBe('intact')
  admin.destroy()
})
