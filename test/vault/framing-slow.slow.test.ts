/** Peers that take their time, on the daemon's own clock: ten real seconds, all of them at once. */
import { expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { RawClient } from '../harness/raw-client.ts'

test('vault §28.17: slow headers, slow bodies and silent strangers end in ten seconds, idle agents stay', async () => {
  await using vestry = await startTestDaemon()
  const scout = await vestry.addAgent('scout')
  const [header, body, idle] = await Promise.all([1, 2, 3].map(() => vestry.agent(scout)))
  const stranger = await RawClient.connect({ path: vestry.home.vaultSocket })
  const started = performance.now()
  const ended = async (client: RawClient | undefined) => {
    expect(await client?.next(14_000)).toBeUndefined()
    return performance.now() - started
  }
  header?.write(Buffer.from([0, 0, 0]))
  body?.write(Buffer.from([0, 0, 0, 9, 0x7b]))
  stranger.send({ id: 1, method: 'ping' })
  expect(await stranger.next()).toEqual({ id: 1, result: { pong: true } })
  for (const lasted of await Promise.all([header, body, stranger].map(ended))) {
    expect(lasted).toBeGreaterThan(9_000)
  }
  // The FIN came first: what the slow ones still write meets nobody, but no reset either.
  header?.write(Buffer.from([9]))
  expect(await idle?.call('ping')).toEqual({ pong: true })
  for (const client of [header, body, idle, stranger]) client?.destroy()
})
