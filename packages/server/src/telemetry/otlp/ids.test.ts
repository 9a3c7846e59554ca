import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { spanIdOf, traceIdOf } from './ids.ts'

const sha = (text: string) => createHash('sha256').update(text).digest('hex')

test('ids of full length are the W3C ids', () => {
  expect(traceIdOf('tr_6e1f0a9c5b7d43e28f10c2b4d6e8a0f1')).toEqual({
    hex: '6e1f0a9c5b7d43e28f10c2b4d6e8a0f1',
  })
  expect(spanIdOf('sp_2b9d4c7e01f3a586', 'tr_x')).toEqual({ hex: '2b9d4c7e01f3a586' })
})

test.each(['tr_abcd1234', `tr_${'0'.repeat(32)}`, `tr_${'A'.repeat(32)}`])(
  'a trace id such as %s is hashed, and told',
  (id) => {
    expect(traceIdOf(id)).toEqual({ hex: sha(`aotp-trace:${id}`).slice(0, 32), original: id })
  },
)

test('a short span id is told apart by its trace', () => {
  const [one, other] = [spanIdOf('sp_a1', 'tr_1'), spanIdOf('sp_a1', 'tr_2')]
  expect(one.hex).toBe(sha('aotp-span:tr_1:sp_a1').slice(0, 16))
  expect(one.original).toBe('sp_a1')
  expect(other.hex).not.toBe(one.hex)
})

test('no id is none', () => {
  expect(traceIdOf('')).toEqual({ hex: '' })
  expect(spanIdOf('', 'tr_1')).toEqual({ hex: '' })
})
