import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseLocation, parseTarget, sameOrigin } from './url.ts'

const invalid = expect.objectContaining({ code: 'INVALID_PARAMS' })

describe('vault §28.32: every row of 8.2', () => {
  test('numeric tricks collapse to the address that they mean', () => {
    for (const host of [
      '0x7f.1',
      '2130706433',
      '0177.0.0.1',
      '127.1',
      '１２７.0.0.1',
      '127.0.0.1.',
    ]) {
      const target = parseTarget(`https://${host}/x`)
      expect(target.host, host).toBe('127.0.0.1')
      expect(target.literal, host).toEqual(Uint8Array.of(127, 0, 0, 1))
    }
  })

  test('an IPv4-mapped literal shows its bytes', () => {
    const target = parseTarget('https://[::ffff:169.254.169.254]/')
    expect(target.host).toBe('[::ffff:a9fe:a9fe]')
    expect(target.literal?.subarray(10)).toEqual(Uint8Array.of(255, 255, 169, 254, 169, 254))
  })

  test('one trailing dot is stripped, more are refused', () => {
    expect(parseTarget('https://EXAMPLE.com./').host).toBe('example.com')
    expect(parseTarget('https://localhost.').host).toBe('localhost')
    for (const host of ['example.com..', 'a..b', '.example.com', '.']) {
      expect(() => parseTarget(`https://${host}/`), host).toThrow(invalid)
    }
  })

  test('user info is refused, empty user info too', () => {
    for (const url of [
      'https://user:pw@host.example/',
      'https://user@h.example',
      'https://@h.example/',
    ]) {
      expect(() => parseTarget(url), url).toThrow(invalid)
    }
  })

  test('a back-slash ends the host, as browsers read it', () => {
    const target = parseTarget('https://a.example\\@b.example')
    expect([target.host, target.path]).toEqual(['a.example', '/@b.example'])
  })

  test('spaces and control characters are refused before parsing', () => {
    for (const char of [
      '\t',
      '\n',
      '\r',
      '\0',
      ' ',
      '\u007f',
      '\u0085',
      '\u00a0',
      '\u2028',
      '\u3000',
    ]) {
      for (const url of [
        `https://exa${char}mple.com/`,
        `${char}https://a.example/`,
        `https://a.example/${char}`,
      ]) {
        expect(() => parseTarget(url), JSON.stringify(url)).toThrow(invalid)
      }
    }
  })

  test('other scripts become punycode', () => {
    expect(parseTarget('https://bücher.example/').host).toBe('xn--bcher-kva.example')
  })

  test('literals, one-label names and special-use names need to be listed exactly', () => {
    for (const host of [
      '93.184.216.34',
      '[2606:2800::1]',
      'intranet',
      'localhost',
      'db.local',
      'db.internal',
      'a.b.localhost',
      'nas.home.arpa',
      'home.arpa',
      'x.onion',
      'X.ONION.',
    ]) {
      expect(parseTarget(`https://${host}/`).exactOnly, host).toBeDefined()
    }
    for (const host of ['api.example.com', 'notlocal.example', 'internal.example.com']) {
      expect(parseTarget(`https://${host}/`).exactOnly, host).toBeUndefined()
    }
  })

  test('the metadata host name is never a target', () => {
    for (const host of ['metadata.google.internal', 'METADATA.google.internal.']) {
      expect(() => parseTarget(`http://${host}/computeMetadata/v1`)).toThrow(
        expect.objectContaining({ code: 'SSRF_BLOCKED' }),
      )
    }
  })
})

test('a target names its parts, and never the fragment', () => {
  expect(parseTarget('HTTPS://Api.Example.com:8443/v1/a%20b?x=1&y=2&x=3#frag')).toEqual({
    scheme: 'https',
    host: 'api.example.com',
    port: 8443,
    path: '/v1/a%20b',
    query: '?x=1&y=2&x=3',
    queryNames: ['x', 'y'],
    href: 'https://api.example.com:8443/v1/a%20b?x=1&y=2&x=3',
    literal: undefined,
    exactOnly: undefined,
  })
  expect(parseTarget('http://a.example').port).toBe(80)
  expect(parseTarget('https://a.example:443/').href).toBe('https://a.example/')
})

test('other schemes, relative URLs, broken ports and half characters are refused', () => {
  for (const url of [
    'ftp://a.example/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    '//a.example/',
    '/path',
    'https:a.example',
    'https://',
    'https://a.example:0/',
    'https://a.example:99999/',
    'https://a.example/\ud800',
    'https://ex!ample.com/',
    `https://${'a'.repeat(64)}.example/`,
    `https://a.example/${'x'.repeat(20_000)}`,
    '',
  ]) {
    expect(() => parseTarget(url), url.slice(0, 40)).toThrow(invalid)
  }
})

test('an error never repeats the URL', () => {
  expect(() => parseTarget('https://user:hunter2@a.example/')).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
  )
})

test('a location is read against the hop that sent it', () => {
  const base = parseTarget('https://a.example/v1/x?q=1')
  expect(parseLocation('../y', base).href).toBe('https://a.example/y')
  expect(parseLocation('//b.example/z', base).host).toBe('b.example')
  expect(() => parseLocation('https://u:p@a.example/', base)).toThrow(invalid)
  expect(sameOrigin(base, parseLocation('https://a.example:443/', base))).toBe(true)
  expect(sameOrigin(base, parseLocation('https://a.example:444/', base))).toBe(false)
  expect(sameOrigin(base, parseLocation('http://a.example/', base))).toBe(false)
})

test('whatever is accepted is canonical: parsing it again changes nothing', () => {
  const piece = fc.constantFrom(
    'a',
    '.',
    '%2e',
    '@',
    ':',
    '/',
    '\\',
    '?',
    '#',
    '[',
    ']',
    '0x7f',
    '１',
    'é',
    '-',
    '1',
    ':80',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const raw = `https://${pieces.join('')}`
      try {
        const target = parseTarget(raw)
        const again = parseTarget(target.href)
        expect(again).toEqual(target)
        expect(new URL(target.href).username).toBe('')
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/INVALID_PARAMS|SSRF_BLOCKED/) })
      }
    }),
  )
})
