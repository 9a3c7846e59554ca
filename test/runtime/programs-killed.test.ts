/** Programs whose daemon is killed while they work: what was done is not done again. */
import { expect, test } from 'vitest'
import { WaitingPrograms } from './waiting-programs.ts'

test('runtime §11.7: killed amid effects, a run goes on behind those that are finished, and one whose outcome nobody knows ends it', async () => {
  await using at = await WaitingPrograms.start()
  const steady = await at.begin('steady')
  const risky = await at.begin('risky')
  const timed = await at.begin('timed')
  await at.outside.asked('GET /slow-get')
  await at.outside.asked('POST /slow-post')
  await at.outside.asked('GET /slow-timed')
  const before = await at.node.ask('GET', `agents/timed/executions/${timed}`)
  await at.daemon.kill()
  await at.boot()
  const end = await at.ended('steady', steady)
  expect(end, JSON.stringify(end)).toMatchObject({ status: 'completed', log: ['info: over it'] })
  expect(end.result.output).toBe(at.outside.seen.find(({ path }) => path === 'POST /b')?.body)
  expect(['GET /a', 'POST /b', 'GET /slow-get'].map(at.outside.count)).toEqual([1, 1, 2])
  // No "try" of the program comes between: who does not know what was done must not go on.
  expect(await at.ended('risky', risky)).toMatchObject({
    status: 'failed',
    error: { code: 'OUTCOME_UNKNOWN' },
    log: [],
  })
  expect(['POST /slow-post', 'POST /after'].map(at.outside.count)).toEqual([1, 0])
  const late = await at.ended('timed', timed)
  expect([late.status, late.started_at], JSON.stringify(late)).toEqual([
    'timeout',
    before.json.started_at,
  ])
}, 60_000)
