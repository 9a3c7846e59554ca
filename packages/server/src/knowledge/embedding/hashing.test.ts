import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { cosine } from '../../../../../test/retrieval/labelled.ts'
import { calibration } from './calibration.ts'
import { hashedVector, hashingEmbedder } from './hashing.ts'
import { stem } from './stem.ts'
import { pairScores, within } from './test-pairs.ts'
import { wordsOf } from './words.ts'

const like = (a: string, b: string) => cosine(hashedVector(a), hashedVector(b))
const signal = new AbortController().signal

describe('runtime §10.4: the built-in embedder', () => {
  test('gives each text the same vector on every machine', () => {
    const vector = hashedVector('Rotate the signing key of the gateway every 90 days.')
    const rounded = [...vector].map((value) => Math.round(value * 1e5)).join()
    expect(hash('sha256', rounded)).toMatchInlineSnapshot(
      `"2b47004274d1de26bbda9bbcbfae806fb903023632bde82b28ec57b879410cac"`,
    )
  })

  test.each([
    '',
    ' ',
    '!?',
    '🎉',
    '日本語の文',
    'x'.repeat(8_192),
    'ünïcödé',
    '\ud800 half',
    'constructor __proto__',
  ])('gives %j a vector of length 1', async (text) => {
    const [vector = new Float32Array()] = await hashingEmbedder().embed([text], signal)
    expect(vector.length).toBe(hashingEmbedder().dimension)
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
  })

  test('knows forms, meanings, spellings and names of code', () => {
    const far = like('delete the backup', 'coffee beans in Peru')
    expect(like('rotating encryption keys', 'rotate the encryption key')).toBeGreaterThan(0.6)
    expect(like('erase a credential', 'delete a password')).toBeGreaterThan(far + 0.15)
    expect(like('authorisation', 'authorization')).toBeGreaterThan(0.8)
    expect(like('kubernetes', 'kubernets')).toBeGreaterThan(0.15)
    expect(like('maxRequestBytes', 'max_request_bytes')).toBeGreaterThan(0.5)
    expect(like('the of and is', 'coffee')).toBeLessThan(0.1)
    expect(far).toBeLessThan(0.1)
  })

  test('leaves when nobody waits any more', async () => {
    await expect(
      hashingEmbedder().embed(['a'], AbortSignal.abort(new Error('gone'))),
    ).rejects.toThrow('gone')
  })
})

describe('runtime §20.21: what a similarity is worth', () => {
  test.each(['fit', 'heldOut'] as const)('by words alone, on the pairs of %s', async (which) => {
    const scores = await pairScores(hashingEmbedder(), which)
    expect(scores.rightFirst).toBeGreaterThanOrEqual(0.9)
    expect(within(scores.answered, 0.7, 1)).toBeGreaterThanOrEqual(0.9)
    expect(within(scores.unrelated, 0, 0.3)).toBeGreaterThanOrEqual(0.98)
    expect(within(scores.near, 0, 0.7)).toBeGreaterThanOrEqual(0.9)
    expect(scores.same.every((score) => score === 1)).toBe(true)
  })

  test('never falls as the cosine rises, and stays between 0 and 1', () => {
    const calibrated = calibration([
      [0.2, 0.3],
      [0.5, 0.8],
    ])
    const scores = Array.from({ length: 2_001 }, (_, at) => calibrated(at / 1_000 - 1))
    expect(scores).toEqual([...scores].sort((a, b) => a - b))
    expect([
      calibrated(-1),
      calibrated(Number.NaN),
      calibrated(0.2),
      calibrated(0.5),
      calibrated(1),
    ]).toEqual([0, 0, 0.3, 0.8, 1])
  })
})

test.each(
  Object.entries({
    caresses: 'caress',
    ponies: 'poni',
    cats: 'cat',
    feed: 'feed',
    agreed: 'agre',
    plastered: 'plaster',
    bled: 'bled',
    motoring: 'motor',
    sing: 'sing',
    conflated: 'conflat',
    sized: 'size',
    hopping: 'hop',
    falling: 'fall',
    filing: 'file',
    happy: 'happi',
    sky: 'sky',
    relational: 'relat',
    digitizer: 'digit',
    operator: 'oper',
    hopefulness: 'hope',
    electrical: 'electr',
    revival: 'reviv',
    replacement: 'replac',
    adoption: 'adopt',
    probate: 'probat',
    rate: 'rate',
    controll: 'control',
    roll: 'roll',
    policies: 'polici',
    policy: 'polici',
    grüße: 'grüße',
    a1: 'a1',
  }),
)('the stem of %s is %s', (word, expected) => {
  expect(stem(word)).toBe(expected)
})

test('names of code count in parts and whole', () => {
  const words = [...wordsOf('maxHTTPBytes of the vault.max_ttl isn’t IPv6')]
  expect(
    words
      .filter(({ whole }) => !whole)
      .map(({ text }) => text)
      .join(' '),
  ).toBe('max http bytes of the vault max ttl isn i pv 6')
  expect(words.filter(({ whole }) => whole).map(({ text }) => text)).toEqual([
    'maxhttpbytes',
    'vault.max_ttl',
    'ipv6',
  ])
})
