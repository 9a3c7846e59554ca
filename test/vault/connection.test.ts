/** Many requests on one connection: each gets its own answer, in whatever order they end. */
import { expect, test } from 'vitest'
import { encode } from '../harness/raw-client.ts'
import { collect, startConnectionWorld } from './connection-world.ts'

test('vault §28.12: 200 concurrent calls, slow and fast, each get their own answer', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  for (const client of [await vestry.agent(world.keys), await world.overTcp()]) {
    const calls = Array.from({ length: 200 }, (_, n) => {
      const id = 1000 + n
      switch (n % 5) {
        case 0:
          return {
            ...world.request(id, `/slow/${50 + (n % 7) * 10}`),
            answer: `/slow/${50 + (n % 7) * 10}`,
          }
        case 1:
          return { ...world.request(id, `/fast/${n}`), answer: `/fast/${n}` }
        case 2:
          return { id, method: 'retrieve', params: { path: 'web/token' }, answer: 'value' }
        case 3:
          return { id, method: 'ping', params: {}, answer: 'pong' }
        default:
          return { id, method: 'retrieve', params: { path: 'no/such' }, answer: 'ACCESS_DENIED' }
      }
    })
    client.write(Buffer.concat(calls.map(({ answer: _, ...message }) => encode(message))))
    const answers = await collect(client, 200)
    for (const { id, answer } of calls) {
      const { result, error } = answers.get(id) ?? {}
      if (answer.startsWith('/')) expect(result).toMatchObject({ body: `answer to ${answer}` })
      else if (answer === 'value')
        expect(result.value).toBe(Buffer.from('tok-0123456789').toString('hex'))
      else if (answer === 'pong') expect(result).toEqual({ pong: true })
      else expect(error.code).toBe(answer)
    }
    expect(client.received).toBe(202) // two of them for the login
    client.destroy()
  }
})

test('a fast call overtakes a slow one; with the same id it waits for its turn', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  const client = await vestry.agent(world.keys)
  client.send(world.request(1, '/slow/300'))
  client.send({ id: 2, method: 'whoami' })
  expect((await client.next())?.id).toBe(2)
  expect((await client.next())?.result.body).toBe('answer to /slow/300')
  client.send(world.request(5, '/slow/200'))
  client.send({ id: 5, method: 'whoami' })
  expect((await client.next())?.result.body).toBe('answer to /slow/200')
  expect((await client.next())?.result.agent).toBe('scout')
})

test('beyond 32 calls in flight the daemon waits with reading, and refuses none', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  const client = await vestry.agent(world.keys)
  const calls = Array.from({ length: 100 }, (_, id) => encode(world.request(id, '/slow/100')))
  client.write(Buffer.concat(calls))
  const answers = await collect(client, 100)
  expect([...answers.values()].every(({ result }) => result?.status === 200)).toBe(true)
})

test('a login in the middle of a pipeline separates what came before from what comes after', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  const client = await vestry.agent(world.keys)
  client.write(
    Buffer.concat([
      encode(world.request(1, '/slow/200')),
      encode({ id: 2, method: 'whoami' }),
      encode({ id: 3, method: 'logout' }),
      encode({ id: 4, method: 'whoami' }),
      encode({ id: 5, method: 'ping' }),
    ]),
  )
  const answers = await collect(client, 5)
  expect(answers.get(1)?.result).toMatchObject({ status: 200 })
  expect(answers.get(2)?.result).toMatchObject({ agent: 'scout' })
  expect(answers.get(3)?.result).toEqual({})
  expect(answers.get(4)?.error.code).toBe('SESSION_EXPIRED')
  expect(answers.get(5)?.result).toEqual({ pong: true })
})

test('a peer that sends, half-closes and reads gets all its answers', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  const client = await vestry.agent(world.keys)
  for (let id = 0; id < 50; id += 1) client.send(world.request(id, '/slow/20'))
  client.end()
  expect((await collect(client, 50)).size).toBe(50)
  expect(await client.next()).toBeUndefined()
})

test('a connection the peer resets takes nobody else along', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  const [rude, polite] = [await world.overTcp(), await world.overTcp()]
  for (let id = 0; id < 20; id += 1) rude.send(world.request(id, '/slow/100'))
  await world.underWay(5)
  rude.socket.resetAndDestroy()
  expect((await polite.call('whoami')).agent).toBe('scout')
  const other = await vestry.agent(world.keys)
  expect((await other.call('whoami')).agent).toBe('scout')
})

test('a peer that never reads is not read from: the daemon makes 8 MiB of answers, no more', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  await vestry.addCredential('web/large', 'x'.repeat(60_000))
  const client = await vestry.agent(world.keys)
  const other = await vestry.agent(world.keys)
  const count = 300 // 36 MB of answers
  const started = () =>
    vestry.auditLines().filter((line) => line.includes('"credential.retrieve"')).length
  client.socket.pause()
  for (let id = 0; id < count; id += 1)
    client.send({ id, method: 'retrieve', params: { path: 'web/large' } })
  let seen = -1
  while (seen < 32 || seen !== started()) {
    seen = started()
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  // Each has an intent and an outcome: 8 MiB queued, 32 that ran by then, and the kernel's buffers.
  expect(seen / 2).toBeLessThan(150)
  expect((await other.call('whoami')).agent).toBe('scout')
  client.socket.resume()
  const answers = await collect(client, count)
  expect([...answers.values()].every(({ result }) => result?.value.length === 120_000)).toBe(true)
  expect(started() / 2).toBe(count)
})

test('vault §28.20: a list too large for a frame loses descriptions and metadata first', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  const metadata = Object.fromEntries(
    Array.from({ length: 60 }, (_, n) => [`key-${n}`, '"\\'.repeat(250)]),
  )
  for (let n = 0; n < 100; n += 1)
    await vestry.addCredential(`web/c${String(n).padStart(3, '0')}`, 'v', { metadata })
  const client = await vestry.agent(world.keys)
  const { credentials, truncated } = await client.call('list')
  expect(truncated).toBe(false)
  expect(credentials).toHaveLength(101)
  expect(credentials[0]).toMatchObject({ path: 'web/c000', metadata: {} })
  expect((await client.call('list', { limit: 3 })).credentials[0].metadata).toEqual(metadata)
})
