import { expect, test } from 'vitest'
import { event, HELLO, openWorld, PRODUCER } from './collector.test-kit.ts'
import { logEnd, readStoredMarks } from './stored-marks.ts'

test('telemetry §16.19: what was written since the daemon began does not stand before what was there', async () => {
  await using world = await openWorld()
  const flood = async (count: number) => {
    const client = await world.connect()
    client.send(HELLO, ...Array.from({ length: count }, (_, i) => event(i + 1)))
    await expect
      .poll(() => client.answers.findLast(({ type }) => type === 'aot_ack')?.['seq'])
      .toBe(count)
  }
  await flood(5)
  const end = logEnd(world.dir)
  world.peer = { pid: 666, uid: 1_000, gid: 1_000, startTime: '2000', sessionId: 666 }
  await flood(500)
  const first = 1_000_000 // of the daemon's own records: more than there are
  const marks = await readStoredMarks(world.dir, first, end, 20_000)
  expect([...marks.keys()]).toEqual([`4242 2000 ${PRODUCER}`])
  expect(marks.get(`4242 2000 ${PRODUCER}`)?.highest).toBe(5)
  // Without the place only the newest fit, and the others are forgotten.
  const newest = await readStoredMarks(world.dir, first, undefined, 20_000)
  expect([...newest.keys()]).toEqual([`666 2000 ${PRODUCER}`])
})

test('what was the active segment when the daemon began is found under its later name', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  client.send(HELLO, event(1), event(2))
  await expect
    .poll(() => client.answers.findLast(({ type }) => type === 'aot_ack')?.['seq'])
    .toBe(2)
  const end = logEnd(world.dir)
  await world.rotate()
  client.send(event(3))
  await expect
    .poll(() => client.answers.findLast(({ type }) => type === 'aot_ack')?.['seq'])
    .toBe(3)
  const marks = await readStoredMarks(world.dir, 1_000_000, end)
  expect(marks.get(`4242 2000 ${PRODUCER}`)?.highest).toBe(2)
})
