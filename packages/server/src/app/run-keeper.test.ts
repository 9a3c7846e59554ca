import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RunWorld, START } from '../identity/runs/runs.test-kit.ts'
import { openStore, type Store } from '../store/store.ts'
import { sqliteUrl } from '../store/test-store.ts'
import { homeAt } from './home.ts'
import { runPaths } from './run-files.ts'
import { RunKeeper } from './run-keeper.ts'

let store: Store
const dir = mkdtempSync(join(tmpdir(), 'keeper-'))
const home = homeAt(dir, {})
beforeAll(async () => {
  store = await openStore(await sqliteUrl())
})
afterAll(async () => {
  await store.close()
  rmSync(dir, { recursive: true })
})

test('a node serves so many runs and no more, and keeps so many sockets of closed ones', async () => {
  using world = await RunWorld.open(store)
  const agent = await world.agent()
  const ended: string[] = []
  const keeper = new RunKeeper({
    home,
    runs: world.runs,
    node: 'here',
    sealed: () => false,
    issueTrat: (runId) => world.service.issueFor(runId, 'sidecar'),
    issueSvid: async (run) => world.svids.issue(run.spiffeId, 'x', 600),
    onEnd: ({ id }) => ended.push(id),
    warn: () => undefined,
    now: world.now,
    limits: { open: 2, ended: 1 },
  })
  const socket = (id: string) => existsSync(runPaths(home, id).socket)
  for (const id of ['a', 'b']) await keeper.add(await world.run(agent, { run_id: id }))
  expect(() => keeper.assertRoom('c')).toThrow(expect.objectContaining({ code: 'RATE_LIMITED' }))
  for (const id of ['a', 'b']) keeper.closed((await world.runs.close(id)).value)
  expect(ended).toEqual(['a', 'b'])
  expect([socket('a'), socket('b')]).toEqual([false, true])
  expect(() => keeper.assertRoom('b')).toThrow(expect.objectContaining({ code: 'CONFLICT' }))
  await keeper.add(await world.run(agent, { run_id: 'c' }))
  world.nowMs = START + 90_000_000
  keeper.tick()
  expect([socket('b'), socket('c')]).toEqual([false, false])
  expect(ended).toEqual(['a', 'b', 'c'])
  await keeper.close(100)
})
