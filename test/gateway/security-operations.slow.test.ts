/** The gateway as a process: what it connects to, and how it goes down. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { Home } from '../../packages/server/src/app/home.ts'
import type { Ready } from '../../packages/server/src/app/ready.ts'
import { startUpstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { CREDENTIALS } from './security-world.ts'
import { GatewayNode, LETTER } from './world.ts'

const MAIN = join(import.meta.dirname, '../../packages/server/src/cli/main.ts')

interface Running extends AsyncDisposable {
  readonly node: GatewayNode
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
}

/** `vestry up --dev`, as anybody starts it. */
async function up(home: Home, config: object, nodeArgs: string[] = []): Promise<Running> {
  writeFileSync(home.config, stringify(config), { mode: 0o600 })
  const args = ['--conditions=source', '--no-warnings', ...nodeArgs, MAIN, 'up', '--dev']
  const child = spawn(process.execPath, [...args, '--home', home.dir, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8')
    })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  const until = performance.now() + 15_000
  while (!existsSync(home.ready)) {
    if (child.exitCode !== null || performance.now() > until) throw new Error(`not up: ${said}`)
    await sleep(25)
  }
  const ready = JSON.parse(readFileSync(home.ready, 'utf8')) as Ready
  const admin = await operator(home)
  const { credentials } = await admin.call('admin.cred.list', {})
  if (credentials.length === 0)
    for (const [tool, value] of Object.entries(CREDENTIALS).slice(0, 3))
      await putCredential(admin, `tools/${tool}`, value)
  admin.destroy()
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await ended
  }
  return { node: new GatewayNode(ready, stop), child, ended, [Symbol.asyncDispose]: stop }
}

const configFor = (port: number, gateway: object) => ({
  gateway: {
    tools: Object.fromEntries(
      ['serpapi', 'openai', 'gmail_send'].map((tool) => [
        tool,
        { base_url: `http://127.0.0.1:${port}/${tool}` },
      ]),
    ),
    http_fetch_allowed_domains: [`127.0.0.1:${port}`, 'example.com'],
    ...gateway,
  },
  egress: { allow_cidrs: ['127.0.0.1/32'] },
})

/** Notes every outgoing connection, datagram and name look-up of a process. */
const watcher = (file: string): string => {
  const source = `
    import { appendFileSync } from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    import net from 'node:net'
    import dgram from 'node:dgram'
    import dns from 'node:dns'
    import promises from 'node:dns/promises'
    const note = (what) => appendFileSync(${JSON.stringify(file)}, what + '\\n')
    const wrap = (owner, name, what) => {
      const own = owner[name]
      owner[name] = function (...args) { note(what); return own.apply(this, args) }
    }
    wrap(net.Socket.prototype, 'connect', 'connect')
    wrap(dgram.Socket.prototype, 'send', 'datagram')
    for (const dnsLike of [dns, promises])
      for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6']) wrap(dnsLike, name, 'look-up')
    syncBuiltinESMExports()`
  return `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`
}

test.each([
  ['mock', 0],
  ['live', 1],
] as const)(
  'gateway §19.33: in %s mode all tools together make %i connections or more',
  async (mode, least) => {
    await using upstream = await startUpstream((_request, reply) => void reply.end('{}'))
    using home = temporaryHome()
    const file = join(home.dir, 'connections')
    await using running = await up(home, configFor(upstream.port, { mode }), [
      '--import',
      watcher(file),
    ])
    const { node } = running
    const notes = () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [])
    const before = notes().length // the daemon looked up where to listen
    const { token } = await node.caller({
      scopes: ['*'],
      guards: { allowedDomains: ['example.com', `127.0.0.1:${upstream.port}`] },
    })
    const calls: [`${string}:${string}`, object][] = [
      ['serpapi:search', { q: 'a' }],
      ['openai:chat', { messages: [{ role: 'user', content: 'a' }] }],
      ['openai:complete', { prompt: 'a' }],
      ['gmail_send:send', LETTER],
      ['gmail_send:profile', {}],
      ['http_fetch:get', { url: `http://127.0.0.1:${upstream.port}/` }],
      ['http_fetch:head', { url: `http://127.0.0.1:${upstream.port}/` }],
    ]
    // A name would have to be looked up.
    if (mode === 'mock') calls.push(['http_fetch:get', { url: 'https://example.com/' }])
    for (const [called, params] of calls) {
      const sync = await node.call(token, called, params)
      expect(sync.status, `${called} ${JSON.stringify(sync.json)}`).toBe(200)
      const { json } = await node.call(token, called, params, { async: true })
      expect((await node.ended(json.job_id)).status).toBe('done')
    }
    const noted = notes().slice(before)
    if (least === 0) expect(noted).toEqual([])
    else expect(noted.length).toBeGreaterThanOrEqual(least)
    expect(upstream.seen.length > 0).toBe(mode === 'live')
  },
)

test('gateway §19.34: twenty calls under way at SIGTERM end as they should, once each, and the exit code is 0', async () => {
  const received: string[] = []
  await using upstream = await startUpstream((request, reply) => {
    const raw = /"raw":"([^"]+)"/.exec(request.body)?.[1] ?? ''
    const mail = Buffer.from(raw, 'base64url').toString('utf8')
    const name = /Subject: (\S+)/.exec(mail)?.[1] ?? request.url
    received.push(name)
    // Jobs go on for longer than anybody waits.
    setTimeout(() => reply.end('{"id":"sent"}'), name.startsWith('job') ? 3_000 : 1_200)
  })
  using home = temporaryHome()
  const config = configFor(upstream.port, { mode: 'live', cb_bulkhead_concurrency: 50 })
  const jobs: string[] = []
  let token = ''
  {
    await using running = await up(home, config)
    const { node, child, ended } = running
    token = (await node.caller({ scopes: ['*'] })).token
    const inline = [
      ...Array.from({ length: 10 }, (_, n) =>
        node.call(token, 'gmail_send:send', { ...LETTER, subject: `inline-${n}` }),
      ),
      ...Array.from({ length: 6 }, (_, n) => node.call(token, 'serpapi:search', { q: `s${n}` })),
    ]
    for (let n = 0; n < 4; n += 1) {
      const params = { ...LETTER, subject: `job-${n}` }
      jobs.push((await node.call(token, 'gmail_send:send', params, { async: true })).json.job_id)
    }
    await expect.poll(() => received.length, { timeout: 5_000 }).toBe(20)
    // Beyond what runs at once: it waits, and is there after the restart.
    const waiting = { ...LETTER, subject: 'job-queued' }
    jobs.push((await node.call(token, 'gmail_send:send', waiting, { async: true })).json.job_id)
    child.kill('SIGTERM')
    await expect
      .poll(async () => (await fetch(`${node.url}/ready`)).status, { timeout: 1_500, interval: 10 })
      .toBe(503)
    const late = await node.call(token, 'gmail_send:send', { ...LETTER, subject: 'too-late' })
    expect([late.status, late.json.code, late.headers.get('retry-after')]).toEqual([
      503,
      'SHUTTING_DOWN',
      '1',
    ])
    const answers = await Promise.all(inline)
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect(await ended).toBe(0)
  }
  {
    await using running = await up(home, config)
    const { node } = running
    const ends = await Promise.all(jobs.map((id) => node.ended(id)))
    expect(ends.map(({ status }) => status)).toEqual(['done', 'done', 'done', 'done', 'done'])
    running.child.kill('SIGTERM')
    expect(await running.ended).toBe(0)
  }
  const mails = received.filter((name) => !name.startsWith('/'))
  expect(mails.toSorted()).toEqual(
    [
      ...Array.from({ length: 10 }, (_, n) => `inline-${n}`),
      ...Array.from({ length: 4 }, (_, n) => `job-${n}`),
      'job-queued',
    ].toSorted(),
  )
})
