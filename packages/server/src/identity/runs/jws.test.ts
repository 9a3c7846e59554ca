import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { fits, type JwsAlgorithm, parseJws, signJws, verifyJws } from './jws.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 })
const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 })
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
const KEYS = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ES256: ec('P-256'),
  ES384: ec('P-384'),
  ES512: ec('P-521'),
  EdDSA: generateKeyPairSync('ed25519'),
} satisfies Record<JwsAlgorithm, unknown>
const ALGORITHMS = Object.keys(KEYS) as JwsAlgorithm[]

test.each(ALGORITHMS)('%s signs and verifies, with its own kind of key only', (alg) => {
  const jws = parseJws(signJws(alg, KEYS[alg].privateKey, {}, { a: 1 }))
  if (jws === undefined) throw new Error('unreadable')
  expect(jws).toMatchObject({ header: { alg }, payload: { a: 1 } })
  expect(verifyJws(alg, KEYS[alg].publicKey, jws)).toBe(true)
  for (const other of ALGORITHMS.filter((name) => name !== alg))
    expect(verifyJws(other, KEYS[other].publicKey, jws), other).toBe(false)
})

test('RSA keys below 2048 bits are too weak', () => {
  expect(fits('RS256', weak.publicKey)).toBe(false)
})

test.each([
  '',
  'a',
  'a.b',
  'a.b.c.d',
  'e30.e30.',
  'e30.e30',
  '.e30.AAAA',
  'e30=.e30.AAAA',
  'e30.e30.AA==',
  'e30 .e30.AAAA',
  'e30.e31.AAAA', // the same bytes are spelt e30
  'W10.e30.AAAA', // []
  'bnVsbA.e30.AAAA', // null
  'e30.Ig.AAAA', // half a string
  'e30.eyJhIjoi_yJ9.AAAA', // no UTF-8
  'é30.e30.AAAA',
  '77u_e30.e30.AAAA', // a byte order mark before {}
])('%j is not read', (text) => {
  expect(parseJws(text)).toBeUndefined()
})

const coded = (text: string) => Buffer.from(text).toString('base64url')

test.each([
  '{"alg":"ES256","alg":"EdDSA"}',
  '{"a":{"b":1,"\\u0062":2}}',
  '{"__proto__":{"alg":"ES256"}}',
  '{"exp":1e400}',
  '{"a":1} ',
])('%s is read neither as a header nor as a payload', (text) => {
  const wanted = text.endsWith(' ') // white space is JSON's own matter
  expect(parseJws(`${coded(text)}.e30.AAAA`) !== undefined).toBe(wanted)
  expect(parseJws(`e30.${coded(text)}.AAAA`) !== undefined).toBe(wanted)
})

test('nesting to the limit of a header is refused before it is read', () => {
  const deep = coded(`{"a":${'['.repeat(8_000)}${']'.repeat(8_000)}}`)
  expect(parseJws(`${deep}.e30.AAAA`)).toBeUndefined()
})
