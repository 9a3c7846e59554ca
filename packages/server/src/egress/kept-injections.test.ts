import { expect, test } from 'vitest'
import { Secret } from '../seal/secret.ts'
import { buildInjection, type Injection } from './injection.ts'
import { KeptInjections } from './kept-injections.ts'

function injection(): Injection {
  using secret = Secret.copy(Buffer.from('sk-0123456789abcdef'))
  return buildInjection({ headerType: 'bearer' }, secret)
}

/** Reading a wiped secret throws. */
const isWiped = ({ value }: Injection): boolean => {
  try {
    return value.bytes.length < 0
  } catch {
    return true
  }
}

test('what is used again within a second is the same, what rests for one is wiped', () => {
  let nowMs = 0
  const kept = new KeptInjections(() => nowMs)
  const made = injection()
  kept.keep('a', made)[Symbol.dispose]()
  nowMs = 900
  kept.borrow('a')?.[Symbol.dispose]()
  nowMs = 1_800
  kept.sweep()
  expect(isWiped(made)).toBe(false)
  nowMs = 1_901
  kept.sweep()
  expect(isWiped(made)).toBe(true)
  expect(kept.borrow('a')).toBeUndefined()
  expect(kept.size).toBe(0)
})

test('sealing wipes at once, but never under an exchange that still sends', () => {
  const kept = new KeptInjections()
  const [idle, busy] = [injection(), injection()]
  kept.keep('idle', idle)[Symbol.dispose]()
  const borrowed = kept.keep('busy', busy)
  kept.drop()
  expect([isWiped(idle), isWiped(busy)]).toEqual([true, false])
  expect(kept.borrow('busy')).toBeUndefined()
  borrowed[Symbol.dispose]()
  borrowed[Symbol.dispose]() // once more does nothing
  expect(isWiped(busy)).toBe(true)
})

test('a second one under the same key replaces the first for those who come later', () => {
  const kept = new KeptInjections()
  const [first, second] = [injection(), injection()]
  const early = kept.keep('a', first)
  const late = kept.keep('a', second)
  expect(kept.borrow('a')?.injection).toBe(second)
  early[Symbol.dispose]()
  late[Symbol.dispose]()
  expect([isWiped(first), isWiped(second)]).toEqual([true, false])
  kept.drop()
})

test('one that is in use is not wiped, however long it takes', () => {
  let nowMs = 0
  const kept = new KeptInjections(() => nowMs)
  const made = injection()
  using _borrowed = kept.keep('slow', made)
  nowMs = 60_000
  kept.sweep()
  expect(isWiped(made)).toBe(false)
})

test('what was made of a secret from before a drop serves one exchange, and is wiped with it', () => {
  const kept = new KeptInjections()
  const { drops } = kept
  kept.drop()
  const late = injection()
  const borrowed = kept.keep('a', late, drops)
  expect(kept.borrow('a')).toBeUndefined()
  expect(isWiped(late)).toBe(false)
  borrowed[Symbol.dispose]()
  expect(isWiped(late)).toBe(true)
})
