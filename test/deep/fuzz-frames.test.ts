/**
 * A million damaged frames against a real daemon. Each frame whose length is true must get exactly one
 * answer, and each good request sent between them its own; nothing may crash, hang or grow.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type AgentKeys, signHex } from '../harness/keys.ts'
import { encode, type Frame, frameOf } from '../harness/raw-client.ts'
import { Dice, lie, mutate } from './frame-mutator.ts'

const FRAMES = 1_000_000
const SEED = 20_240_917
const PER_BATCH = 250
/** More than this ends a connection that has not logged in. */
const STRANGER_LIMIT = 65_536
const LANES = 6
const PATIENCE_MS = 30_000
/** Frames after which memory has found its level. */
const WARM_UP = 200_000
const GROWTH_BYTES = 200 * 1024 * 1024

const CORPUS = [
  { id: 1, method: 'ping' },
  { id: 2, method: 'status', params: {} },
  { id: 3, method: 'whoami', params: { session_id: null } },
  { id: 4, method: 'authenticate', params: { agent_name: 'scout' } },
  { id: 5, method: 'authenticate', params: { agent_name: 'nobody', client_nonce: 'a'.repeat(64) } },
  { id: 6, method: 'list', params: { prefix: 'openai/', tag: 'llm', limit: 10, cursor: '' } },
  { id: 7, method: 'retrieve', params: { path: 'openai/api_key', ttl: 300, reason: 'fuzz' } },
  { id: 8, method: 'retrieve', params: { path: 'other/secret', ttl: 300.0, version: 1 } },
  { id: 9, method: 'release_lease', params: { lease_id: 'lease_0123456789' } },
  { id: 10, method: 'renew_lease', params: { lease_id: 'lease_0123456789', ttl: 60 } },
  { id: 11, method: 'lease_status' },
  { id: 12, method: 'check_access', params: { path: 'openai/api_key', action: 'retrieve' } },
  { id: 13, method: 'store', params: { path: 'own/x', value: 'c0ffee', type: 'token' } },
  { id: 14, method: 'unwrap', params: { wrap_token: 'wrap_0123456789' } },
  {
    id: 15,
    method: 'use',
    params: { path: 'openai/api_key', operation: 'sign', params: { data: 'é😀', algorithm: 'x' } },
  },
  {
    id: 16,
    method: 'use',
    params: {
      path: 'openai/api_key',
      operation: 'http_request',
      params: { url: 'https://example.invalid/', method: 'POST', headers: { a: 'b' } },
    },
  },
  { id: 17, method: 'use', params: { path: 'openai/api_key', operation: 'http_header' } },
  { id: 18, method: 'credential.list', params: {} },
  { id: 19, method: 'auth.challenge', params: { agent: 'scout' } },
  { jsonrpc: '2.0', id: 'twenty', method: 'ping', params: { __proto__: null, n: [1, [2, [3]]] } },
  { id: 21, method: 'admin.seal', params: {} },
].map((message) => Buffer.from(JSON.stringify(message), 'utf8'))

/**
 * Three wrong answers in a row end a connection, and many lock their source out: so these go where an
 * early end is fine, and over TCP, which is another source.
 */
const LOGIN_CORPUS = [
  ...CORPUS,
  ...[
    {
      id: 30,
      method: 'challenge_response',
      params: { session_id: 's', signature: 'ab'.repeat(64) },
    },
    { id: 31, method: 'auth.verify', params: { agent: 'scout', signature: 'ab'.repeat(64) } },
    { id: 32, method: 'logout', params: {} },
  ].map((message) => Buffer.from(JSON.stringify(message), 'utf8')),
]

/** Counts answers, and keeps those to ids of our own. */
class Lane {
  readonly socket: Socket
  readonly own: Frame[] = []
  answers = 0
  ended = false
  readonly #tally: Map<string, number>
  #rest: Buffer = Buffer.alloc(0)
  #wake: (() => void) | undefined

  /** @param tally Counts every answer by its code, `ok` for results. */
  constructor(where: NetConnectOpts, tally: Map<string, number>) {
    this.#tally = tally
    this.socket = connect(where)
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.socket.on('error', () => this.#end())
    this.socket.on('end', () => this.#end())
    this.socket.on('close', () => this.#end())
  }

  /** Resolves once `condition` holds or the daemon ended the connection. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS
    while (!condition() && !this.ended) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no ${what} within ${PATIENCE_MS} ms`)),
          Math.max(0, deadline - Date.now()),
        )
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** A request of our own, alone on the wire. */
  async ask(message: { id: string; method: string; params?: object }): Promise<Frame> {
    const before = this.own.length
    this.socket.write(encode(message))
    await this.until(() => this.own.length > before, `answer to ${message.method}`)
    const answer = this.own[before]
    if (answer === undefined) throw new Error(`closed before the answer to ${message.method}`)
    expect(answer.id).toBe(message.id)
    return answer
  }

  async login(keys: AgentKeys): Promise<void> {
    const offer = await this.ask({
      id: 'own-a',
      method: 'authenticate',
      params: { agent_name: keys.name },
    })
    const { session_id, challenge } = offer.result
    const signature = signHex(keys.seed, Buffer.from(challenge, 'hex'))
    const params = { session_id, signature }
    const { result } = await this.ask({ id: 'own-b', method: 'challenge_response', params })
    expect(result.authenticated).toBe(true)
  }

  async close(): Promise<void> {
    this.socket.end()
    await this.until(() => this.ended, 'end of the connection')
    this.socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (this.#rest.length - at >= 4) {
      const size = this.#rest.readUInt32BE(at)
      expect(size).toBeLessThanOrEqual(4_194_304)
      if (this.#rest.length - at - 4 < size) break
      const frame = JSON.parse(this.#rest.toString('utf8', at + 4, at + 4 + size)) as Frame
      at += 4 + size
      if ('result' in frame === 'error' in frame) throw new Error('neither result nor error')
      this.answers += 1
      const code = frame.error?.code ?? 'ok'
      this.#tally.set(code, (this.#tally.get(code) ?? 0) + 1)
      if (typeof frame.id === 'string' && frame.id.startsWith('own-')) this.own.push(frame)
    }
    this.#rest = this.#rest.subarray(at)
    this.#wake?.()
  }

  #end(): void {
    this.ended = true
    this.#wake?.()
  }
}

class Campaign {
  sent = 0
  batches = 0
  readonly tally = new Map<string, number>()
  readonly #vestry: TestDaemon
  readonly #keys: AgentKeys

  constructor(vestry: TestDaemon, keys: AgentKeys) {
    this.#vestry = vestry
    this.#keys = keys
  }

  async run(dice: Dice): Promise<void> {
    while (this.sent < FRAMES) {
      switch (dice.roll(8)) {
        case 0:
          await this.#inStep(dice, false, 4)
          break
        case 1:
          await this.#untrue(dice, dice.roll(2) === 0)
          break
        case 2:
          await this.#logins(dice)
          break
        default:
          await this.#inStep(dice, true, 8)
      }
    }
  }

  #open(): Lane {
    return new Lane({ path: this.#vestry.home.vaultSocket }, this.tally)
  }

  #openTcp(): Lane {
    const [host = '', port] = String(this.#vestry.daemon.ready.vault_tcp).split(':')
    return new Lane({ host, port: Number(port) }, this.tally)
  }

  /** True lengths: every frame is answered once, and our own in order, however bad the rest. */
  async #inStep(dice: Dice, login: boolean, rounds: number): Promise<void> {
    const lane = this.#open()
    if (login) await lane.login(this.#keys)
    for (let round = 0; round < rounds; round += 1) {
      const frames: Buffer[] = []
      const wanted: string[] = []
      for (let n = 0; n < PER_BATCH; n += 1) {
        const body = mutate(dice, CORPUS)
        const frame = frameOf(login ? body : body.subarray(0, STRANGER_LIMIT))
        frames.push(frame)
        if (dice.roll(20) === 0) frames.push(frame)
        if (n % 50 === 49) {
          // One id for all: they must be answered in the order they were sent.
          const method = dice.pick(['ping', 'status'])
          frames.push(encode({ id: 'own-lock', method }))
          wanted.push(method)
        }
      }
      const [before, own] = [lane.answers, lane.own.length]
      const stream = Buffer.concat(frames)
      // In a few uneven pieces, so that frames are cut anywhere.
      for (let at = 0; at < stream.length; ) {
        const size = 1 + dice.roll(stream.length)
        lane.socket.write(stream.subarray(at, at + size))
        at += size
      }
      await lane.until(() => lane.answers - before >= frames.length, 'answer to each frame')
      expect([lane.ended, lane.answers - before]).toEqual([false, frames.length])
      const got = lane.own
        .slice(own)
        .map(({ result }) => (result.pong === true ? 'ping' : result.protocol && 'status'))
      expect(got).toEqual(wanted)
      this.sent += frames.length
      this.batches += 1
    }
    await lane.close()
  }

  /** Lying lengths: the stream is lost, but the daemon neither hangs nor keeps the connection. */
  async #untrue(dice: Dice, login: boolean): Promise<void> {
    for (let n = 0; n < 20; n += 1) {
      const lane = this.#open()
      if (login) await lane.login(this.#keys)
      const frames = Array.from({ length: 1 + dice.roll(20) }, () =>
        dice.roll(4) === 0 ? lie(dice, CORPUS) : frameOf(mutate(dice, CORPUS)),
      )
      frames.push(lie(dice, CORPUS))
      lane.socket.write(Buffer.concat(frames))
      this.sent += frames.length
      await lane.close()
    }
  }

  /** Damaged logins: the connection may end after three wrong answers, and only then. */
  async #logins(dice: Dice): Promise<void> {
    for (let n = 0; n < 10; n += 1) {
      const lane = this.#openTcp()
      const frames = Array.from({ length: 40 }, () => frameOf(mutate(dice, LOGIN_CORPUS)))
      frames.push(encode({ id: 'own-last', method: 'ping' }))
      lane.socket.write(Buffer.concat(frames))
      await lane.until(() => lane.answers >= frames.length, 'answer to each login')
      if (!lane.ended) expect(lane.own.at(-1)?.id).toBe('own-last')
      this.sent += frames.length
      await lane.close()
    }
  }
}

test('a million damaged frames: every one answered, no crash, no hang, no growth', async () => {
  const failures: unknown[] = []
  const note = (error: unknown) => failures.push(error)
  process.on('unhandledRejection', note)
  // Few leases, so that listing them stays small.
  await using vestry = await startTestDaemon({
    config: { vault: { leases_per_agent: 100, listen_tcp: '127.0.0.1:0' } },
  })
  const keys = await vestry.addAgent('scout')
  await vestry.addCredential('openai/api_key', 'sk-test-0123456789')
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'some',
        principals: ['agent:scout'],
        resources: ['openai/*'],
        actions: ['list', 'retrieve', 'use'],
        hosts: ['api.openai.com'],
      },
    ],
  })
  const campaign = new Campaign(vestry, keys)
  let level: number | undefined
  let highest = 0
  const watch = setInterval(() => {
    const { rss } = process.memoryUsage()
    if (campaign.sent < WARM_UP) return
    level ??= rss
    highest = Math.max(highest, rss)
  }, 250)
  const started = performance.now()
  try {
    await Promise.all(
      Array.from({ length: LANES }, (_, lane) => campaign.run(new Dice(SEED + lane))),
    )
  } finally {
    clearInterval(watch)
    process.removeListener('unhandledRejection', note)
  }
  const seconds = (performance.now() - started) / 1000
  process.stdout.write(
    `${campaign.sent} frames, ${campaign.batches} batches in step, ${seconds.toFixed(0)} s, ` +
      `rss ${mib(level)} MiB → at most ${mib(highest)} MiB\n` +
      `${[...campaign.tally].map(([code, count]) => `${code} ${count}`).join(', ')}\n`,
  )
  expect(campaign.sent).toBeGreaterThanOrEqual(FRAMES)
  expect(failures).toEqual([])
  expect(campaign.tally.get('INTERNAL_ERROR')).toBeUndefined()
  for (const code of [
    'ok',
    'ACCESS_DENIED',
    'INVALID_PARAMS',
    'INVALID_REQUEST',
    'METHOD_NOT_FOUND',
  ])
    expect(campaign.tally.get(code), code).toBeGreaterThan(1_000)
  expect(highest - (level ?? 0)).toBeLessThan(GROWTH_BYTES)
  const client = await vestry.agent(keys)
  const used = await client.call('use', {
    path: 'openai/api_key',
    operation: 'sign',
    params: { data: 'after all that' },
  })
  expect(used.signature).toEqual(expect.any(String))
  expect((await vestry.admin.call('admin.audit.verify')).status).toBe('intact')
})

function mib(bytes: number | undefined): string {
  return bytes === undefined ? '?' : (bytes / 1_048_576).toFixed(0)
}
