import { expect, test } from 'vitest'
import type { ProcessFacts } from './claims/process-table.ts'
import { lineageFacts } from './lineage.ts'

/** pid → its parent and when it began. */
function tableOf(processes: Readonly<Record<number, readonly [parent: number, began: number]>>) {
  let asked = 0
  return {
    asked: () => asked,
    read: (pid: number): ProcessFacts | undefined => {
      asked += 1
      const [parentPid, began] = processes[pid] ?? []
      if (parentPid === undefined) return undefined
      return { pid, parentPid, sessionId: pid, startTime: String(began), ended: false }
    },
  }
}

test('the processes above a peer are named up to the first one, and asked for once', () => {
  const table = tableOf({ 30: [20, 9], 20: [10, 5], 10: [1, 2], 1: [0, 0] })
  const peer = { transport: 'unix', pid: 30 } as const
  expect(lineageFacts(peer, table)).toEqual({ ancestors: [20, 10] })
  const asked = table.asked()
  expect(lineageFacts(peer, table)).toEqual({ ancestors: [20, 10] })
  expect(table.asked()).toBe(asked)
})

test('a number that was used again is no ancestor, and a chain without end is cut', () => {
  expect(
    lineageFacts({ transport: 'unix', pid: 30 }, tableOf({ 30: [20, 9], 20: [10, 11] })),
  ).toEqual({})
  const endless = tableOf(
    Object.fromEntries([...Array(50).keys()].map((n) => [n, [n + 1, 50 - n]])),
  )
  expect(lineageFacts({ transport: 'unix', pid: 3 }, endless).ancestors).toHaveLength(6)
})

test('nothing is said of a peer without a process, or of one that is gone', () => {
  expect(lineageFacts({ transport: 'http' }, tableOf({}))).toEqual({})
  expect(lineageFacts({ transport: 'unix', pid: 30 }, tableOf({}))).toEqual({})
})
