import { expect, test } from 'vitest'
import { rotationHeaders } from './rotation.ts'

const EXPIRES = Date.parse('2030-01-01T00:10:00Z')
const SAID = {
  'X-Token-Rotation-Recommended': 'true',
  'X-Token-Expires-At': '2030-01-01T00:10:00.000Z',
}

test('gateway §19.12: rotation is recommended at 4 min 59 s and not at 5 min 1 s', () => {
  expect(rotationHeaders(EXPIRES, EXPIRES - 299_000)).toEqual(SAID)
  expect(rotationHeaders(EXPIRES, EXPIRES - 301_000)).toEqual({})
})

test('five whole minutes are enough, a millisecond less is not', () => {
  expect(rotationHeaders(EXPIRES, EXPIRES - 300_000)).toEqual({})
  expect(rotationHeaders(EXPIRES, EXPIRES - 299_999)).toEqual(SAID)
})

test('gateway §19.12: an expired token is told to rotate', () => {
  expect(rotationHeaders(EXPIRES, EXPIRES)).toEqual(SAID)
  expect(rotationHeaders(EXPIRES, EXPIRES + 86_400_000)).toEqual(SAID)
})
