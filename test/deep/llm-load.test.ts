/** Many streams at once, and what happens to them when a provider dies, a client leaves or the daemon stops. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, expect, test } from 'vitest'
import { type LlmWorld, startLlmWorld, tokens } from '../sage/llm-world.ts'
import { dataLines, parse, type RawReply, requestBytes } from '../sage/raw-http.ts'

const CHAT = '/v1/chat/completions'
const STREAMS = 200
const BODY = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], stream: true }

let world: LlmWorld
const start = async () => {
  world = await startLlmWorld({
    llm: {
      in_flight_per_run: 1_024,
      requests_per_run_minute: 100_000,
      requests_per_org_minute: 100_000,
      requests_per_model_minute: 100_000,
    },
  })
  const run = await world.run()
  return requestBytes('POST', CHAT, tokens(run), BODY)
}
afterEach(() => world[Symbol.asyncDispose]())

interface Running {
  readonly socket: Socket
  readonly ended: Promise<RawReply>
}

function open(bytes: Uint8Array): Running {
  const chunks: Buffer[] = []
  const socket = connect(world.socket, () => socket.write(bytes))
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = new Promise<RawReply>((resolve, reject) => {
    socket.once('close', () => {
      if (chunks.length === 0) reject(new Error('closed without an answer'))
      else resolve(parse(Buffer.concat(chunks)))
    })
    socket.on('error', () => undefined)
  })
  ended.catch(() => undefined)
  return { socket, ended }
}

const idle = async (): Promise<void> => {
  await expect.poll(() => world.part.llm.calls.size, { timeout: 10_000 }).toBe(0)
  expect(world.part.llm.inFlight.size).toBe(0)
  expect(world.part.llm.bodies.used).toBe(0)
  await expect.poll(() => world.fakes.openai.inFlight, { timeout: 10_000 }).toBe(0)
  expect(world.registry.render()).toMatch(/^llm_streams 0$/m)
  expect(world.warnings).toEqual([])
}

test('sage §21.42: 200 streams at once are all complete', async () => {
  const bytes = await start()
  const text = 'word '.repeat(60)
  world.fakes.openai.script(...Array.from({ length: STREAMS }, () => ({ text, pauseMs: 5 })))
  const replies = await Promise.all(Array.from({ length: STREAMS }, () => open(bytes).ended))
  for (const reply of replies) {
    expect(reply.status).toBe(200)
    expect(dataLines(reply.body).at(-1)).toBe('[DONE]')
  }
  await idle()
  const done = (await world.audit()).filter(
    ({ phase, outcome }) => phase === 'outcome' && outcome?.code === 'OK',
  )
  expect(done).toHaveLength(STREAMS)
})

test('sage §21.42: a provider that dies mid-way ends its streams with an error each', async () => {
  const bytes = await start()
  world.fakes.openai.script(
    ...Array.from({ length: STREAMS }, () => ({ text: 'word '.repeat(400), pauseMs: 50 })),
  )
  const running = Array.from({ length: STREAMS }, () => open(bytes))
  await expect.poll(() => world.fakes.openai.inFlight, { timeout: 10_000 }).toBe(STREAMS)
  await sleep(300)
  await world.fakes.openai.close()
  for (const { ended } of running) {
    const reply = await ended
    const error = reply.status === 200 ? dataLines(reply.body).at(-1) : reply.body
    expect(JSON.parse(error ?? '')).toMatchObject({ error: { code: 'provider_error' } })
    expect(dataLines(reply.body)).not.toContain('[DONE]')
  }
  await idle()
  expect((await world.get('/health')).status).toBe(200)
})

test('sage §21.42: clients that leave free everything they held', async () => {
  const bytes = await start()
  world.fakes.openai.script(
    ...Array.from({ length: STREAMS }, () => ({ text: 'word '.repeat(400), pauseMs: 50 })),
  )
  const running = Array.from({ length: STREAMS }, () => open(bytes))
  await expect.poll(() => world.fakes.openai.inFlight, { timeout: 10_000 }).toBe(STREAMS)
  for (const { socket } of running) socket.destroy()
  await idle()
  const cancelled = (await world.audit()).filter(({ outcome }) => outcome?.code === 'CANCELLED')
  expect(cancelled).toHaveLength(STREAMS)
})

test('sage §21.42: a drain under load tells those who have to go', async () => {
  const bytes = await start()
  world.fakes.openai.script(
    ...Array.from({ length: STREAMS }, (_, at) => ({
      text: 'word '.repeat(at % 2 === 0 ? 4 : 4_000),
      pauseMs: 20,
    })),
  )
  const running = Array.from({ length: STREAMS }, () => open(bytes))
  await expect.poll(() => world.fakes.openai.requests.length, { timeout: 10_000 }).toBe(STREAMS)
  world.draining = true
  const late = await open(bytes).ended
  expect([late.status, JSON.parse(late.body).error.code]).toEqual([503, 'shutting_down'])
  await world.part.drain(3_000)
  const ends = (await Promise.all(running.map(({ ended }) => ended))).map(
    ({ body }) => dataLines(body).at(-1) ?? '',
  )
  const complete = ends.filter((end) => end === '[DONE]')
  const told = ends.filter((end) => end.includes('"shutting_down"'))
  expect(complete.length).toBeGreaterThanOrEqual(STREAMS / 2)
  expect(complete.length + told.length).toBe(STREAMS)
  await expect.poll(() => world.fakes.openai.inFlight, { timeout: 10_000 }).toBe(0)
})

test('memory is flat over thousands of streams', async () => {
  const bytes = await start()
  const round = async (): Promise<void> => {
    for (let batch = 0; batch < 10; batch += 1) {
      const replies = await Promise.all(Array.from({ length: 100 }, () => open(bytes).ended))
      for (const { status } of replies) expect(status).toBe(200)
    }
    world.fakes.openai.requests.length = 0
  }
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const used = async (): Promise<number> => {
    await sleep(200)
    collect()
    return process.memoryUsage().heapUsed
  }
  await round()
  const before = await used()
  await round()
  await round()
  await round()
  const grown = (await used()) - before
  // Buckets, caches and the log's index keep something; a stream that stayed would be far more.
  expect(grown).toBeLessThan(12 * 1_024 * 1_024)
  await idle()
})
