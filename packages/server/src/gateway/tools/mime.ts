/**
 * Writes one e-mail: RFC 5322 headers, MIME `multipart/alternative` (RFC 2045, 2046), encoded words for what is not
 * ASCII (RFC 2047). Refuses to put a control character into any header.
 */
import type { Mailbox } from './mail-address.ts'

export interface Mail {
  /** Absent: the provider fills in the account's own address. */
  readonly from?: Mailbox
  readonly to: readonly Mailbox[]
  readonly cc: readonly Mailbox[]
  readonly bcc: readonly Mailbox[]
  readonly subject: string
  readonly text: string
  readonly html?: string
  readonly dateMs: number
  /** Letters and digits, unpredictable for whoever wrote the text. */
  readonly boundary: string
}

/** RFC 2047 §2: lines with encoded words have at most 76 characters; so have all of ours, if they can be folded. */
const LINE = 76
/** A word, with the longest name of a header before it, still fits a line. Bytes per word: 13 groups of 3. */
const WORD_BYTES = 39
const LONGEST_TOKEN = 64

/** @returns ASCII with CRLF line ends. */
export function mimeMessage(mail: Mail): string {
  // `=_` occurs in no base64 text, so no body can end the part it is in.
  const boundary = `=_${mail.boundary}`
  return [
    ...(mail.from === undefined ? [] : [header('From', mailboxes([mail.from]))]),
    header('To', mailboxes(mail.to)),
    ...(mail.cc.length === 0 ? [] : [header('Cc', mailboxes(mail.cc))]),
    ...(mail.bcc.length === 0 ? [] : [header('Bcc', mailboxes(mail.bcc))]),
    header('Subject', unstructured(mail.subject)),
    header('Date', [mailDate(mail.dateMs)]),
    header('MIME-Version', ['1.0']),
    header('Content-Type', ['multipart/alternative;', `boundary="${boundary}"`]),
    '',
    ...part(boundary, 'text/plain', mail.text),
    ...(mail.html === undefined ? [] : part(boundary, 'text/html', mail.html)),
    `--${boundary}--`,
    '',
  ].join('\r\n')
}

/** RFC 5322 §3.3, in UTC. */
export function mailDate(ms: number): string {
  return new Date(ms).toUTCString().replace('GMT', '+0000')
}

function part(boundary: string, type: string, text: string): string[] {
  // Text has CRLF line ends in its canonical form (RFC 2046 §4.1.1).
  const bytes = Buffer.from(text.replace(/\r\n|\r|\n/g, '\r\n'), 'utf8')
  return [
    `--${boundary}`,
    header('Content-Type', [`${type};`, 'charset=UTF-8']),
    header('Content-Transfer-Encoding', ['base64']),
    '',
    ...(bytes.toString('base64').match(/.{1,76}/g) ?? []),
  ]
}

function mailboxes(list: readonly Mailbox[]): string[] {
  return list.flatMap(({ name, address }, at) => {
    const comma = at < list.length - 1 ? ',' : ''
    if (name === undefined) return [`${address}${comma}`]
    return [...phrase(name), `<${address}>${comma}`]
  })
}

/** A display name. Quotes and backslashes are in none: the address was read without them. */
function phrase(name: string): string[] {
  const quotable = /^[\x20-\x7e]*$/.test(name) && !/=\?|["\\]/.test(name)
  return quotable && name.length < LONGEST_TOKEN ? [`"${name}"`] : encodedWords(name)
}

/** Words to be folded between, as they are if a reader will see the same text again. */
function unstructured(text: string): string[] {
  const words = text.split(' ')
  const plain =
    !text.includes('=?') &&
    words.every((word) => /^[\x21-\x7e]+$/.test(word) && word.length <= LONGEST_TOKEN)
  return plain ? words : encodedWords(text)
}

/** RFC 2047, base64, split between characters. White space between two of them is not part of the text. */
export function encodedWords(text: string): string[] {
  const words: string[] = []
  let bytes = 0
  let chunk = ''
  const flush = () => words.push(`=?UTF-8?B?${Buffer.from(chunk, 'utf8').toString('base64')}?=`)
  for (const char of text) {
    const size = Buffer.byteLength(char)
    if (bytes + size > WORD_BYTES) {
      flush()
      bytes = 0
      chunk = ''
    }
    bytes += size
    chunk += char
  }
  flush()
  return words
}

/** Folds between tokens (RFC 5322 §2.2.3). The first one stays beside the name. */
function header(name: string, tokens: readonly string[]): string {
  const lines: string[] = []
  let line = `${name}:`
  tokens.forEach((token, at) => {
    if (!/^[\x20-\x7e]*$/.test(token)) throw new Error(`header ${name} would not be plain ASCII`)
    if (at > 0 && line.length + 1 + token.length > LINE) {
      lines.push(line)
      line = ''
    }
    line += ` ${token}`
  })
  return [...lines, line].join('\r\n')
}
