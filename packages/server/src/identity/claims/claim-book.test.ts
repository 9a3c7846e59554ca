import { describe, expect, test } from 'vitest'
import { ClaimBook, type ClaimEnd } from './claim-book.ts'
import { claimOf, FakeClock, FakeProcesses } from './claims.test-kit.ts'
import type { ProcessPeer } from './resolution.ts'

function world() {
  const processes = new FakeProcesses()
  const clock = new FakeClock()
  const ended: [string, ClaimEnd][] = []
  const book = new ClaimBook({
    processes,
    clock,
    onEnd: ({ id }, reason) => ended.push([id, reason]),
  })
  /** Who the peer is: the agent's name, `anonymous` or `stale`. */
  const who = (peer: ProcessPeer): string => {
    const found = book.resolve(peer)
    if (found.kind === 'claimed') return found.claim.agentName
    return found.stale ? 'stale' : 'anonymous'
  }
  return { processes, clock, book, who, ended }
}

const ANONYMOUS = 'anonymous'

describe('telemetry §16.27: a claim', () => {
  test('counts from the next line on, and no longer than it was granted', () => {
    const { processes, clock, book, who, ended } = world()
    const peer = processes.start(7)
    expect(who(peer)).toBe(ANONYMOUS)
    book.add(claimOf(peer, clock, { expiresAtMs: clock.now() + 1_000 }))
    expect(who(peer)).toBe('reviewer')
    clock.pass(999)
    expect(who(peer)).toBe('reviewer')
    clock.pass(1)
    expect(who(peer)).toBe(ANONYMOUS)
    expect(ended).toEqual([[`jti_7_100`, 'expire']])
  })

  test('is not prolonged by a clock that is set back', () => {
    const { processes, clock, book, who } = world()
    const peer = processes.start(7)
    book.add(claimOf(peer, clock, { expiresAtMs: clock.now() + 1_000 }))
    clock.setBack(3_600_000)
    clock.pass(1_000)
    expect(who(peer)).toBe(ANONYMOUS)
  })

  test('is over with the line after its release, and renewing what is over gives nothing back', () => {
    const { processes, clock, book, who, ended } = world()
    const peer = processes.start(7)
    const claim = claimOf(peer, clock)
    book.add(claim)
    expect(who(peer)).toBe('reviewer')
    expect(book.end(claim.id, 'release')).toEqual(claim)
    expect(who(peer)).toBe(ANONYMOUS)
    expect(book.end(claim.id, 'release')).toBeUndefined()
    expect(book.renew(claim.id, clock.now() + 9_000)).toBeUndefined()
    expect(ended).toEqual([[claim.id, 'release']])
  })

  test('lasts longer once it is renewed', () => {
    const { processes, clock, book, who } = world()
    const peer = processes.start(7)
    const claim = claimOf(peer, clock, { expiresAtMs: clock.now() + 1_000 })
    book.add(claim)
    clock.pass(900)
    expect(book.renew(claim.id, clock.now() + 1_000)?.expiresAtMs).toBe(clock.now() + 1_000)
    clock.pass(999)
    expect(who(peer)).toBe('reviewer')
    clock.pass(1)
    expect(who(peer)).toBe(ANONYMOUS)
  })

  test('ends when its process does, whether or not anybody asks, and also while nobody has reaped it', () => {
    for (const zombie of [true, false]) {
      const { processes, clock, book, ended } = world()
      book.add(claimOf(processes.start(7), clock))
      book.check()
      expect(book.size).toBe(1)
      processes.exit(7, { zombie })
      book.check()
      expect([book.size, ended]).toEqual([0, [['jti_7_100', 'exit']]])
    }
  })

  test('of the same process takes the place of the one before', () => {
    const { processes, clock, book, who, ended } = world()
    const peer = processes.start(7)
    book.add(claimOf(peer, clock, { id: 'jti_1' }))
    book.add(claimOf(peer, clock, { id: 'jti_2', agentName: 'committer' }))
    expect(who(peer)).toBe('committer')
    expect([book.size, ended]).toEqual([1, [['jti_1', 'replaced']]])
  })
})

describe('telemetry §16.28: not a claim', () => {
  test('of the process that gets the number later', () => {
    const { processes, clock, book, who, ended } = world()
    const first = processes.start(7)
    book.add(claimOf(first, clock))
    expect(who(first)).toBe('reviewer')
    const second = processes.start(7, { startTime: '200' })
    expect(who(second)).toBe(ANONYMOUS)
    clock.pass(10)
    expect(who(first)).toBe('stale')
    expect(ended).toEqual([['jti_7_100', 'exit']])
    // It does not come back either.
    processes.start(7, { startTime: '100' })
    expect(who(first)).toBe('stale')
  })

  test('of a connection whose process had ended before it was looked at', () => {
    const { processes, who } = world()
    const peer = { ...processes.start(7), startTime: '' }
    expect(who(peer)).toBe('stale')
  })

  test('of a child, unless it was made for the whole tree', () => {
    for (const scope of ['process', 'tree'] as const) {
      const { processes, clock, book, who } = world()
      const parent = processes.start(7)
      const child = processes.start(8, { parentPid: 7, startTime: '110' })
      const grandchild = processes.start(9, { parentPid: 8, startTime: '110' })
      book.add(claimOf(parent, clock, { scope }))
      const expected = scope === 'tree' ? 'reviewer' : ANONYMOUS
      expect([child, grandchild].map(who)).toEqual([expected, expected])
    }
  })

  test('of a child of another user', () => {
    const { processes, clock, book, who } = world()
    book.add(claimOf(processes.start(7), clock, { scope: 'tree' }))
    expect(who(processes.start(8, { parentPid: 7, startTime: '110', uid: 2000 }))).toBe(ANONYMOUS)
  })

  test('of a child whose parent has only the number of the holder', () => {
    const { processes, clock, book, who } = world()
    const holder = processes.start(7, { startTime: '100' })
    book.add(claimOf(holder, clock, { scope: 'tree' }))
    const child = processes.start(8, { parentPid: 7, startTime: '110' })
    processes.start(7, { startTime: '120' })
    expect(who(child)).toBe(ANONYMOUS)
  })

  test('of what lost the way up to the holder', () => {
    const { processes, clock, book, who } = world()
    book.add(claimOf(processes.start(7), clock, { scope: 'tree' }))
    processes.start(8, { parentPid: 7, startTime: '110' })
    const peer = processes.start(9, { parentPid: 8, startTime: '120' })
    expect(who(peer)).toBe('reviewer')
    processes.exit(8)
    processes.start(9, { parentPid: 1, startTime: '120' })
    clock.pass(100)
    expect(who(peer)).toBe(ANONYMOUS)
  })

  test('of a descendant further down than sixteen', () => {
    const { processes, clock, book, who } = world()
    const chain = Array.from({ length: 18 }, (_, index) =>
      processes.start(10 + index, { parentPid: 9 + index, startTime: String(100 + index) }),
    )
    const [holder] = chain as [ProcessPeer]
    book.add(claimOf(holder, clock, { scope: 'tree' }))
    expect(who(chain[16] as ProcessPeer)).toBe('reviewer')
    expect(who(chain[17] as ProcessPeer)).toBe(ANONYMOUS)
  })

  test('inherited any more when the holder is gone', () => {
    const { processes, clock, book, who } = world()
    book.add(claimOf(processes.start(7), clock, { scope: 'tree' }))
    const child = processes.start(8, { parentPid: 7, startTime: '110' })
    expect(who(child)).toBe('reviewer')
    processes.exit(7)
    clock.pass(6)
    expect(who(child)).toBe(ANONYMOUS)
  })
})

test('a process’s own claim comes before one that it inherits', () => {
  const { processes, clock, book, who } = world()
  book.add(claimOf(processes.start(7), clock, { scope: 'tree', agentName: 'lead' }))
  const child = processes.start(8, { parentPid: 7, startTime: '110' })
  book.add(claimOf(child, clock))
  expect(who(child)).toBe('reviewer')
})

test('lines that come together cost one look at the process', () => {
  const { processes, clock, book, who } = world()
  const peer = processes.start(7)
  book.add(claimOf(peer, clock))
  const other = processes.start(8)
  for (let line = 0; line < 1_000; line += 1) expect(who(peer) + who(other)).not.toBe('')
  expect(processes.reads).toBe(2)
  clock.pass(5)
  for (let line = 0; line < 1_000; line += 1) expect(who(peer) + who(other)).not.toBe('')
  expect(processes.reads).toBe(4)
})

test('claims of an agent are counted after a look at their processes', () => {
  const { processes, clock, book } = world()
  book.add(claimOf(processes.start(7), clock))
  book.add(claimOf(processes.start(8), clock))
  processes.exit(7)
  expect(book.ofAgent('a').map(({ pid }) => pid)).toEqual([8])
  expect(book.ofAgent('b')).toEqual([])
})

test('while nothing can be looked at, nobody is anybody, and no claim is over for it', () => {
  const { processes, clock, book, who, ended } = world()
  const peer = processes.start(7)
  book.add(claimOf(peer, clock))
  expect(who(peer)).toBe('reviewer')
  processes.exhausted = true
  clock.pass(50)
  book.check()
  expect(who(peer)).toBe(ANONYMOUS)
  processes.exhausted = false
  clock.pass(50)
  book.check()
  expect(who(peer)).toBe('reviewer')
  expect(ended).toEqual([])
})
