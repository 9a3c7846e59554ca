import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RunWorld, START } from '../identity/runs/runs.test-kit.ts'
import { openStore, type Store } from '../store/store.ts'
import { sqliteUrl } from '../store/test-store.ts'
import { homeAt } from './home.ts'
import { replaceFile, runPaths } from './run-files.ts'
import { RunKeeper, type RunKeeperDeps } from './run-keeper.ts'

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

function keeperOf(world: RunWorld, more: Partial<RunKeeperDeps> = {}): RunKeeper {
  return new RunKeeper({
    home,
    runs: world.runs,
    node: 'here',
    sealed: () => false,
    issueTrat: (runId) => world.service.issueFor(runId, 'sidecar'),
    issueSvid: async (run) => world.svids.issue(run.spiffeId, 'x', 600),
    onEnd: () => undefined,
    warn: () => undefined,
    now: world.now,
    ...more,
  })
}

test('a run that a crash left half made has its directories, files and socket after the start', async () => {
  using world = await RunWorld.open(store)
  // Killed right after its row was written.
  const run = await world.run(await world.agent('crashed'), { run_id: 'half' })
  const keeper = keeperOf(world)
  await keeper.open()
  const { work, output, socket, trat } = runPaths(home, run.id)
  for (const path of [work, output, socket]) expect(existsSync(path), path).toBe(true)
  await expect.poll(() => existsSync(trat)).toBe(true)
  keeper.closed((await world.runs.close(run.id)).value)
  await keeper.close(100)
})

test('what was being signed while the keys were exchanged is not written', async () => {
  using world = await RunWorld.open(store)
  const gate = Promise.withResolvers<void>()
  let signing = 0
  const keeper = keeperOf(world, {
    issueSvid: async (run) => {
      signing += 1
      const issued = world.svids.issue(run.spiffeId, 'x', 600)
      if (signing === 2) await gate.promise // its record takes a while
      return issued
    },
  })
  const run = await world.run(await world.agent('rotated'), { run_id: 'rotated' })
  await keeper.add(run)
  world.nowMs += 400_000
  keeper.tick()
  expect(signing).toBe(2)
  await world.keys.rotate({ immediately: true })
  const renewed = keeper.renewAll()
  gate.resolve()
  await renewed
  const svid = readFileSync(runPaths(home, run.id).svid, 'utf8')
  expect((await world.svids.verify(svid, 'x')).spiffeId).toBe(run.spiffeId)
  keeper.closed((await world.runs.close(run.id)).value)
  await keeper.close(100)
})

test('a link where a token is about to be written leads nowhere', () => {
  const victim = join(dir, 'victim')
  writeFileSync(victim, 'untouched')
  const { svid } = runPaths(home, 'planted')
  mkdirSync(join(home.runs, 'planted'), { recursive: true })
  symlinkSync(victim, `${svid}.next`)
  replaceFile(svid, 'token')
  expect(readFileSync(victim, 'utf8')).toBe('untouched')
  expect(lstatSync(svid).isFile()).toBe(true)
  expect([readFileSync(svid, 'utf8'), lstatSync(svid).mode & 0o777]).toEqual(['token', 0o600])
})

test('a node serves so many runs and no more, and keeps so many sockets of closed ones', async () => {
  using world = await RunWorld.open(store)
  const agent = await world.agent()
  const ended: string[] = []
  const keeper = keeperOf(world, {
    onEnd: ({ id }) => ended.push(id),
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
