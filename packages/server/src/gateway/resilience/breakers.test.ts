import { expect, test } from 'vitest'
import { Breakers } from './breakers.ts'

test('one tool that fails does not stop another', () => {
  const breakers = new Breakers({ threshold: 2, windowMs: 1_000, openMs: 500, concurrency: 1 })
  for (let count = 0; count < 2; count += 1) breakers.of('crm').breaker.enter(0).failed(0)
  expect(breakers.state('crm', 0)).toBe('open')
  expect(breakers.state('mail', 0)).toBe('closed')
  expect(() => breakers.of('crm').breaker.enter(0)).toThrow()
  using _pass = breakers.of('mail').breaker.enter(0)
  expect(breakers.of('crm')).toBe(breakers.of('crm'))
  expect(breakers.state('crm', 500)).toBe('half_open')
})
