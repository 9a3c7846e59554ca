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
  expect(breakers.state('http_fetch', 61_501)).toBe('closed')
})

test('hosts are remembered in bounded numbers: closed ones go first, then the one asked longest ago', () => {
  const breakers = newBreakers()
  const open = (host: string) => {
    failTwice(breakers, 'http_fetch', host)
    return () => breakers.breaker('http_fetch', host, 0).state(0)
  }
  const dead = open('dead:443')
  for (let count = 0; count < 1_500; count += 1) breakers.breaker('http_fetch', `h${count}:443`, 0)
  expect(dead()).toBe('open')
  const states = Array.from({ length: 1_001 }, (_, count) => open(`dead${count}:443`))
  expect(states.at(-1)?.()).toBe('open')
  expect(dead()).toBe('closed')
})

test('a call that takes long still counts when it ends', () => {
  const breakers = newBreakers()
  const passes = [0, 1].map(() => breakers.breaker('http_fetch', 'slow:443', 0).enter(0))
  expect(breakers.state('http_fetch', 30_000)).toBe('closed')
  for (const pass of passes) pass.failed(30_000)
  expect(breakers.state('http_fetch', 30_001)).toBe('open')
})
