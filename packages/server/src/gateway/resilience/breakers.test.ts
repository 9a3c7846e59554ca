import { expect, test } from 'vitest'
import { Breakers } from './breakers.ts'

const newBreakers = () =>
  new Breakers({ threshold: 2, windowMs: 1_000, openMs: 500, concurrency: 1 })

function failTwice(breakers: Breakers, tool: string, host: string | undefined): void {
  for (let count = 0; count < 2; count += 1) breakers.breaker(tool, host, 0).enter(0).failed(0)
}

test('one tool that fails does not stop another', () => {
  const breakers = newBreakers()
  failTwice(breakers, 'crm', undefined)
  expect(breakers.state('crm', 0)).toBe('open')
  expect(breakers.state('mail', 0)).toBe('closed')
  expect(() => breakers.breaker('crm', undefined, 0).enter(0)).toThrow('Tool "crm"')
  using _pass = breakers.breaker('mail', undefined, 0).enter(0)
  expect(breakers.bulkhead('crm')).toBe(breakers.bulkhead('crm'))
  expect(breakers.state('crm', 500)).toBe('half_open')
})

test('one host that fails does not stop another one of the same tool', () => {
  const breakers = newBreakers()
  failTwice(breakers, 'http_fetch', 'dead.example:443')
  expect(() => breakers.breaker('http_fetch', 'dead.example:443', 0).enter(0)).toThrow(
    'Host "dead.example:443" has failed too often',
  )
  using _pass = breakers.breaker('http_fetch', 'fine.example:443', 0).enter(0)
  expect(breakers.state('http_fetch', 0)).toBe('open')
  expect(breakers.state('http_fetch', 500)).toBe('half_open')
  expect(breakers.state('http_fetch', 1_001)).toBe('closed')
})

test('hosts are remembered in bounded numbers, the one asked longest ago goes first', () => {
  const breakers = newBreakers()
  failTwice(breakers, 'http_fetch', 'kept:443')
  failTwice(breakers, 'http_fetch', 'oldest:443')
  for (let count = 0; count < 500; count += 1) breakers.breaker('http_fetch', `h${count}:443`, 0)
  breakers.breaker('http_fetch', 'kept:443', 0)
  for (let count = 500; count < 999; count += 1) breakers.breaker('http_fetch', `h${count}:443`, 0)
  expect(breakers.breaker('http_fetch', 'kept:443', 0).state(0)).toBe('open')
  expect(breakers.breaker('http_fetch', 'oldest:443', 0).state(0)).toBe('closed')
})
