import { expect, test } from 'vitest'
import { MAX_OPEN_RUNS, OpenRuns } from './open-runs.ts'
import { RecentIds } from './recent-ids.ts'

test('open runs are bounded: the longest unused one makes room and is abandoned', () => {
  const abandoned: string[] = []
  const runs = new OpenRuns<string>((_run, id) => abandoned.push(id), 3)
  for (const id of ['a', 'b', 'c']) runs.set(id, `run ${id}`)
  expect(runs.get('a')).toBe('run a')
  runs.set('d', 'run d')
  expect(abandoned).toEqual(['b'])
  expect(runs.evicted).toBe(1)
  expect(runs.take('c')).toBe('run c')
  expect(runs.get('c')).toBeUndefined()
  expect(runs.drain()).toEqual(['run d', 'run a'])
  expect(runs.size).toBe(0)
})

test('ten thousand runs may be open by default', () => {
  let abandoned = 0
  const runs = new OpenRuns<number>(() => {
    abandoned += 1
  })
  for (let run = 0; run < MAX_OPEN_RUNS + 5; run += 1) runs.set(`run-${run}`, run)
  expect(MAX_OPEN_RUNS).toBe(10_000)
  expect(runs.size).toBe(MAX_OPEN_RUNS)
  expect(abandoned).toBe(5)
})

test('ids met lately are bounded as well', () => {
  const ids = new RecentIds(2)
  expect([ids.add('a'), ids.add('a'), ids.add('b'), ids.add('c')]).toEqual([
    true,
    false,
    true,
    true,
  ])
  expect([ids.has('a'), ids.has('b'), ids.has('c')]).toEqual([false, true, true])
})
