/**
 * Finds personal data in text and masks it. Each form is searched in time proportional to the text, whatever the
 * text is: providers may send anything.
 */

export const PII_NAMES = ['email', 'phone', 'ssn', 'credit_card'] as const
export type PiiName = (typeof PII_NAMES)[number]

interface Span {
  readonly from: number
  readonly to: number
}

type Finder = (text: string) => Iterable<Span>

/** In this order: the digits of a card must not be taken for a telephone number. */
const FINDERS: Readonly<Record<PiiName, Finder>> = {
  email: findEmails,
  credit_card: findCards,
  ssn: (text) => findAll(text, SSN),
  phone: findPhones,
}
const ORDER: readonly PiiName[] = ['email', 'credit_card', 'ssn', 'phone']

const MAX_LOCAL_PART = 64

/** What may stand before the `@` besides quoted text, letters of any script included. */
const LOCAL_CHAR = /[\p{L}\p{M}\p{N}!#$%&'*+=?^_`{|}~.-]/u
const DOMAIN = /@[\p{L}\p{M}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,62})(?:\.[\p{L}\p{M}\p{N}-]{1,63}){1,8}/uy

const SSN = /(?<!\d)\d{3}([- ])\d{2}\1\d{4}(?!\d)/g

/** With the code of a country. Separators are bounded and a digit follows, so nothing is tried twice. */
const INTERNATIONAL = /(?:\+|(?<![\d.])00(?=[1-9]))[ ]?(?:\(?\d(?:[ ()./-]{0,3}\d){6,14})(?!\d)/g
/** Of North America: three groups, with separators. */
const NATIONAL = /(?<![\d.+-])(?:1[ .-]?)?(?:\(\d{3}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?!\d)/g

const DIGITS = /\d+/g

/** @returns The text, and how much was masked. */
export function maskPii(
  text: string,
  names: ReadonlySet<PiiName>,
): { text: string; masked: number } {
  let result = text
  let masked = 0
  for (const name of ORDER) {
    if (!names.has(name)) continue
    let out = ''
    let from = 0
    for (const span of FINDERS[name](result)) {
      out += `${result.slice(from, span.from)}[REDACTED:${name}]`
      from = span.to
      masked += 1
    }
    if (from > 0) result = out + result.slice(from)
  }
  return { text: result, masked }
}

export function isPiiName(name: string): name is PiiName {
  return PII_NAMES.some((known) => known === name)
}

function* findAll(text: string, pattern: RegExp): Generator<Span> {
  for (const { 0: found, index } of text.matchAll(pattern)) {
    yield { from: index, to: index + found.length }
  }
}

function* findPhones(text: string): Generator<Span> {
  const spans = [...findAll(text, INTERNATIONAL), ...findAll(text, NATIONAL)]
  let end = 0
  for (const span of spans.toSorted((one, other) => one.from - other.from)) {
    if (span.from < end) continue
    end = span.to
    yield span
  }
}

/** From each `@` outwards. */
function* findEmails(text: string): Generator<Span> {
  let end = 0
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    DOMAIN.lastIndex = at
    const domain = DOMAIN.exec(text)
    if (domain === null) continue
    const from = startOfLocalPart(text, at, end)
    if (from === at) continue
    end = at + domain[0].length
    yield { from, to: end }
  }
}

function startOfLocalPart(text: string, at: number, notBefore: number): number {
  const least = Math.max(notBefore, at - MAX_LOCAL_PART)
  if (text[at - 1] === '"') {
    const quote = text.lastIndexOf('"', at - 2)
    return quote >= least ? quote : at
  }
  let from = at
  while (from > least && LOCAL_CHAR.test(text[from - 1] ?? '')) from -= 1
  return from
}

/** Digits in groups, as cards are written, that pass the Luhn check; a group is taken whole or not at all. */
function* findCards(text: string): Generator<Span> {
  let groups: Span[] = []
  for (const group of findAll(text, DIGITS)) {
    const before = groups.at(-1)
    if (before !== undefined && !isJoined(text, before, group)) {
      yield* cardsIn(text, groups)
      groups = []
    }
    groups.push(group)
  }
  yield* cardsIn(text, groups)
}

function isJoined(text: string, one: Span, other: Span): boolean {
  return other.from - one.to === 1 && /[ -]/.test(text[one.to] ?? '')
}

/** Where two readings overlap, as beside other numbers, both go: the rest of one would be most of a card. */
function* cardsIn(text: string, groups: readonly Span[]): Generator<Span> {
  let card: Span | undefined
  for (const [first, { from }] of groups.entries()) {
    const last = lastOfCard(text, groups, first)
    const to = last === undefined ? undefined : groups[last]?.to
    if (to === undefined) continue
    if (card !== undefined && from < card.to) {
      card = { from: card.from, to: Math.max(card.to, to) }
      continue
    }
    if (card !== undefined) yield card
    card = { from, to }
  }
  if (card !== undefined) yield card
}

function lastOfCard(text: string, groups: readonly Span[], first: number): number | undefined {
  if (!/[2-6]/.test(text[groups[first]?.from ?? 0] ?? '')) return undefined
  let digits = ''
  let found: number | undefined
  for (let last = first; last < groups.length && digits.length <= 19; last += 1) {
    const group = groups[last]
    if (group === undefined) break
    digits += text.slice(group.from, group.to)
    if (digits.length >= 13 && isCard(digits)) found = last
  }
  return found
}

/** ISO/IEC 7812: the first digit of payment cards, their lengths, and the check digit. */
function isCard(digits: string): boolean {
  if (!/^[2-6]\d{12,18}$/.test(digits)) return false
  let sum = 0
  for (let at = 0; at < digits.length; at += 1) {
    const digit = Number(digits[digits.length - 1 - at])
    const doubled = at % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}
