import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { encodedWords, type Mail, mailDate, mimeMessage } from './mime.ts'

const to = { name: undefined, address: 'a@example.org', domain: 'example.org' }
const mail: Mail = {
  to: [to],
  cc: [],
  bcc: [],
  subject: 'Hi',
  text: 'Hello',
  dateMs: Date.UTC(2030, 0, 1, 0, 0, 5),
  boundary: '00112233445566778899aabbccddeeff',
}
const lines = (...text: string[]) => text.join('\r\n')

/** As a mail reader does: unfolds, then decodes encoded words and drops white space between them. */
function readHeader(message: string, name: string): string {
  const [head = ''] = message.split('\r\n\r\n', 1)
  const line = head
    .replace(/\r\n(?=[ \t])/g, '')
    .split('\r\n')
    .find((candidate) => candidate.startsWith(`${name}: `))
  return decodeWords((line ?? '').slice(name.length + 2))
}

function decodeWords(text: string): string {
  return text
    .replace(/(\?=) +(?==\?UTF-8\?B\?)/g, '$1')
    .replace(/=\?UTF-8\?B\?([A-Za-z0-9+/=]*)\?=/g, (_, word: string) =>
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
        Buffer.from(word, 'base64'),
      ),
    )
}

test('a plain message, byte for byte', () => {
  expect(mimeMessage(mail)).toBe(
    lines(
      'To: a@example.org',
      'Subject: Hi',
      'Date: Tue, 01 Jan 2030 00:00:05 +0000',
      'MIME-Version: 1.0',
      'Content-Type: multipart/alternative;',
      ' boundary="=_00112233445566778899aabbccddeeff"',
      '',
      '--=_00112233445566778899aabbccddeeff',
      'Content-Type: text/plain; charset=UTF-8',
      'Content-Transfer-Encoding: base64',
      '',
      'SGVsbG8=',
      '--=_00112233445566778899aabbccddeeff--',
      '',
    ),
  )
})

test('a message with everything, byte for byte', () => {
  const full = mimeMessage({
    ...mail,
    from: { name: 'Zoë', address: 'z@example.org', domain: 'example.org' },
    to: [to, { name: 'Doe, Jane', address: 'jane@example.org', domain: 'example.org' }],
    cc: [{ name: undefined, address: 'c@example.org', domain: 'example.org' }],
    bcc: [{ name: undefined, address: 'd@example.org', domain: 'example.org' }],
    subject: 'Café 🔧',
    text: 'one\ntwo\r\nthree\rfour',
    html: '<p>é</p>',
  })
  expect(full).toBe(
    lines(
      'From: =?UTF-8?B?Wm/Dqw==?= <z@example.org>',
      'To: a@example.org, "Doe, Jane" <jane@example.org>',
      'Cc: c@example.org',
      'Bcc: d@example.org',
      'Subject: =?UTF-8?B?Q2Fmw6kg8J+Upw==?=',
      'Date: Tue, 01 Jan 2030 00:00:05 +0000',
      'MIME-Version: 1.0',
      'Content-Type: multipart/alternative;',
      ' boundary="=_00112233445566778899aabbccddeeff"',
      '',
      '--=_00112233445566778899aabbccddeeff',
      'Content-Type: text/plain; charset=UTF-8',
      'Content-Transfer-Encoding: base64',
      '',
      'b25lDQp0d28NCnRocmVlDQpmb3Vy',
      '--=_00112233445566778899aabbccddeeff',
      'Content-Type: text/html; charset=UTF-8',
      'Content-Transfer-Encoding: base64',
      '',
      'PHA+w6k8L3A+',
      '--=_00112233445566778899aabbccddeeff--',
      '',
    ),
  )
})

describe('long headers', () => {
  it('are folded between words', () => {
    const subject = Array(14).fill('lorem ipsum').join(' ')
    const message = mimeMessage({ ...mail, subject })
    expect(message).toContain(
      lines(
        'Subject: lorem ipsum lorem ipsum lorem ipsum lorem ipsum lorem ipsum lorem',
        ' ipsum lorem ipsum lorem ipsum lorem ipsum lorem ipsum lorem ipsum lorem',
        ' ipsum lorem ipsum lorem ipsum',
        'Date:',
      ),
    )
    expect(readHeader(message, 'Subject')).toBe(subject)
  })

  it('are split into encoded words between characters', () => {
    const subject = '🔧'.repeat(100)
    const words = encodedWords(subject)
    expect(words.length).toBeGreaterThan(1)
    for (const word of words) expect(word.length).toBeLessThanOrEqual(75)
    expect(readHeader(mimeMessage({ ...mail, subject }), 'Subject')).toBe(subject)
  })

  it.each(['x'.repeat(200), ' leading', 'trailing ', 'two  spaces', '=?UTF-8?B?SGk=?=', '=?'])(
    '%j comes back as it was',
    (subject) => {
      const message = mimeMessage({ ...mail, subject })
      expect(readHeader(message, 'Subject')).toBe(subject)
      expect(message).not.toMatch(/^Subject: =\?UTF-8\?B\?SGk=\?=\r$/m)
    },
  )
})

test('gateway §19.28: no control character gets into a header, whoever calls', () => {
  const spoilt = (text: string) => ({ name: undefined, address: text, domain: 'example.org' })
  for (const bad of ['a@example.org\r\nBcc: b@evil.example', 'a\n', 'a\0', 'é']) {
    expect(() => mimeMessage({ ...mail, to: [spoilt(bad)] })).toThrow('plain ASCII')
  }
  const message = mimeMessage({ ...mail, subject: 'Hi\r\nBcc: b@evil.example' })
  expect(message).not.toMatch(/^Bcc:/m)
})

test('any subject and name come back as they were, in short ASCII lines', () => {
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
    fc.string({
      unit: fc.constantFrom('a', ' ', '=', '?', 'é', '.', 'Q'),
      minLength: 1,
      maxLength: 200,
    }),
  )
  const header = text.filter((value) => !/[\p{Cc}"\\]/u.test(value))
  fc.assert(
    fc.property(header, header, (subject, name) => {
      const message = mimeMessage({ ...mail, subject, to: [{ ...to, name }, to] })
      expect(readHeader(message, 'Subject')).toBe(subject)
      const shown = readHeader(message, 'To')
      expect(shown).toMatch(/ <a@example\.org>, a@example\.org$/)
      expect(
        shown.slice(0, -' <a@example.org>, a@example.org'.length).replace(/^"(.*)"$/, '$1'),
      ).toBe(name)
      for (const line of message.split('\r\n')) expect(line).toMatch(/^[\x20-\x7e]{0,76}$/)
    }),
    { numRuns: 500 },
  )
})

test('any text comes back with CRLF line ends, and cannot end its part', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const message = mimeMessage({ ...mail, text: `${text}\n--=_${mail.boundary}--\n` })
      const [, part = ''] = message.split(`\r\n--=_${mail.boundary}\r\n`)
      const body = part.slice(
        part.indexOf('\r\n\r\n') + 4,
        part.indexOf(`\r\n--=_${mail.boundary}--`),
      )
      const read = Buffer.from(body.replaceAll('\r\n', ''), 'base64').toString('utf8')
      expect(read).toBe(`${text}\n--=_${mail.boundary}--\n`.replace(/\r\n|\r|\n/g, '\r\n'))
    }),
  )
})

test('dates are those of RFC 5322', () => {
  expect(mailDate(0)).toBe('Thu, 01 Jan 1970 00:00:00 +0000')
})
