import { format, inspect } from 'node:util'
import { expect, test } from 'vitest'
import { randomUnpooled, Secret } from './secret.ts'

test('a secret prints as [secret] in every form', () => {
  using secret = Secret.copy(Buffer.from('hunter2'))
  expect(String(secret)).toBe('[secret]')
  expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}')
  expect(inspect({ secret })).toBe('{ secret: [secret] }')
  expect(format('%s %o %j', secret, secret, secret)).not.toMatch(/hunter2|104/)
  const raw = inspect(secret, { customInspect: false, showHidden: true, depth: 9 })
  expect(raw).not.toMatch(/hunter2|104/)
  expect(inspect(new Error('x', { cause: secret }))).not.toMatch(/hunter2|104/)
  expect(JSON.stringify(structuredClone(Object(secret)))).toBe('{}')
})

test('disposing overwrites the bytes, and reading afterwards throws', () => {
  const bytes = randomUnpooled(32)
  const secret = Secret.own(bytes)
  secret[Symbol.dispose]()
  expect(bytes).toEqual(new Uint8Array(32))
  expect(() => secret.bytes).toThrow(expect.objectContaining({ code: 'INTERNAL_ERROR' }))
  expect(() => secret.length).toThrow()
  secret[Symbol.dispose]()
})

test('secrets never share memory with anything else', () => {
  const source = Buffer.from('hunter2') // from the shared pool
  for (const secret of [Secret.copy(source), Secret.random(7)])
    expect(secret.bytes.buffer.byteLength).toBe(7)
})
