import { expect, onTestFinished, test } from 'vitest'
import { FakeProcesses } from './claims.test-kit.ts'
import { StartedProcesses } from './started-processes.ts'

function world() {
  const processes = new FakeProcesses()
  const clock = { ms: 0 }
  const started = new StartedProcesses({ processes, monotonicMs: () => clock.ms })
  onTestFinished(() => started[Symbol.dispose]())
  const lost: [number, number][] = []
  return {
    processes,
    lost,
    started,
    add: (pid: number, starter?: number) =>
      started.add(pid, starter, (ranMs) => void lost.push([pid, ranMs])),
    after: (ms: number) => {
      clock.ms += ms
      started.check()
    },
  }
}

test('a process whose end nobody told is noticed, once, and with the time that it ran', () => {
  const { processes, add, after, lost } = world()
  processes.start(7)
  processes.start(8)
  add(7)
  add(8)
  after(5_000)
  processes.exit(7)
  processes.exit(8, { zombie: true })
  after(1_000)
  after(9_000)
  expect(lost).toEqual([])
  after(1_000)
  after(60_000)
  expect(lost).toEqual([
    [7, 6_000],
    [8, 6_000],
  ])
})

test('another process with its number is not it', () => {
  const { processes, add, after, lost } = world()
  processes.start(7)
  add(7)
  processes.start(7, { startTime: '200' })
  after(1)
  after(10_000)
  expect(lost.map(([pid]) => pid)).toEqual([7])
})

test('a process that was gone before it could be looked at, and its starter with it, is noticed', () => {
  const { processes, add, after, lost } = world()
  processes.start(6)
  add(7, 6)
  after(10_000)
  expect(lost).toEqual([[7, 0]])
})

test('a process whose end was told, or that cannot be seen, is not watched', () => {
  const { processes, started, add, after, lost } = world()
  processes.start(7)
  add(7)
  add(9, 10)
  processes.exit(7)
  after(1)
  started.forget(7)
  after(60_000)
  expect(lost).toEqual([])
})
