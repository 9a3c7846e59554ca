/** Damaged frames, reproducible from a seed. */

/** Mulberry32: small, fast, and good enough to damage things with. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** An integer from 0 up to, not including, `sides`. */
  roll(sides: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * sides)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.roll(from.length)] as T
  }
}

const TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  '\\',
  ':',
  ',',
  'null',
  'true',
  'NaN',
  '-Infinity',
  '1e999',
  '-0',
  '9007199254740993',
  '0.1',
  '"__proto__":{"path":"openai/api_key"}',
  '"constructor":{"prototype":{}}',
  '"id":null,',
  '"id":{},',
  '"params":[],',
  '"session_id":7,',
  '"value":"secret",',
  '"val\\u0075e":"\\u0061",',
  '\\ud800',
  '\\udfff\\ud800',
  '\\u0000',
  '\u0000',
  '\ufeff',
  'é😀\u202e',
  '\n\t ',
  '[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[',
  '{"a":{"a":{"a":{"a":',
].map((text) => Buffer.from(text, 'utf8'))

type Mutation = (body: Buffer, dice: Dice, corpus: readonly Buffer[]) => Buffer

function splice(body: Buffer, at: number, remove: number, insert: Uint8Array): Buffer {
  return Buffer.concat([body.subarray(0, at), insert, body.subarray(at + remove)])
}

const MUTATIONS: readonly Mutation[] = [
  function flipBits(body, dice) {
    const out = Buffer.from(body)
    for (let n = dice.roll(4); n >= 0; n -= 1) {
      const at = dice.roll(out.length)
      out[at] = (out[at] ?? 0) ^ (1 << dice.roll(8))
    }
    return out
  },
  function setBytes(body, dice) {
    const out = Buffer.from(body)
    for (let n = dice.roll(3); n >= 0; n -= 1) out[dice.roll(out.length)] = dice.roll(256)
    return out
  },
  (body, dice) => body.subarray(0, dice.roll(body.length + 1)),
  (body, dice) => body.subarray(dice.roll(body.length)),
  function cutOut(body, dice) {
    const at = dice.roll(body.length)
    return splice(body, at, 1 + dice.roll(20), Buffer.alloc(0))
  },
  function repeatPart(body, dice) {
    const at = dice.roll(body.length)
    const part = body.subarray(at, at + 1 + dice.roll(30))
    return splice(body, at, 0, part)
  },
  function insertToken(body, dice) {
    return splice(body, dice.roll(body.length + 1), 0, dice.pick(TOKENS))
  },
  function replaceByToken(body, dice) {
    return splice(body, dice.roll(body.length + 1), dice.roll(8), dice.pick(TOKENS))
  },
  function crossOver(body, dice, corpus) {
    const other = dice.pick(corpus)
    const [a, b] = [dice.roll(body.length + 1), dice.roll(other.length + 1)]
    return Buffer.concat([body.subarray(0, a), other.subarray(b)])
  },
  function joinTwo(body, dice, corpus) {
    return Buffer.concat([body, dice.pick(corpus)])
  },
  function garbage(_body, dice) {
    return Buffer.from(Array.from({ length: dice.roll(64) }, () => dice.roll(256)))
  },
  function nest(body, dice) {
    // Mostly around the limit of 32, now and then far beyond it.
    const depth = dice.roll(200) === 0 ? 20_000 : 20 + dice.roll(30)
    const [open, close] = dice.pick([
      ['[', ']'],
      ['{"a":', '}'],
    ])
    const nested = `${open.repeat(depth)}1${dice.roll(2) === 0 ? close.repeat(depth) : ''}`
    return splice(body, dice.roll(body.length + 1), 0, Buffer.from(nested))
  },
]

const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  1e308,
  '',
  'a\u0000b',
  '\ud800',
  '../../etc/passwd',
  'openai/api_key',
  'x'.repeat(70_000),
  '%2e%2e/%00',
  [],
  {},
  [null],
  { path: 'openai/api_key' },
  ['openai/api_key'],
  'http_request',
  'encrypt',
  'rewrap',
  '*',
]

/** Keeps the text valid and puts something odd in the place of a value, a name or a member. */
const putOddValue: Mutation = (body, dice) => {
  let message: unknown
  try {
    message = JSON.parse(body.toString('utf8'))
  } catch {
    return body
  }
  let at = message
  for (let depth = dice.roll(4); depth > 0; depth -= 1) {
    const inner = Object.values(at ?? {}).filter((value) => typeof value === 'object')
    if (inner.length === 0 || typeof at !== 'object') break
    at = dice.pick(inner) ?? at
  }
  if (typeof at === 'object' && at !== null) {
    const names = [...Object.keys(at), 'extra', 'version', 'wrap_ttl', 'cursor', 'headers', 'data']
    Reflect.set(at, dice.pick(names), dice.pick(ODD_VALUES))
  }
  return Buffer.from(JSON.stringify(message), 'utf8')
}

/** A body damaged one to three times; never empty of intent, sometimes still valid. */
export function mutate(dice: Dice, corpus: readonly Buffer[]): Buffer {
  let body = dice.pick(corpus)
  for (let n = dice.roll(3); n >= 0; n -= 1) {
    if (body.length === 0) break
    // Half of them reach beyond the parser.
    const mutation = dice.roll(2) === 0 ? putOddValue : dice.pick(MUTATIONS)
    body = mutation(body, dice, corpus)
  }
  return body
}

/** A frame whose length is a lie; what follows on its stream means nothing any more. */
export function lie(dice: Dice, corpus: readonly Buffer[]): Buffer {
  const body = mutate(dice, corpus)
  const out = Buffer.alloc(4 + body.length)
  const size = dice.pick([
    body.length + 1 + dice.roll(1000),
    Math.max(0, body.length - 1 - dice.roll(40)),
    dice.roll(70_000),
    65_537,
    4_194_305,
    67_108_865,
    0x474554_20,
    0x16030100,
    0xffff_ffff,
    dice.roll(0x1_0000_0000),
  ])
  out.writeUInt32BE(size >>> 0)
  out.set(body, 4)
  return out
}
