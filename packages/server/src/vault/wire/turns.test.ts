import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Turn, Turns } from './turns.ts'

interface Named extends Turn {
  name: string
}

function setUp() {
  const started: string[] = []
  const turns = new Turns<Named>(({ name }) => started.push(name))
  const enter = (name: string, id: number | string, barrier = false): Named => {
    const turn = { name, id, barrier }
    turns.enter(turn)
    return turn
  }
  return { started, turns, enter }
}

test('different ids start at once, equal ids one after the other', () => {
  const { started, turns, enter } = setUp()
  const a = enter('a', 1)
  enter('b', 2)
  const c = enter('c', 1)
  enter('d', 1)
  enter('e', '1')
  expect(started).toEqual(['a', 'b', 'e'])
  turns.leave(a)
  expect(started).toEqual(['a', 'b', 'e', 'c'])
  turns.leave(c)
  expect(started).toEqual(['a', 'b', 'e', 'c', 'd'])
  expect(turns.size).toBe(3)
})

test('a barrier starts once everything before it has started, and holds until it leaves', () => {
  const { started, turns, enter } = setUp()
  const a = enter('a', 1)
  const b = enter('b', 1)
  const login = enter('login', 2, true)
  expect(started).toEqual(['a'])
  expect(turns.held).toBe(true)
  turns.leave(a)
  expect(started).toEqual(['a', 'b', 'login'])
  expect(turns.held).toBe(true)
  turns.leave(login)
  expect(turns.held).toBe(false)
  turns.leave(b)
  expect(turns.size).toBe(0)
})

test('a barrier with the id of a running request waits for that one', () => {
  const { started, turns, enter } = setUp()
  const a = enter('a', 1)
  enter('login', 1, true)
  expect(started).toEqual(['a'])
  turns.leave(a)
  expect(started).toEqual(['a', 'login'])
})

test('one that leaves before its turn never starts, and frees nobody early', () => {
  const { started, turns, enter } = setUp()
  const a = enter('a', 1)
  const b = enter('b', 1)
  enter('c', 1)
  turns.leave(b)
  enter('d', 1)
  expect(started).toEqual(['a'])
  turns.leave(a)
  expect(started).toEqual(['a', 'c'])
})

test('leaving backwards empties it without starting anything', () => {
  const { started, turns, enter } = setUp()
  for (const name of ['a', 'b', 'c']) enter(name, 1)
  enter('login', 1, true)
  for (const turn of [...turns.all()].reverse()) turns.leave(turn)
  expect(started).toEqual(['a'])
  expect(turns.size).toBe(0)
  expect(turns.held).toBe(false)
  enter('later', 1)
  expect(started).toEqual(['a', 'later'])
})

test('whatever comes and goes, each starts once, equal ids never overlap, and none is forgotten', () => {
  void fc.assert(
    fc.property(
      fc.array(fc.record({ id: fc.nat(3), barrier: fc.boolean(), leave: fc.nat(9) }), {
        maxLength: 60,
      }),
      (steps) => {
        const running = new Map<number, Named>()
        const started: Named[] = []
        const turns = new Turns<Named>((turn) => {
          expect([...running.values()].some(({ id }) => id === turn.id)).toBe(false)
          expect(started).not.toContain(turn)
          started.push(turn)
          running.set(started.length, turn)
        })
        const entered: Named[] = []
        const leaveSome = (pick: number) => {
          const [key, turn] = [...running][pick % Math.max(1, running.size)] ?? []
          if (key === undefined || turn === undefined) return
          running.delete(key)
          turns.leave(turn)
        }
        for (const [n, { id, barrier, leave }] of steps.entries()) {
          if (!turns.held) {
            const turn = { name: String(n), id, barrier }
            entered.push(turn)
            turns.enter(turn)
            if (barrier && started.includes(turn)) expect(started.length).toBe(entered.length) // everything before it has started
          }
          if (leave < 5) leaveSome(leave)
        }
        for (let n = 0; n < 200 && turns.size > 0; n += 1) leaveSome(n)
        expect(turns.size).toBe(0)
        expect(new Set(started)).toEqual(new Set(entered))
      },
    ),
  )
})
