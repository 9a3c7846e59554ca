/** The kinds of tokens, as small numbers: a source becomes three flat arrays, not a list of objects. */

export const T = {
  end: 0,
  name: 1,
  string: 2,
  number: 3,
  duration: 4,
  size: 5,
  secret: 6,
  /** What cannot be a token; told already. */
  bad: 7,
  braceOpen: 10,
  braceClose: 11,
  parenOpen: 12,
  parenClose: 13,
  bracketOpen: 14,
  bracketClose: 15,
  comma: 16,
  semicolon: 17,
  colon: 18,
  dot: 19,
  equals: 20,
  plusEquals: 21,
  minusEquals: 22,
  timesEquals: 23,
  divideEquals: 24,
  moduloEquals: 25,
  arrow: 26,
  fatArrow: 27,
  not: 28,
  /** From here on: operators between two operands. */
  or: 40,
  and: 41,
  equal: 42,
  unequal: 43,
  less: 44,
  greater: 45,
  lessEqual: 46,
  greaterEqual: 47,
  plus: 48,
  minus: 49,
  times: 50,
  divide: 51,
  modulo: 52,
} as const

export type TokenKind = (typeof T)[keyof typeof T]

/** Milliseconds of a unit; a month has 30 days and a year 365. */
export const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  months: 2_592_000_000,
  y: 31_536_000_000,
  '.seconds': 1000,
  '.minutes': 60_000,
  '.hours': 3_600_000,
}

export const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
}
