import { describe, expect, test } from 'vitest'
import { maskPii, type PiiName } from './pii.ts'

const mask = (text: string, ...names: PiiName[]) => maskPii(text, new Set(names)).text
const ALL: readonly PiiName[] = ['email', 'phone', 'ssn', 'credit_card']
const marked = (name: PiiName) => `<[REDACTED:${name}]>`

describe('email', () => {
  test.each([
    'ada@example.com',
    'ada.lovelace+news@mail.example.co.uk',
    "o'brien_99@sub-domain.example",
    'jürgen@müller.example',
    'user@xn--bcher-kva.example',
    '"ada lovelace"@example.com',
    'a@b.co',
  ])('%s', (address) => {
    expect(mask(`<${address}>`, 'email')).toBe(marked('email'))
  })

  test.each(['@types/node.js', 'user@localhost', 'a @ b.c', 'x@', '@', 'price @5.00', 'a@-b.c'])(
    'not %s',
    (text) => {
      expect(mask(text, 'email')).toBe(text)
    },
  )

  test('several, one after the other, keep what is between them', () => {
    expect(mask('to a@x.io,b@y.io; cc: c@z.io.', 'email')).toBe(
      'to [REDACTED:email],[REDACTED:email]; cc: [REDACTED:email].',
    )
  })
})

describe('phone', () => {
  test.each([
    '555-123-4567',
    '(555) 123-4567',
    '555.123.4567',
    '555 123 4567',
    '1-555-123-4567',
    '+1 (555) 123-4567',
    '+442071838750',
    '+44 20 7183 8750',
    '+49 (0)30 1234567',
    '+49 30/123 45 67',
    '+91-98765-43210',
    '0049 30 1234567',
  ])('%s', (number) => {
    expect(mask(`<${number}>`, 'phone')).toBe(marked('phone'))
  })

  test.each([
    '2026-11-20T13:10:35',
    '192.168.100.200',
    '1700000000000',
    '+12',
    '1 + 2',
    '12345678',
  ])('not %s', (text) => {
    expect(mask(text, 'phone')).toBe(text)
  })
})

test('ssn', () => {
  expect(mask('<123-45-6789>', 'ssn')).toBe(marked('ssn'))
  expect(mask('<123 45 6789>', 'ssn')).toBe(marked('ssn'))
  for (const text of ['1123-45-6789', '123-45-67890', '123-45 6789', '123456789']) {
    expect(mask(text, 'ssn')).toBe(text)
  }
})

describe('credit_card', () => {
  test.each([
    '4111111111111111',
    '4111 1111 1111 1111',
    '4111-1111-1111-1111',
    '5555 5555 5555 4444',
    '378282246310005',
    '3782 822463 10005',
    '6011111111111117',
    '4222222222222',
    '6759649826438453',
  ])('%s', (number) => {
    expect(mask(`<${number}>`, 'credit_card')).toBe(marked('credit_card'))
  })

  test.each([
    ['4111111111111112', 'fails the Luhn check'],
    ['41111111111111111111111', 'is too long'],
    ['1700000000000', 'begins like no card'],
    ['4111_1111_1111_1111', 'is written as no card is'],
  ])('not %s, which %s', (text) => {
    expect(mask(text, 'credit_card')).toBe(text)
  })

  test('whole, where it could begin in two places', () => {
    expect(mask('555-123-4567 4111 1111 1111 1111', 'credit_card')).toBe('[REDACTED:credit_card]')
  })

  test('beside other numbers', () => {
    expect(mask('2026-11-20 4111 1111 1111 1111 12/29 123', 'credit_card')).toBe(
      '2026-11-20 [REDACTED:credit_card] 12/29 123',
    )
  })
})

test('only what was asked for, and each thing under its own name', () => {
  const text = 'ada@x.io 123-45-6789 555-123-4567, 4111 1111 1111 1111'
  expect(mask(text)).toBe(text)
  expect(mask(text, 'ssn')).toBe('ada@x.io [REDACTED:ssn] 555-123-4567, 4111 1111 1111 1111')
  expect(maskPii(text, new Set(ALL))).toEqual({
    text: '[REDACTED:email] [REDACTED:ssn] [REDACTED:phone], [REDACTED:credit_card]',
    masked: 4,
  })
})

test('text made to be slow is not: a million characters of anything are searched in bounded time', () => {
  const size = 1_000_000
  for (const unit of [
    '1',
    '1 ',
    '4 ',
    '1-',
    '4111 ',
    'a',
    'a.',
    'a@',
    '@',
    'a@a.',
    '"',
    '"@',
    '+1 ',
    '(555) ',
    '00',
    '+',
  ]) {
    const text = unit.repeat(size / unit.length)
    const startedMs = performance.now()
    maskPii(text, new Set(ALL))
    // Minutes, if it grew with the square; a second or less on a machine that does nothing else.
    expect(performance.now() - startedMs, JSON.stringify(unit)).toBeLessThan(10_000)
  }
})
