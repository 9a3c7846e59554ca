/**
 * Hundreds of thousands of damaged lines against the queue socket of a real daemon, with good events between them.
 * Every good event must be stored, once; nothing may crash, hang or grow.
 */
import { createConnection, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { readLog } from '../../packages/server/src/audit/query.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { envelope, numbered } from '../telemetry/queue-client.ts'
import { Dice, mutate } from './frame-mutator.ts'

/** In each of two rounds: what the first one leaves in memory, the second one must not double. */
const LINES = 150_000
const SEED = 20_260_502
const LANES = 6
const PER_BATCH = 200
/** Connections end in the middle of it all, too. */
const BATCHES_PER_CONNECTION = 40
const PATIENCE_MS = 60_000
const GROWTH_BYTES = 48 * 1024 * 1024

const CORPUS = [
  envelope(),
  numbered(7, 'p_corpus'),
  envelope({ kind: 'agent.memory.upsert', capture: { mode: 'raw' } }),
  envelope({ envpod: { pid: 1, claim_kind: 'claimed' }, subject: { agent_id: 'x' } }),
  envelope({ payload: { fn: 'f', preview: { args: [[[[{ a: [1, { b: 'c' }] }]]]], kwargs: {} } } }),
  { type: 'aot_hello', spec: 'aotp/0.1', producer: 'p_other', ack: true },
  { type: 'aot_flush', id: 3 },
  { type: 'list_actions' },
  { type: 'poll', id: '0123456789' },
  { type: 'submit', description: 'x', tier: 'staged' },
  { type: 'call', action: 'serpapi:search', params: { q: 'é😀' } },
].map((line) => Buffer.from(JSON.stringify(line)))

test('random bytes do not end the daemon, and lose no line that is good', async () => {
  await using vestry = await startTestDaemon({
    config: { telemetry: { lines_per_second: 1_000_000, lines_burst: 1_000_000 } },
  })
  const dice = new Dice(SEED)
  let good = 0
  const lane = async (number: number): Promise<void> => {
    let seq = 0
    for (let sent = 0; sent < LINES / LANES; ) {
      const socket = await connected(vestry)
      for (let batch = 0; batch < BATCHES_PER_CONNECTION && sent < LINES / LANES; batch += 1) {
        const parts: Buffer[] = []
        for (let i = 0; i < PER_BATCH; i += 1) {
          if (i % 20 === 0) {
            seq += 1
            good += 1
            parts.push(Buffer.from(JSON.stringify(numbered(seq, `p_lane${number}`))))
          } else parts.push(mutate(dice, CORPUS))
          parts.push(NEWLINE)
          sent += 1
        }
        await written(socket, Buffer.concat(parts))
      }
      // Sometimes in the middle of a line, and never after reading what was said.
      await written(socket, Buffer.from('{"spec":"aotp/0.1","ki'))
      socket.resume()
      socket.end()
      await new Promise((resolve) => socket.once('close', resolve))
    }
  }
  const levels: number[] = []
  for (const round of [0, 1]) {
    await Promise.all(Array.from({ length: LANES }, (_, number) => lane(round * LANES + number)))
    levels.push(await heldBytes())
  }
  const [first = 0, second = 0] = levels
  expect(second - first).toBeLessThan(GROWTH_BYTES)

  const seen = new Map<string, number>()
  for await (const { record } of readLog(vestry.home.audit)) {
    const { id, seq } = Object(record.event?.['producer'])
    if (String(id).startsWith('p_lane'))
      seen.set(`${id} ${seq}`, (seen.get(`${id} ${seq}`) ?? 0) + 1)
  }
  expect(seen.size).toBe(good)
  expect([...seen.values()].every((times) => times === 1)).toBe(true)
  expect(await (await fetch(`${vestry.daemon.ready.http}/health`)).json()).toMatchObject({
    ok: true,
  })
})

/** What is still reachable once the daemon has come to rest. */
async function heldBytes(): Promise<number> {
  await delay(3_000)
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const NEWLINE = Buffer.from('\n')

async function connected(vestry: TestDaemon): Promise<Socket> {
  const socket = createConnection(vestry.daemon.ready.queue_socket ?? '')
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return socket.on('error', () => undefined).resume()
}

/** Resolves when there is room for more. */
function written(socket: Socket, bytes: Buffer): Promise<void> {
  if (socket.write(bytes)) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the socket is not read')), PATIENCE_MS)
    socket.once('drain', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
