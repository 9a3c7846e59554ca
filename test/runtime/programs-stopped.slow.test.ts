/** Programs whose daemon is stopped while they work. It waits for them first, which takes its time. */
import { expect, test } from 'vitest'
import { WaitingPrograms } from './waiting-programs.ts'

test('runtime §11.7: stopped in good order, a run goes on with the next start', async () => {
  await using at = await WaitingPrograms.start()
  const steady = await at.begin('steady')
  await at.outside.asked('GET /slow-get')
  await at.daemon.stop()
  await at.boot()
  expect(await at.ended('steady', steady)).toMatchObject({ status: 'completed' })
  expect(['GET /a', 'POST /b', 'GET /slow-get'].map(at.outside.count)).toEqual([1, 1, 2])
}, 60_000)
