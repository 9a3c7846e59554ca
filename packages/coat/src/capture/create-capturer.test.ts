import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { CAPTURE_MODES, type CaptureMode } from '../aot.ts'
import type { Json } from './capturer.ts'
import { type CaptureSettings, createCapturer } from './create-capturer.ts'
import { RULE_SAMPLES } from './rules.test-kit.ts'

const KEY = '000102030405060708090a0b0c0d0e0f'

function capturer(given: Partial<CaptureSettings> = {}) {
  return createCapturer({
    previewLen: 200,
    redactKeys: [],
    patterns: [],
    entropy: false,
    hashKey: KEY,
    stack: false,
    env: {},
    ...given,
  })
}

function shown(
  value: unknown,
  mode: CaptureMode = 'redacted',
  given?: Partial<CaptureSettings>,
): Json {
  return capturer(given).begin(mode).value(value)
}

class Person {
  readonly name: string
  #secret = 'canary'
  constructor(name: string) {
    this.name = name
  }
  get loud(): string {
    throw new Error('a getter was called')
  }
  toJSON(): never {
    throw new Error('toJSON was called')
  }
  get [Symbol.toStringTag](): string {
    throw new Error('toStringTag was called')
  }
  guess(text: string): boolean {
    return text === this.#secret
  }
}

const trapped = new Proxy(
  {},
  {
    get: () => {
      throw new Error('a trap was called')
    },
    ownKeys: () => {
      throw new Error('a trap was called')
    },
    getPrototypeOf: () => {
      throw new Error('a trap was called')
    },
  },
)

const CANARY = 'canary-7f3a'

/** Every shape a value can have, each with the canary in all of its content. */
function shapes(): unknown[] {
  const circular: Record<string, unknown> = { [CANARY]: CANARY }
  circular['self'] = circular
  const error = new Error(CANARY, { cause: new Error(CANARY) })
  return [
    CANARY,
    CANARY.repeat(10_000),
    { [CANARY]: CANARY },
    [CANARY, [CANARY]],
    new Map([[CANARY, CANARY]]),
    new Set([CANARY]),
    circular,
    error,
    new AggregateError([error], CANARY),
    new Person(CANARY),
    Buffer.from(CANARY),
    new String(CANARY),
    Symbol(CANARY),
    new URL(`https://${CANARY}.example`),
    new RegExp(CANARY),
    Object.assign(() => CANARY, { [CANARY]: CANARY }),
    Promise.resolve(CANARY),
    Object.create({ inherited: CANARY }, { hidden: { value: CANARY, enumerable: false } }),
    runInNewContext(`({ "${CANARY}": "${CANARY}" })`),
  ]
}

test('telemetry §16.9: in mode none nothing of any value or error message is told', () => {
  const capture = capturer({ env: { MY_PASSWORD: CANARY } }).begin('none')
  for (const value of shapes()) {
    expect(JSON.stringify(capture.value(value))).not.toContain('canary')
    const thrown =
      value instanceof Error ? value : Object.assign(new Error(CANARY), { extra: value })
    expect(JSON.stringify(capture.error(thrown))).not.toContain('canary')
    expect(JSON.stringify(capture.error(value))).not.toContain('canary')
  }
})

test('telemetry §16.9: modes hash and summary tell no content either, apart from names in a summary', () => {
  for (const value of shapes()) {
    expect(JSON.stringify(shown(value, 'hash'))).not.toContain('canary')
    // A name of a member is told by the mode, and the name of a function as well.
    const summary = JSON.stringify(shown(value, 'summary')).replaceAll(`"${CANARY}"`, '')
    expect(summary).not.toContain('canary')
  }
})

test('mode none tells type and size', () => {
  const cases: [unknown, string][] = [
    ['x'.repeat(1532), '<string len=1532>'],
    [1, '<number>'],
    [true, '<boolean>'],
    [null, '<null>'],
    [undefined, '<undefined>'],
    [10n, '<bigint>'],
    [Symbol('a'), '<symbol>'],
    [() => 1, '<function>'],
    [{ a: 1, b: 2, c: 3, d: 4 }, '<object keys=4>'],
    [[1, 2, 3], '<array len=3>'],
    [new Map([[1, 2]]), '<map size=1>'],
    [new Set([1, 2]), '<set size=2>'],
    [new Uint8Array(16), '<bytes len=16>'],
    [new DataView(new ArrayBuffer(9)), '<bytes len=9>'],
    [new SharedArrayBuffer(7), '<bytes len=7>'],
    [new Person('a'), '<object keys=1>'],
    [Promise.resolve(), '<promise>'],
    [new Error('a'), '<error>'],
    [new Date(0), '<date>'],
    [trapped, '<proxy>'],
    [new Response('a'), '<handle>'],
  ]
  for (const [value, expected] of cases) expect(shown(value, 'none')).toBe(expected)
  expect(capturer().begin('none').capture).toEqual({ mode: 'none' })
})

test('mode redacted shows values, their types where they are not plain, and what it leaves out', () => {
  const circular: Record<string, unknown> = { a: 1 }
  circular['self'] = circular
  const bytes = new Uint8Array(3)
  const cases: [unknown, Json][] = [
    [
      { a: 'text', b: [1, true, null], c: undefined },
      { a: 'text', b: [1, true, null], c: '[undefined]' },
    ],
    [circular, { a: 1, self: '[circular]' }],
    [
      {
        get a() {
          throw new Error('called')
        },
      },
      { a: '[getter]' },
    ],
    [trapped, '[proxy]'],
    [new Proxy(() => 1, {}), '[proxy]'],
    [function name() {}, '[function name]'],
    [class Thing {}, '[function Thing]'],
    [Promise.resolve(1), '[promise]'],
    [{ bytes }, { bytes: '<bytes len=3>' }],
    [new Response('a'), '<Response>'],
    [Readable.from(['a']), '<Readable>'],
    [new (class Bus extends EventEmitter {})(), '<Bus>'],
    [12n, '12n'],
    [1n << 5000n, '[bigint]'],
    [new Date(0), '1970-01-01T00:00:00.000Z'],
    [new Date(Number.NaN), 'Invalid Date'],
    [new TypeError('bad'), { type: 'TypeError', message: 'bad' }],
    [new Person('Ann'), { $type: 'Person', name: 'Ann' }],
    [
      new Map<unknown, unknown>([
        ['a', 1],
        [{ b: 2 }, 3],
      ]),
      {
        $type: 'Map',
        entries: [
          ['a', 1],
          [{ b: 2 }, 3],
        ],
      },
    ],
    [new Set([1, 'a']), { $type: 'Set', items: [1, 'a'] }],
    [
      new URL('https://joe:pw@example.com/?token=abc'),
      'https://[redacted:url-userinfo]@example.com/?token=[redacted:url-param]',
    ],
    [new String('boxed'), 'boxed'],
    [Symbol('s'), '[Symbol(s)]'],
    [Object.assign(new Array(3), { 0: 1, 2: 3 }), [1, '[empty]', 3]],
    [
      [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, 0.5],
      ['NaN', 'Infinity', '1152921504606847000', 0.5],
    ],
    [runInNewContext('({ a: [1] })'), { a: [1] }],
    [JSON.parse('{"__proto__":{"a":1}}'), JSON.parse('{"__proto__":{"a":1}}')],
    [Object.create(null, { a: { value: 1, enumerable: true } }), { a: 1 }],
    ['lone \ud800 half', 'lone \ufffd half'],
  ]
  for (const [value, expected] of cases) expect(shown(value)).toEqual(expected)
})

test('breadth and depth are bounded, and what is left out is counted', () => {
  const wide = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`k${at}`, at]))
  const object = shown(wide) as Record<string, Json>
  expect(Object.keys(object)).toHaveLength(33)
  expect(object['…']).toBe('…+8 keys')
  const list = shown(Array.from({ length: 39 }, (_, at) => at)) as Json[]
  expect(list).toHaveLength(33)
  expect(list.at(-1)).toBe('…+7 items')
  const set = shown(new Set(Array.from({ length: 39 }, (_, at) => at))) as { items: Json[] }
  expect(set.items.at(-1)).toBe('…+7 items')
  const deep = { a: { b: { c: { d: { e: { f: 1 } } } } } }
  expect(shown(deep)).toEqual({ a: { b: { c: { d: { e: '<object keys=1>' } } } } })
  const bush = (depth: number): unknown =>
    depth === 0 ? 1 : Array.from({ length: 20 }, () => bush(depth - 1))
  expect(JSON.stringify(shown(bush(3)))).toContain('[budget]')
})

test('an object with a multitude of keys is counted once and afterwards only named', () => {
  const large = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`k${at}`, at]))
  expect(shown(large, 'none')).toBe('<object keys=20000>')
  expect(shown(large, 'none')).toBe('<object keys=many>')
  expect(shown(large)).toBe('<object keys=many>')
})

test('texts are cut at the preview length behind whole characters, and say how much is missing', () => {
  expect(shown('x'.repeat(1532))).toBe(`${'x'.repeat(200)}…[+1332]`)
  expect(shown('x'.repeat(200))).toBe('x'.repeat(200))
  expect(capturer().begin('redacted', 3).value('ab😀cd')).toBe('ab…[+4]')
  expect(capturer().begin('redacted', 4).value('ab😀cd')).toBe('ab😀…[+2]')
  expect(capturer().begin('raw', 2).value({ a: 'abc' })).toEqual({ a: 'ab…[+1]' })
  expect(capturer().begin('redacted', 0).value('abc')).toBe('<string len=3>')
  expect(capturer().begin('redacted', 0).value({ a: 1 })).toBe('<object keys=1>')
  const long = shown({ ['k'.repeat(150)]: 1 }) as Record<string, Json>
  expect(Object.keys(long)).toEqual([`${'k'.repeat(128)}…[+22]`])
  expect(shown({ [`${'k'.repeat(150)}a`]: 1, [`${'k'.repeat(150)}b`]: 2 })).toEqual({
    [`${'k'.repeat(128)}…[+23]`]: 1,
    [`${'k'.repeat(128)}…[+23]#2`]: 2,
  })
})

test('telemetry §16.11: what is redacted does not depend on where the text is cut', () => {
  for (const { hit, secret = hit, rule } of RULE_SAMPLES) {
    for (let before = 150; before < 210; before += 7) {
      const text = `${'. '.repeat(before / 2)}\n${hit}${rule === 'pem' ? '' : '\n'}${'tail '.repeat(2000)}`
      const out = String(shown(text)).replace(/\[[reda]{1,8}cted[\w:-]*\]?|\[r[edact]{0,7}…/g, '')
      for (let at = 0; at + 6 <= secret.length; at += 1)
        if (!' \n'.includes(secret[at] as string))
          expect(out).not.toContain(secret.slice(at, at + 6))
    }
  }
})

test('telemetry §16.11: secrets are found wherever they are: names, maps, sets, errors, headers, URLs', () => {
  for (const { hit, secret = hit } of RULE_SAMPLES) {
    const places: unknown[] = [
      { text: hit },
      { [hit]: 1 },
      [[hit]],
      new Map<unknown, unknown>([[hit, { deep: hit }]]),
      new Set([hit]),
      new Error(hit),
      { headers: [['x-any', hit]] },
      new Person(hit),
      new String(hit),
      Symbol(hit),
    ]
    for (const place of places)
      expect(JSON.stringify(shown(place)), hit).not.toContain(JSON.stringify(secret).slice(1, -1))
    const error = capturer()
      .begin('redacted')
      .error(new Error(hit, { cause: new Error(hit) }))
    expect(JSON.stringify(error), hit).not.toContain(JSON.stringify(secret).slice(1, -1))
  }
})

test('telemetry §16.11: a value under a sensitive name goes whole, in objects and in maps', () => {
  expect(
    shown({
      password: 'x',
      nested: { apiKey: { a: 1 }, cookies: ['a'], pin: 1234 },
      map: new Map([['token', 'x']]),
      token: null,
      public_key: { signature: 'kept' },
    }),
  ).toEqual({
    password: '[redacted:key]',
    nested: { apiKey: '[redacted:key]', cookies: '[redacted:key]', pin: '[redacted:key]' },
    map: { $type: 'Map', entries: [['token', '[redacted:key]']] },
    token: null,
    public_key: { signature: 'kept' },
  })
  expect(shown({ badge: 1 }, 'redacted', { redactKeys: ['badge'] })).toEqual({
    badge: '[redacted:key]',
  })
})

test('telemetry §16.13: usage and limits are never redacted', () => {
  const usage = {
    usage: {
      input_tokens: 12,
      output_tokens: 5,
      cache_read_input_tokens: 3,
      reasoning_tokens: null,
    },
    max_tokens: 1024,
    maxTokens: 5,
    tokens: 17,
    token: true,
  }
  expect(shown(usage)).toEqual(usage)
  expect(shown({ tokens: 'abc', max_tokens: { a: 1 } })).toEqual({
    tokens: '[redacted:key]',
    max_tokens: '[redacted:key]',
  })
})

test('telemetry §16.11: secrets of the environment are known by the names of their variables', () => {
  const env = {
    DB_PASSWORD: 'correct-horse',
    MAX_TOKENS: '12000000',
    HOME: '/home/somebody',
    SHORT_TOKEN: 'abc',
    GITHUB_TOKEN: 'not-a-known-shape',
  }
  expect(
    shown('correct-horse not-a-known-shape 12000000 /home/somebody abc', 'redacted', { env }),
  ).toBe('[redacted:env-exact] [redacted:env-exact] 12000000 /home/somebody abc')
  expect(shown('correct-horse', 'raw', { env })).toBe('correct-horse')
})

test('patterns of the settings are used, and a slow one is given up and counted', () => {
  const slow = /^(?:a+)+$/
  const using = capturer({
    patterns: [
      { name: 'badge $&', pattern: /B-\d{4}/y },
      { name: 'slow', pattern: slow },
    ],
  })
  expect(using.begin('redacted').value('B-1234 and B-5678')).toBe(
    '[redacted:badge___] and [redacted:badge___]',
  )
  expect(using.stats()).toEqual({ patternsDisabled: 0 })
  using.begin('redacted').value(`${'a'.repeat(26)}!`)
  expect(using.stats()).toEqual({ patternsDisabled: 1 })
  expect(using.begin('redacted').value('B-1234')).toBe('[redacted:badge___]')
  // What is no pattern is not used.
  const wrong = capturer({ patterns: [{ name: 'a', pattern: 'x' as unknown as RegExp }] })
  expect(wrong.begin('redacted').value('x')).toBe('x')
})

test('telemetry §16.13: a hash shows equality under one key and nothing else', () => {
  const values: unknown[] = [
    'secret',
    '1',
    1,
    true,
    null,
    undefined,
    {},
    [],
    { a: 1 },
    [1],
    { b: 1 },
    'Secret',
  ]
  const hashes = values.map((value) => shown(value, 'hash'))
  expect(new Set(hashes).size).toBe(values.length)
  expect(values.map((value) => shown(value, 'hash'))).toEqual(hashes)
  const other = values.map((value) => shown(value, 'hash', { hashKey: KEY.replace('00', 'ff') }))
  expect(other.filter((hash, at) => hash === hashes[at])).toEqual([])
  expect(shown('secret', 'hash')).toMatch(/^h:[0-9a-f]{32}:len=6$/)
  expect(shown(5, 'hash')).toMatch(/^h:[0-9a-f]{32}$/)
  expect(shown({ a: 1 }, 'hash')).toMatch(/^h:[0-9a-f]{32}:keys=1$/)
  expect(shown({ a: 1, b: { c: 2, d: 3 } }, 'hash')).toBe(
    shown({ b: { d: 3, c: 2 }, a: 1 }, 'hash'),
  )
  // What comes before it in the same event does not count.
  const event = capturer().begin('hash')
  event.value(Array.from({ length: 200 }, (_, at) => at))
  expect(event.value('secret')).toBe(shown('secret', 'hash'))
  expect(shown('x'.repeat(100_000), 'hash')).not.toBe(shown('x'.repeat(100_001), 'hash'))
})

test('telemetry §16.13: the key of a hash is named by its own hash; one that is too short is not used', () => {
  const { capture } = capturer().begin('hash')
  expect(capture).toEqual({ mode: 'hash', hash: { alg: 'hmac-sha256-128', key_id: 'be45cb26' } })
  expect(
    capturer({ hashKey: Buffer.from(KEY, 'hex').toString('base64') }).begin('hash').capture,
  ).toEqual(capture)
  const short = () => capturer({ hashKey: 'abcd' }).begin('hash').value('a')
  expect(short()).not.toBe(short())
})

test('mode summary tells type, size and names', () => {
  const messages = [
    { role: 'system', content: 'abc' },
    { role: 'user', content: [{ type: 'text', text: 'abcd' }] },
    { role: 'my own', content: 'a' },
  ]
  const cases: [unknown, Json][] = [
    [`${'ab\n'.repeat(39)}ab`, { type: 'string', len: 119, lines: 40, charset: 'ascii' }],
    ['é', { type: 'string', len: 1, lines: 1, charset: 'latin1' }],
    ['語', { type: 'string', len: 1, lines: 1, charset: 'unicode' }],
    [
      'x'.repeat(70_000),
      { type: 'string', len: 70_000, lines: 1, charset: 'ascii', partial: true },
    ],
    [1532, { type: 'number', int: true, magnitude: 3 }],
    [-0.05, { type: 'number', int: false, magnitude: -2 }],
    [true, true],
    [null, null],
    [
      { a: 'abc', b: [1, 2], c: { d: 1 }, password: 'hunter2', e: 5 },
      { type: 'object', keys: ['a', 'b', 'c', 'password', 'e'], sizes: { a: 3, b: 2, c: 1 } },
    ],
    [
      [1, 'a', { b: 1 }, null],
      { type: 'array', len: 4, types: ['number', 'string', 'object', 'null'] },
    ],
    [
      messages,
      {
        type: 'array',
        len: 3,
        messages: [
          { role: 'system', len: 3 },
          { role: 'user', len: 4 },
          { role: 'other', len: 1 },
        ],
      },
    ],
    [new Map([[1, 2]]), { type: 'map', size: 1 }],
    [new Uint8Array(4), { type: 'bytes', len: 4 }],
    [trapped, { type: 'proxy' }],
    [undefined, { type: 'undefined' }],
  ]
  for (const [value, expected] of cases) expect(shown(value, 'summary')).toEqual(expected)
  const key = 'sk-abcdefghijklmnopqrstu'
  expect(JSON.stringify(shown({ [key]: 1 }, 'summary'))).not.toContain(key)
})

test('an error is told by type, code and causes; its message as the mode tells texts', () => {
  class RateLimitError extends Error {
    readonly status = 429
  }
  const error = new RateLimitError('slow down sk-abcdefghijklmnopqrstu', {
    cause: new TypeError('inner', { cause: 'a text' }),
  })
  const before = JSON.stringify(Object.getOwnPropertyDescriptors(error), (_, value) =>
    String(value),
  )
  const rest = {
    type: 'RateLimitError',
    code: '429',
    retryable: true,
    cause: ['TypeError', 'NonError'],
  }
  const told = (mode: CaptureMode) => capturer().begin(mode).error(error)
  expect(told('none')).toEqual({ ...rest, message: '<string len=34>' })
  expect(told('summary')).toEqual({ ...rest, message: '<string len=34>' })
  expect(told('redacted')).toEqual({ ...rest, message: 'slow down [redacted:openai]' })
  expect(told('raw')).toEqual({ ...rest, message: error.message })
  expect(told('hash').message).toMatch(/^h:[0-9a-f]{32}:len=34$/)
  expect(JSON.stringify(Object.getOwnPropertyDescriptors(error), (_, value) => String(value))).toBe(
    before,
  )
})

test('errors of all kinds have an answer', () => {
  const capture = capturer().begin('redacted')
  const told = (value: unknown) => capture.error(value)
  expect(told('text')).toEqual({ type: 'NonError', message: '<string len=4>' })
  expect(told(undefined)).toEqual({ type: 'NonError', message: '<undefined>' })
  expect(told({ a: 1 })).toEqual({ type: 'NonError', message: '<object keys=1>' })
  expect(told(new Proxy(new Error('a'), {}))).toEqual({ type: 'NonError', message: '<proxy>' })
  expect(told(new DOMException('stop', 'AbortError'))).toMatchObject({
    type: 'AbortError',
    message: 'stop',
  })
  expect(told(Object.assign(new Error('a'), { code: 'ECONNRESET' }))).toMatchObject({
    code: 'ECONNRESET',
    retryable: true,
  })
  expect(told(Object.assign(new Error('a'), { status: 400 }))).toMatchObject({
    code: '400',
    retryable: false,
  })
  expect(told(Object.assign(new Error('a'), { code: 'a whole sentence' }))).toEqual({
    type: 'Error',
    message: 'a',
  })
  expect(
    told(new AggregateError([new TypeError('a'), new TypeError('b'), 3], 'all')),
  ).toMatchObject({
    type: 'AggregateError',
    count: 3,
    names: ['TypeError', 'NonError'],
  })
  const looped = new Error('a')
  looped.cause = looped
  expect(told(looped).cause).toEqual(['Error', 'Error', 'Error', 'Error'])
  const hostile = Object.defineProperties(new Error('a'), {
    message: {
      get: () => {
        throw new Error('called')
      },
    },
    name: {
      get: () => {
        throw new Error('called')
      },
    },
    code: {
      get: () => {
        throw new Error('called')
      },
    },
    cause: {
      get: () => {
        throw new Error('called')
      },
    },
  })
  expect(told(hostile)).toEqual({ type: 'Error' })
})

test('stacks are told when asked for: eight frames, with nothing above the project', () => {
  const error = new Error('a')
  error.stack = [
    'Error: a canary in the message',
    `    at run (${process.cwd()}/src/run.ts:1:2)`,
    `    at file://${process.cwd()}/src/main.ts:3:4`,
    '    at load (/home/canary/other/node_modules/lib/index.js:5:6)',
    '    at other (/home/canary/other/file.js:7:8)',
    '    at node:internal/process:9:10',
    ...Array.from({ length: 9 }, (_, at) => `    at more${at} (x.ts:1:1)`),
  ].join('\n')
  const { stack } = capturer({ stack: true }).begin('none').error(error)
  expect(stack).toEqual([
    'at run (src/run.ts:1:2)',
    'at src/main.ts:3:4',
    'at load (node_modules/lib/index.js:5:6)',
    'at other (file.js:7:8)',
    'at node:internal/process:9:10',
    'at more0 (x.ts:1:1)',
    'at more1 (x.ts:1:1)',
    'at more2 (x.ts:1:1)',
  ])
  expect(capturer().begin('raw').error(error)).not.toHaveProperty('stack')
})

test('every mode names itself', () => {
  for (const mode of CAPTURE_MODES) expect(capturer().begin(mode).capture.mode).toBe(mode)
})

test('patched globals change nothing', () => {
  const { entries } = Map.prototype
  try {
    Map.prototype.entries = () => {
      throw new Error('patched')
    }
    expect(shown(new Map([['a', 1]]))).toEqual({ $type: 'Map', entries: [['a', 1]] })
  } finally {
    Map.prototype.entries = entries
  }
})

test('telemetry §16.11: a secret of the environment is known however it is written', () => {
  const password = 'p@ss"w\\ord ümlaut\nof-two-lines-each-long-enough'
  const certificate = '-----BEGIN THING-----\nMIIEpAIBAAKCAQEA0123456789\n-----END THING-----'
  const env = { DB_PASSWORD: password, THING_SECRET: certificate, PWD: '/home/someone/project' }
  const told = (text: string) => shown(text, 'redacted', { env, previewLen: 1000 })
  const inJson = JSON.stringify({ a: password })
  const written = [
    password,
    inJson,
    JSON.stringify({ text: inJson }),
    encodeURIComponent(password),
    String(new URLSearchParams({ q: password })),
    certificate.replaceAll('\n', '\r\n'),
    certificate.replaceAll('\n', '\n    '),
  ]
  for (const text of written) {
    expect(told(text)).toContain('[redacted:env-exact]')
    expect(told(text)).not.toMatch(/p(?:@|%40)ss|two-lines|MIIEpA/)
  }
  // The directory that a program runs in is named like a password, but is none.
  expect(told('/home/someone/project/src/main.ts')).toBe('/home/someone/project/src/main.ts')
})

test('telemetry §16.11: names of classes and functions are searched as well, in a summary too', () => {
  const secret = `sk-ant-${'api03-'.repeat(5)}`
  const named = (base: new () => object) =>
    Object.defineProperty(class extends base {}, 'name', { value: secret })
  const values = [
    new (named(Object))(),
    new (named(EventTarget))(),
    Object.defineProperty(() => {}, 'name', { value: secret }),
  ]
  for (const mode of CAPTURE_MODES.filter((one) => one !== 'raw'))
    for (const value of values) expect(JSON.stringify(shown(value, mode))).not.toContain(secret)
})
