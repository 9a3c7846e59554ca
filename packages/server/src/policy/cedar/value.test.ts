import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Datetime } from './datetime.ts'
import { Decimal } from './decimal.ts'
import { Duration } from './duration.ts'
import { IpAddr } from './ip.ts'
import { CedarSet, canonicalKey, EntityUid, equals, type Value } from './value.ts'

/** Small alphabets, so that equal and nearly equal values are common. */
const text = fc.constantFrom('', 'a', '1', 't', 'i1;', '1:a', 's1:a', 'sa', 'assa')
const leaf: fc.Arbitrary<Value> = fc.oneof(
  fc.boolean(),
  fc.constantFrom<Value>(0, 1, 11, -1, 2n ** 60n),
  text,
  fc.tuple(fc.constantFrom('A', 'A::B'), text).map(([type, id]) => new EntityUid(type, id)),
  fc.constantFrom<Value>(
    new Decimal(1),
    new Duration(1),
    new Datetime(1),
    new IpAddr(4, 1n, 32),
    new IpAddr(4, 1n, 31),
    new IpAddr(6, 1n, 32),
  ),
)
const value = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 3 }).map((members) => new CedarSet(members)),
    fc.array(fc.tuple(text, tie('value')), { maxLength: 3 }).map((fields) => new Map(fields)),
  ),
})).value

test('two values have the same canonical key exactly when they are equal', () => {
  fc.assert(
    fc.property(value, value, (a, b) => {
      expect(canonicalKey(a) === canonicalKey(b)).toBe(equals(a, b))
    }),
    { numRuns: 3_000 },
  )
})

test('a set holds each member once, whatever the order they came in', () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 5 }), (members) => {
      const set = new CedarSet(members)
      const reversed = new CedarSet([...members].reverse().concat(members))
      expect(equals(set, reversed)).toBe(true)
      expect(members.every((member) => set.has(member))).toBe(true)
      expect(set.size).toBe([...set].length)
    }),
    { numRuns: 1_000 },
  )
})

test('entity keys are injective even when ids hold quotes and colons', () => {
  const ids = ['', '"', '::"', 'a"', '"::"', '\u0000']
  const keys = ids.flatMap((id) => ['A', 'A::B'].map((type) => new EntityUid(type, id).key))
  expect(new Set(keys).size).toBe(keys.length)
})
