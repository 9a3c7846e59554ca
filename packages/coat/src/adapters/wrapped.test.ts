import { expect, test } from 'vitest'
import { wrapped } from './wrapped.ts'

class Query {
  readonly #secret = 7
  label = 'first'
  interrupt(): string {
    return `${this.label} ${this.#secret}`
  }
  next(): string {
    return 'original'
  }
}

test('an object keeps its private members, its identity of methods, and whatever its owner puts into it', () => {
  const query = new Query()
  const made = wrapped(query, new Map([['next', () => 'observed']]))
  expect(made).toBeInstanceOf(Query)
  expect(made.interrupt()).toBe('first 7')
  expect(made.interrupt).toBe(made.interrupt)
  made.label = 'second'
  expect(query.interrupt()).toBe('second 7')
  expect(made.next()).toBe('observed')
  // As tests and other instrumentations do.
  made.interrupt = () => 'replaced'
  expect(made.interrupt()).toBe('replaced')
  expect(made.next).toBe(made.next)
})
