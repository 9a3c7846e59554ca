import { expect, test } from 'vitest'
import type { StoredNode } from './memory-store.ts'
import { CAPACITY, IDLE_MS, type MemoryNode } from './node.ts'
import { tidying } from './tidying.ts'

const NOW = Date.parse('2031-01-01T12:00:00Z')
let count = 0
const next = (by: number): number => {
  count += by
  return count
}

/** @param direction Of its meaning, in degrees. */
const node = (change: Partial<MemoryNode> = {}, direction = next(7)): StoredNode => ({
  node: {
    id: `mem_${next(1)}`,
    agentId: 'a',
    conversationId: undefined,
    parentId: undefined,
    type: 'fact',
    level: 'long_term',
    content: {},
    metadata: {},
    labels: [],
    importance: 0.5,
    accessCount: 1,
    timestamp: NOW,
    lastAccessed: undefined,
    createdAt: NOW,
    ...change,
  },
  embedded: {
    embedder: 'e',
    vector: Float32Array.of(
      Math.cos((direction * Math.PI) / 180),
      Math.sin((direction * Math.PI) / 180),
    ),
  },
})

test('runtime §14.3: short-term memories of importance above 0.7 become long-term ones', async () => {
  const short = { level: 'short_term' } as const
  const kept = node({ ...short, importance: 0.7 }, 0)
  const promoted = node({ ...short, importance: 0.71 }, 90)
  const done = await tidying([kept, promoted], NOW)
  expect(done.promoted.map(({ id }) => id)).toEqual([promoted.node.id])
  expect(done.gone.size).toBe(0)
})

test('runtime §14.3: short-term memories that nobody looked at for an hour are gone', async () => {
  const old = { level: 'short_term', createdAt: NOW - 2 * IDLE_MS } as const
  const idle = node(old, 0)
  const used = node({ ...old, lastAccessed: NOW - IDLE_MS + 1 }, 90)
  const done = await tidying([idle, used], NOW)
  expect([...done.gone]).toEqual([[idle.node.id, undefined]])
})

test('runtime §14.3: of two that say the same the newer is kept, with what both come to', async () => {
  const newer = node({ importance: 0.2, accessCount: 3 }, 10)
  const older = node({ importance: 0.9, accessCount: 4 }, 11)
  const other = node({}, 60)
  const done = await tidying([newer, older, other], NOW)
  expect([...done.gone]).toEqual([[older.node.id, newer.node.id]])
  expect(done.kept).toMatchObject([{ id: newer.node.id, importance: 0.9, accessCount: 7 }])
  expect(done.merged).toBe(1)
})

test('what differs in labels, kind or conversation is not one, however alike', async () => {
  const all = [
    node({}, 0),
    node({ labels: ['pii'] }, 0),
    node({ type: 'context' }, 0),
    node({ conversationId: 'c' }, 0),
    { ...node({}, 0), embedded: undefined },
  ]
  expect((await tidying(all, NOW)).gone.size).toBe(0)
})

test('runtime §14.3: of too many the least important go, of these the oldest', async () => {
  const many = Array.from({ length: CAPACITY.short_term }, () => node({ level: 'short_term' }, 0))
  for (const [index, one] of many.entries()) Object.assign(one.node, { labels: [`l${index}`] }) // so that none is another's twin
  const minor = node({ level: 'short_term', importance: 0.1, labels: ['x'] }, 0)
  const old = node({ level: 'short_term', timestamp: NOW - 1, labels: ['y'] }, 0)
  const done = await tidying([minor, ...many, old], NOW)
  expect([...done.gone.keys()].sort()).toEqual([minor.node.id, old.node.id].sort())
})
