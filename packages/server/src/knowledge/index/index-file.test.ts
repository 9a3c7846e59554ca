import { mkdtempDisposableSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { IndexFile } from './index-file.ts'
import type { IndexedItem } from './index-query.ts'
import { termsOf } from './terms.ts'

const ENDS = ['', '-wal'] as const

function item(id: string, text: string | undefined, vector?: Float32Array): IndexedItem {
  const chunks = text === undefined ? undefined : [{ seq: 0, heading: '', text, vector }]
  return { id, classId: 'all', embedder: 'e', chunks }
}

const asked = (query: string, vector?: Float32Array) => ({
  terms: termsOf(query),
  vectors: vector === undefined ? [] : [{ embedder: 'e', vector }],
  classes: ['all'],
})

test('what was applied is found after the file was closed, as before', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'index-'))
  const path = join(dir.path, 'index.db')
  const vectors = [Float32Array.of(1, 0), Float32Array.of(0.6, 0.8)]
  const query = asked('harbours of Zürich', Float32Array.of(1, 0))
  const before = (() => {
    using index = IndexFile.open(path, 'a')
    index.apply([item('a', 'the harbour', vectors[0]), item('b', 'zurich', vectors[1])], 2)
    index.apply([item('c', 'a third'), item('a', 'the harbour', vectors[0])], 4)
    return index.search(query)
  })()
  expect(before.map(({ item: id }) => id).sort()).toEqual(['a', 'b'])
  using again = IndexFile.open(path, 'a')
  expect(again.revision).toBe(4)
  expect(again.size).toBe(3)
  expect(again.search(query)).toEqual(before)
  expect(again.search(asked('third'))).toMatchObject([{ item: 'c', cosine: undefined }])
})

test('words of what was deleted do not stay in the tables', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'index-'))
  const path = join(dir.path, 'index.db')
  {
    using index = IndexFile.open(path, 'a')
    index.apply([item('a', 'whispered harbour'), item('b', 'harbour')], 2)
    index.apply([item('a', undefined)], 3)
    expect(index.search(asked('whispered'))).toEqual([])
    expect(index.search(asked('harbour'))).toMatchObject([{ item: 'b' }])
  }
  using db = new DatabaseSync(path)
  expect(db.prepare('select name from term').all()).toEqual([{ name: 'harbour' }])
  expect(ENDS.some((end) => fileHas(`${path}${end}`, 'whisper'))).toBe(false)
})

function fileHas(path: string, text: string): boolean {
  try {
    return readFileSync(path).includes(text)
  } catch {
    return false
  }
}

test('a change that fails leaves all as it was, in the file and in memory', () => {
  using index = IndexFile.open(':memory:', 'a')
  index.apply([item('a', 'tide table', Float32Array.of(1, 0))], 1)
  const broken = item('c', 'x')
  Object.defineProperty(broken, 'chunks', {
    get: () => {
      throw new Error('half way')
    },
  })
  expect(() => index.apply([item('a', undefined), item('b', 'other words'), broken], 2)).toThrow(
    'half way',
  )
  expect(index.revision).toBe(1)
  expect(index.search(asked('tide other', Float32Array.of(1, 0)))).toMatchObject([
    { item: 'a', cosine: 1 },
  ])
  index.apply([item('b', 'other words')], 2)
  expect(index.search(asked('other'))).toMatchObject([{ item: 'b' }])
})

test('names that objects have by themselves are words like others', () => {
  using index = IndexFile.open(':memory:', 'a')
  index.apply([item('a', '__proto__ constructor toString'), item('b', 'hasOwnProperty')], 1)
  expect(index.search(asked('constructor'))).toMatchObject([{ item: 'a' }])
  expect(index.search(asked('__proto__'))).toMatchObject([{ item: 'a' }])
})
