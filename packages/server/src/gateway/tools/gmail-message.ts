/** What `gmail_send:send` takes, and the message it becomes (wire contract §11.5). */
import { type Mailbox, parseMailbox } from './mail-address.ts'
import { mimeMessage } from './mime.ts'
import { lazyParamCheck } from './param-schema.ts'
import { characters, pick, plainParams } from './params.ts'
import {
  InvalidToolParams,
  type Json,
  type JsonObject,
  type RequestContext,
  type ToolFacts,
} from './tool.ts'

const MAX_RECIPIENTS = 100
/** An address of 254 characters and a name of 128. */
const ADDRESS = { type: 'string', minLength: 1, maxLength: 400 }
const LIST = { type: 'array', maxItems: MAX_RECIPIENTS, items: ADDRESS }

export const SEND = {
  type: 'object',
  properties: {
    to: {
      type: ['string', 'array'],
      minLength: 1,
      maxLength: 400,
      minItems: 1,
      maxItems: MAX_RECIPIENTS,
      items: ADDRESS,
    },
    subject: { type: 'string', minLength: 1, maxLength: 200 },
    body: { type: 'string', minLength: 1, maxLength: 10_000 },
    html: { type: 'string', maxLength: 100_000 },
    from: { ...ADDRESS, default: 'me' },
    cc: LIST,
    bcc: LIST,
  },
  required: ['to', 'subject', 'body'],
  additionalProperties: false,
} satisfies JsonObject

const SEND_NAMES = { to: [], subject: [], body: ['text'], html: [], from: [], cc: [], bcc: [] }
const checkSend = lazyParamCheck(SEND)

export function normaliseSend(given: JsonObject): JsonObject {
  const plain = plainParams(given)
  const { params, spelling } = pick(plain, SEND_NAMES)
  const problems: string[] = []
  const { body, text } = plain
  if (body !== undefined && text !== undefined && body !== text) {
    problems.push('body: differs from text; give one of them')
  }
  problems.push(...checkSend(params, spelling).problems)
  if (typeof params['subject'] === 'string' && !isHeaderText(params['subject'])) {
    problems.push('subject: must not contain line breaks or control characters')
  }
  if (params['from'] !== 'me') problems.push(...addressProblems('from', params['from']))
  for (const name of ['to', 'cc', 'bcc']) problems.push(...addressProblems(name, params[name]))
  if (problems.length > 0) throw new InvalidToolParams(problems)
  // One form for one recipient, so that policies need to know only one.
  const { to } = params
  if (Array.isArray(to) && to.length === 1) params['to'] = to[0] ?? ''
  return params
}

function addressProblems(name: string, value: Json | undefined): string[] {
  const list = Array.isArray(value) ? value : [value]
  return list.flatMap((item, at) => {
    // Other types and empty texts are the schema's to refuse.
    if (typeof item !== 'string' || item === '' || parseMailbox(item) !== undefined) return []
    const path = Array.isArray(value) ? `${name}[${at}]` : name
    return [`${path}: must be one e-mail address, without line breaks or control characters`]
  })
}

function isHeaderText(text: string): boolean {
  return !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)
}

function mailboxesOf(value: Json | undefined): Mailbox[] {
  const list = Array.isArray(value) ? value : [value]
  return list.flatMap((item) => (typeof item === 'string' ? (parseMailbox(item) ?? []) : []))
}

export function sendFacts(params: JsonObject): ToolFacts {
  const domains = ['to', 'cc', 'bcc'].flatMap((name) =>
    mailboxesOf(params[name]).map(({ domain }) => domain),
  )
  const lengths: Record<string, number> = {}
  for (const name of ['subject', 'body', 'html']) {
    const text = params[name]
    if (typeof text === 'string') lengths[name] = characters(text)
  }
  return { recipients: [...new Set(domains)].sort(), lengths }
}

/** base64url without padding, as Gmail takes it. */
export function rawMessage(params: JsonObject, { nowMs, random }: RequestContext): string {
  const { subject, body, html, from } = params
  const [sender] = from === 'me' ? [] : mailboxesOf(from)
  const message = mimeMessage({
    ...(sender !== undefined && { from: sender }),
    to: mailboxesOf(params['to']),
    cc: mailboxesOf(params['cc']),
    bcc: mailboxesOf(params['bcc']),
    subject: String(subject),
    text: String(body),
    ...(typeof html === 'string' && { html }),
    dateMs: nowMs,
    boundary: random,
  })
  return Buffer.from(message, 'ascii').toString('base64url')
}
