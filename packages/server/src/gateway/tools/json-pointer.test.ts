import { expect, test } from 'vitest'
import { atPointer, isJsonPointer } from './json-pointer.ts'

const document = { data: [{ 'a/b': 1, 'm~n': null }], '': 'empty', flag: false }

test.each<[string, unknown]>([
  ['', document],
  ['/data/0/a~1b', 1],
  ['/data/0/m~0n', null],
  ['/', 'empty'],
  ['/flag', false],
  ['/data/1', null],
  ['/data/length', null],
  ['/data/-', null],
  ['/toString', null],
  ['/__proto__', null],
  ['/flag/x', null],
])('%j', (pointer, value) => {
  expect(isJsonPointer(pointer)).toBe(true)
  expect(atPointer(document, pointer)).toEqual(value)
})

test.each(['a', 'a/b', '/~', '/~2', '#/a'])('%j is no pointer', (text) => {
  expect(isJsonPointer(text)).toBe(false)
})
