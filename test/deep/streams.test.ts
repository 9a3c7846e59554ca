/** Ten thousand streams through egress, ended in every way there is: memory and sockets stay as they were. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test, vi } from 'vitest'
import { openStream } from '../../packages/server/src/egress/stream.ts'
import { startUpstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { createWorld, requestFor } from '../../packages/server/src/egress/testing/world.ts'

const STREAMS = 10_000
const AT_ONCE = 50
const WARM = 2_000
const MIB = 1024 * 1024

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

test('10 000 streams leave nothing behind', async () => {
  const event = `data: ${JSON.stringify({ delta: 'x'.repeat(200) })}\n\n`
  let open = 0
  await using upstream = await startUpstream((_, reply) => {
    open += 1
    reply.once('close', () => {
      open -= 1
    })
    reply.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let n = 0; n < 20; n += 1) reply.write(event)
    setImmediate(() => reply.end('data: [DONE]\n\n'))
  })
  await using world = createWorld()
  const { injection, poolKey, headers, authorize } = requestFor('', { secret: 'sk-0123456789abc' })
  const one = async (n: number) => {
    const stop = new AbortController()
    const stream = await openStream(
      {
        url: `http://api.example.com:${upstream.port}/`,
        headers,
        authorize,
        body: Buffer.from('{}'),
        poolKey: { ...poolKey, connections: AT_ONCE },
        ...(injection !== undefined && { injection }),
        firstByteMs: 60_000,
        idleMs: 60_000,
        totalMs: 600_000,
        maxBytes: MIB,
        signal: stop.signal,
      },
      world.deps,
    )
    if (n % 10 === 0) return stream.close()
    try {
      for await (const chunk of stream.body) {
        if (n % 10 === 1 && chunk.length > 0) break
        if (n % 10 === 2) stop.abort()
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error
    }
  }
  let next = 0
  const upTo = (end: number) =>
    Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (next < end) await one(next++)
      }),
    )
  await upTo(WARM)
  collect()
  const before = process.memoryUsage().heapUsed
  await upTo(STREAMS)
  await vi.waitFor(() => expect(open).toBe(0), 5_000)
  upstream.seen.length = 0
  collect()
  const grownMib = (process.memoryUsage().heapUsed - before) / MIB
  expect(grownMib).toBeLessThan(4)
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length).toBeLessThan(
    AT_ONCE,
  )
})
