import { VestryError } from '@vestry/contract/errors'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Secret } from '../seal/secret.ts'
import { Needles } from './needles.ts'
import { Scrubber } from './scrub.ts'

function needles(...texts: (string | Uint8Array)[]): Needles {
  return Needles.of(texts.map((text) => Secret.copy(Buffer.from(text))))
}

function scrub(body: string | Uint8Array, ...secrets: (string | Uint8Array)[]): string {
  const scrubber = new Scrubber(needles(...secrets))
  return Buffer.from(scrubber.body(Buffer.from(body), true)).toString('utf8')
}

const SECRET = 'sk_live/+"a&b\\c=%9z'

const percentAll = (text: string, upper: boolean) =>
  [...Buffer.from(text)]
    .map((byte) => {
      const hex = byte.toString(16).padStart(2, '0')
      return `%${upper ? hex.toUpperCase() : hex}`
    })
    .join('')

const unicode = (text: string) =>
  [...text].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')

const html = (text: string) =>
  text
    .replace(/&/g, '&amp;')
    .replace(/"/g, '&quot;')
    .replace(/\//g, '&#x2F;')
    .replace(/=/g, '&#61;')

/** Shapes that must be found alone; each is also tried with text around it. */
const SHAPES: Record<string, (text: string) => string> = {
  'raw bytes': (text) => text,
  'percent-encoding': encodeURIComponent,
  'percent-encoding, lower-case hex': (text) =>
    encodeURIComponent(text).replace(/%../g, (hex) => hex.toLowerCase()),
  'percent-encoding of every byte': (text) => percentAll(text, true),
  'percent-encoding of every byte, lower case': (text) => percentAll(text, false),
  'percent-encoding twice': (text) => encodeURIComponent(encodeURIComponent(text)),
  'form encoding': (text) => new URLSearchParams([['', text]]).toString().slice(1),
  JSON: (text) => JSON.stringify(text).slice(1, -1),
  'JSON with escaped slashes': (text) => JSON.stringify(text).slice(1, -1).replace(/\//g, '\\/'),
  'JSON with every character as \\u00xx': unicode,
  'JSON with upper-case hex': (text) =>
    unicode(text).replace(/[0-9a-f]{4}/g, (hex) => hex.toUpperCase()),
  'JSON inside JSON': (text) => JSON.stringify(JSON.stringify(text)).slice(3, -3),
  '\\x escapes': (text) =>
    [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  'HTML entities': html,
  'HTML entities twice': (text) => html(html(text)),
  'HTML decimal references': (text) => [...text].map((char) => `&#${char.charCodeAt(0)};`).join(''),
  hex: (text) => Buffer.from(text).toString('hex'),
  'hex, upper case': (text) => Buffer.from(text).toString('hex').toUpperCase(),
}
for (const before of ['', 'x', 'xy', 'xyz', 'user:']) {
  for (const after of ['', '!', '!!', '!!!']) {
    const name = `in ${JSON.stringify(`${before}…${after}`)}`
    const blob = (text: string) => Buffer.from(before + text + after)
    SHAPES[`base64 ${name}`] = (text) => blob(text).toString('base64')
    SHAPES[`base64 without padding ${name}`] = (text) =>
      blob(text).toString('base64').replace(/=/g, '')
    SHAPES[`base64url ${name}`] = (text) => blob(text).toString('base64url')
    SHAPES[`percent-encoded base64 ${name}`] = (text) =>
      encodeURIComponent(blob(text).toString('base64'))
  }
}

describe('vault §28.35: a secret is found in every shape it may be reflected in', () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    test(name, () => {
      const reflected = shape(SECRET)
      const clean = scrub(`{"a":"${reflected}","b":1}`, SECRET)
      expect(clean).toContain('[REDACTED]')
      expect(clean).not.toContain(reflected)
      // Nothing stays but the text around it.
      expect(clean.length).toBeLessThan(`{"a":"[REDACTED]","b":1}`.length + 20)
      expect(scrub(reflected, SECRET)).toContain('[REDACTED]')
    })
  }

  test('base64 broken into lines', () => {
    const long = 'a-long-secret-'.repeat(12)
    const blob = Buffer.from(`login:${long}`).toString('base64')
    for (const end of ['\n', '\r\n', '\\r\\n', '%0D%0A']) {
      const clean = scrub(blob.replace(/.{76}/g, `$&${end}`), long)
      expect(clean).toBe('bG9naW46[REDACTED]')
    }
  })

  test('a space as plus or %20', () => {
    expect(scrub('q=two+words+here&x', 'two words here')).toBe('q=[REDACTED]&x')
    expect(scrub('q=two%20words%20here&x', 'two words here')).toBe('q=[REDACTED]&x')
  })

  test('a secret beyond ASCII, in whichever character set it comes back', () => {
    const secret = 'Zürich-é-straße'
    for (const stored of [Buffer.from(secret, 'utf8'), Buffer.from(secret, 'latin1')]) {
      for (const reflected of [
        Buffer.from(secret, 'utf8'),
        Buffer.from(secret, 'latin1'),
        Buffer.from(unicode(secret)),
        Buffer.from(encodeURIComponent(secret)),
        Buffer.from('Z&uuml;rich-&eacute;-stra&szlig;e'),
        Buffer.from(Buffer.from(secret, 'utf8').toString('base64')),
        Buffer.from(Buffer.from(secret, 'latin1').toString('hex')),
      ]) {
        expect(scrub(reflected, stored)).toBe('[REDACTED]')
      }
    }
    // UTF-8 bytes taken for Latin-1 and encoded again.
    const twice = Buffer.from(Buffer.from(secret, 'utf8').toString('latin1'), 'utf8')
    expect(scrub(twice, secret)).toBe('[REDACTED]')
    expect(scrub('{"k":"pass\\ud83d\\ude00word"}', 'pass😀word')).toBe('{"k":"[REDACTED]"}')
  })

  test('any secret in any mix of escapes', () => {
    const byte = fc.integer({ min: 0x21, max: 0x7e })
    const secretAndMix = fc.array(byte, { minLength: 8, maxLength: 24 }).chain((bytes) =>
      fc.tuple(
        fc.constant(bytes),
        fc.array(fc.integer({ min: 0, max: 4 }), {
          minLength: bytes.length,
          maxLength: bytes.length,
        }),
      ),
    )
    fc.assert(
      fc.property(secretAndMix, ([bytes, mix]) => {
        const secret = String.fromCharCode(...bytes)
        const mixed = bytes.map((value, at) => escaped(value, mix[at] ?? 0)).join('')
        expect(scrub(`"${mixed}"`, secret)).toBe('"[REDACTED]"')
      }),
      { numRuns: 500 },
    )
  })
})

test('JSON stays JSON, and what is not the secret stays as it was', () => {
  for (const secret of [SECRET, 'ends-with-\\', 'quote"inside', '\\\\double\\\\']) {
    const body = JSON.stringify({
      before: 'ü € 😀',
      key: secret,
      nested: JSON.stringify({ key: secret }),
    })
    const clean: unknown = JSON.parse(scrub(body, secret))
    expect(clean).toMatchObject({ before: 'ü € 😀', key: '[REDACTED]' })
    expect(JSON.stringify(clean)).not.toContain(JSON.stringify(secret).slice(1, -1))
  }
  const binary = Uint8Array.from({ length: 4096 }, (_, at) => (at * 7919) & 0xff)
  expect(new Scrubber(needles(SECRET)).body(binary, true)).toEqual(binary)
})

test('several secrets and overlapping ones leave nothing between them', () => {
  expect(scrub('user:passw0rd', 'user:passw0rd', 'passw0rd')).toBe('[REDACTED]')
  expect(scrub('abcabcabcabcX', 'abcabcabc')).toBe('[REDACTED]X')
  expect(scrub('first-one first-two', 'first-one', 'first-two')).toBe('[REDACTED] [REDACTED]')
})

describe('short secrets are matched at token boundaries only', () => {
  test('whole tokens go, parts of words stay', () => {
    expect(scrub('hunt hunter "hunt" xhunt =hunt& hunt', 'hunt')).toBe(
      '[REDACTED] hunter "[REDACTED]" xhunt =[REDACTED]& [REDACTED]',
    )
  })

  test('an escape is a boundary', () => {
    expect(scrub('%3Dhunt%26 \\nhunt\\n \\u003dhunt', 'hunt')).toBe(
      '%3D[REDACTED]%26 \\n[REDACTED]\\n \\u003d[REDACTED]',
    )
  })

  test('fewer than four bytes cannot be used at all', () => {
    expect(() => needles('abc')).toThrow(expect.objectContaining({ code: 'UNUSABLE_CREDENTIAL' }))
  })
})

test('header text and URLs are matched in any case, bodies in theirs', () => {
  const scrubber = new Scrubber(needles('SeCrEt-ToKeN'))
  expect(scrubber.text('x-secret-token-header', 'header-name')).toBe('x-[REDACTED]-header')
  expect(scrubber.text('https://secret-token.example/', 'url')).toBe('https://[REDACTED].example/')
  expect(Buffer.from(scrubber.body(Buffer.from('secret-token'), true)).toString()).toBe(
    'secret-token',
  )
  expect(scrubber.redactions).toEqual({ count: 2, places: ['header-name', 'url'] })
})

test('a cut body gives up the beginning of a secret at its end', () => {
  const secret = 'a-secret-of-some-length'
  for (const shape of [
    (t: string) => t,
    encodeURIComponent,
    unicode,
    (t: string) => Buffer.from(t).toString('hex'),
  ]) {
    const whole = `text ${shape(secret)}`
    for (let cut = 5; cut < whole.length; cut += 1) {
      const scrubber = new Scrubber(needles(secret))
      const clean = Buffer.from(scrubber.body(Buffer.from(whole.slice(0, cut)), false)).toString()
      expect(clean.length, whole.slice(0, cut)).toBeLessThanOrEqual(5)
    }
  }
})

test('a stream is scrubbed alike however it is cut into chunks, and ordinary text is not held back', () => {
  const texts = Object.values(SHAPES).map((shape) => shape(SECRET))
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...texts), fc.string()), { maxLength: 6 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (parts, sizes) => {
        const data = Buffer.from(parts.join(' '))
        const whole = new Scrubber(needles(SECRET)).body(data, true)
        const stream = new Scrubber(needles(SECRET)).stream()
        const out: Uint8Array[] = []
        for (let at = 0; at < data.length; ) {
          const size = sizes.next().value ?? 1
          out.push(stream.push(data.subarray(at, at + size)))
          at += size
        }
        out.push(stream.end())
        // A base64 character that went out before the secret began may share bits with it: the one difference.
        const expected = Buffer.from(whole).toString('latin1').split('[REDACTED]')
        const streamed = Buffer.concat(out).toString('latin1').split('[REDACTED]')
        expect(streamed).toHaveLength(expected.length)
        for (const [at, text] of streamed.entries()) {
          expect(text.startsWith(expected[at] ?? '?')).toBe(true)
          expect(text.slice(expected[at]?.length)).toMatch(/^[\w+/-]?$/)
        }
      },
    ),
    { numRuns: 200 },
  )
  const stream = new Scrubber(needles(SECRET)).stream()
  expect(Buffer.from(stream.push(Buffer.from('data: {"x":"hello"}\n\n'))).toString()).toBe(
    'data: {"x":"hello"}\n\n',
  )
})

test('errors are cleaned in message, hint and context, and lose a cause that quotes the secret', () => {
  const scrubber = new Scrubber(needles(SECRET))
  const dirty = new VestryError('UPSTREAM_ERROR', `said ${SECRET}`, {
    hint: `try ${encodeURIComponent(SECRET)}`,
    context: { list: [{ [SECRET]: SECRET }], n: 1 },
    cause: new Error(SECRET),
  })
  const clean = scrubber.error(dirty)
  expect(clean).toMatchObject({
    code: 'UPSTREAM_ERROR',
    message: 'said [REDACTED]',
    hint: 'try [REDACTED]',
    context: { list: [{ '[REDACTED]': '[REDACTED]' }], n: 1 },
  })
  expect(clean.cause).toBeUndefined()
  const harmless = new VestryError('UPSTREAM_ERROR', 'no secret here')
  expect(scrubber.error(harmless)).toBe(harmless)
})

test('disposing wipes every shape', () => {
  const known = needles(SECRET)
  known[Symbol.dispose]()
  for (const { chars, folded } of known.forms) {
    expect([...chars, ...folded].every((byte) => byte === 0)).toBe(true)
  }
})

/** One character, plain or in one of the escapes; characters that begin an escape are always escaped. */
function escaped(value: number, how: number): string {
  const char = String.fromCharCode(value)
  const hex = value.toString(16).padStart(2, '0')
  if (how === 1 || char === '%') return `%${hex}`
  if (how === 2 || char === '\\') return `\\u00${hex}`
  if (how === 3 || char === '&') return `&#x${hex};`
  if (how === 4) return `\\x${hex}`
  return char
}
