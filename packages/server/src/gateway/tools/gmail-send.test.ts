import { describe, expect, it, test } from 'vitest'
import { gmailSend } from './gmail-send.ts'
import { actionOf, CONTEXT, problemsOf, reply } from './test-context.ts'
import type { JsonObject } from './tool.ts'

const tool = gmailSend()
const send = actionOf(tool, 'send')
const profile = actionOf(tool, 'profile')
const mail = { to: 'a@example.org', subject: 'Hi', body: 'Hello' }
const normal = { ...mail, from: 'me' }

function rawOf(params: JsonObject): string {
  const { body } = send.request(send.normalise(params), CONTEXT)
  const { raw } = JSON.parse(Buffer.from(body ?? []).toString('utf8')) as { raw: string }
  expect(raw).toMatch(/^[A-Za-z0-9_-]+$/)
  return Buffer.from(raw, 'base64url').toString('ascii')
}

test('the seed’s call is taken as it is; its idempotency key is removed', () => {
  expect(send.normalise({ ...mail, idempotency_key: 'idemp_1', intent: 'x' })).toEqual(normal)
})

test('text is another word for body, and both may be given if they are the same', () => {
  const { body, ...rest } = mail
  expect(send.normalise({ ...rest, text: body })).toEqual(normal)
  expect(send.normalise({ ...mail, text: body })).toEqual(normal)
  expect(problemsOf(send, { ...mail, text: 'Other' })).toEqual([
    'body: differs from text; give one of them',
  ])
})

test('a list of one recipient is that recipient', () => {
  expect(send.normalise({ ...mail, to: ['a@example.org'] })).toEqual(normal)
  const two = ['a@example.org', 'B <b@example.org>']
  expect(send.normalise({ ...mail, to: two })).toEqual({ ...normal, to: two })
})

const ADDRESS = 'must be one e-mail address, without line breaks or control characters'
test.each<[string, JsonObject, string[]]>([
  [
    'nothing',
    { to: undefined, subject: undefined, body: undefined } as unknown as JsonObject,
    ['params: must be plain JSON'],
  ],
  ['no subject', { to: mail.to, body: 'x' }, ['subject: is required']],
  ['no recipient', { subject: 'x', body: 'x' }, ['to: is required']],
  ['no text', { to: mail.to, subject: 'x' }, ['body: is required']],
  ['an empty subject', { ...mail, subject: '' }, ['subject: must not be empty']],
  [
    'a long subject',
    { ...mail, subject: 'x'.repeat(201) },
    ['subject: must have at most 200 characters'],
  ],
  ['an empty body', { ...mail, body: '' }, ['body: must not be empty']],
  [
    'a long text',
    { to: mail.to, subject: 'x', text: 'x'.repeat(10_001) },
    ['text: must have at most 10000 characters'],
  ],
  [
    'long html',
    { ...mail, html: 'x'.repeat(100_001) },
    ['html: must have at most 100000 characters'],
  ],
  ['a number for to', { ...mail, to: 5 }, ['to: must be text or a list']],
  ['an empty to', { ...mail, to: '' }, ['to: must not be empty']],
  ['no one in to', { ...mail, to: [] }, ['to: must have at least 1 item']],
  [
    '101 recipients',
    { ...mail, to: Array(101).fill('a@example.org') },
    ['to: must have at most 100 items'],
  ],
  ['cc as text', { ...mail, cc: 'a@example.org' }, ['cc: must be a list']],
  ['a number in bcc', { ...mail, bcc: [1] }, ['bcc[0]: must be text']],
  [
    'two addresses in one text',
    { ...mail, to: 'a@example.org, b@example.org' },
    [`to: ${ADDRESS}`],
  ],
  ['a bad address in a list', { ...mail, cc: ['a@example.org', 'b'] }, [`cc[1]: ${ADDRESS}`]],
  ['a bad sender', { ...mail, from: 'you' }, [`from: ${ADDRESS}`]],
])('send refuses %s', (_name, params, problems) => {
  expect(problemsOf(send, params)).toEqual(problems)
})

describe('gateway §19.28: CR, LF and NUL in a header are refused before anything is sent', () => {
  const injections = [
    '\r\nBcc: b@evil.example',
    '\nX: y',
    '\rX: y',
    '\0',
    '\r\n\r\nbody',
    '\u2028',
    '\u0085',
  ]
  it.each(injections)('%j', (bad) => {
    const text = 'must not contain line breaks or control characters'
    expect(problemsOf(send, { ...mail, subject: `Hi${bad}` })).toEqual([`subject: ${text}`])
    for (const name of ['to', 'from']) {
      for (const value of [
        `a@example.org${bad}`,
        `A${bad} <a@example.org>`,
        `"A${bad}" <a@example.org>`,
      ]) {
        expect(problemsOf(send, { ...mail, [name]: value })).toEqual([`${name}: ${ADDRESS}`])
      }
    }
    for (const name of ['to', 'cc', 'bcc']) {
      expect(
        problemsOf(send, { ...mail, [name]: ['b@example.org', `a@example.org${bad}`] }),
      ).toEqual([`${name}[1]: ${ADDRESS}`])
    }
  })
})

test('half a surrogate pair is refused anywhere', () => {
  expect(problemsOf(send, { ...mail, body: 'x\ud800' })).toEqual([
    'params: must hold well-formed text only',
  ])
})

test('the message goes out with everyone it is for', () => {
  const raw = rawOf({
    ...mail,
    to: ['a@example.org', 'Bé <b@example.org>'],
    cc: ['c@Example.ORG'],
    bcc: ['"D, E" <d@other.example>'],
    from: 'Me <me@example.org>',
    html: '<b>Hello</b>',
  })
  expect(raw.split('\r\n').slice(0, 7)).toEqual([
    'From: "Me" <me@example.org>',
    'To: a@example.org, =?UTF-8?B?QsOp?= <b@example.org>',
    'Cc: c@example.org',
    'Bcc: "D, E" <d@other.example>',
    'Subject: Hi',
    'Date: Tue, 01 Jan 2030 00:00:05 +0000',
    'MIME-Version: 1.0',
  ])
  expect(raw).toContain('Content-Type: text/html; charset=UTF-8')
})

test('from "me" leaves the sender to the account', () => {
  expect(rawOf(mail)).toMatch(/^To: a@example\.org\r\nSubject: Hi\r\n/)
})

test('send writes, once, with the account’s token', () => {
  expect(send.request(send.normalise(mail), CONTEXT)).toMatchObject({
    url: 'https://gmail.googleapis.com/gmail/v1/users/me/messages/send',
    method: 'POST',
    timeoutMs: 30_000,
    followRedirects: false,
  })
  expect([send.permission, send.repeatable, send.cacheMs]).toEqual(['write', false, 0])
  expect(tool.credential).toEqual({ path: 'tools/gmail_send', inject: { headerType: 'bearer' } })
})

test('policy is told the domains of all recipients and the sizes of the texts', () => {
  const params = send.normalise({
    ...mail,
    to: ['a@Example.org', 'b@example.org'],
    cc: ['c@münchen.de'],
    bcc: ['d@other.example'],
    html: '<p>',
  })
  expect(send.facts(params)).toEqual({
    recipients: ['example.org', 'other.example', 'xn--mnchen-3ya.de'],
    lengths: { subject: 2, body: 5, html: 3 },
  })
})

test('the result has every field that callers read', () => {
  const answer = reply(200, { id: '18c', threadId: '17b', labelIds: ['SENT'] })
  expect(send.result(answer, normal, CONTEXT)).toEqual({
    success: true,
    id: '18c',
    message_id: '18c',
    messageId: '18c',
    threadId: '17b',
    to: 'a@example.org',
    subject: 'Hi',
    status: 'sent',
    timestamp: '2030-01-01T00:00:05.000Z',
  })
  expect(send.result(reply(200, 'OK'), normal, CONTEXT)).toMatchObject({ success: true, id: null })
  expect(() => send.result(reply(403, 'no'), normal, CONTEXT)).toThrow(
    expect.objectContaining({ kind: 'auth' }),
  )
})

test('profile takes nothing and reads', () => {
  expect(profile.normalise({ anything: 1, intent: 'x' })).toEqual({})
  expect(profile.request({}, CONTEXT)).toMatchObject({
    url: 'https://gmail.googleapis.com/gmail/v1/users/me/profile',
    method: 'GET',
    timeoutMs: 10_000,
  })
  expect([profile.permission, profile.repeatable]).toEqual(['read', true])
  const answer = reply(200, { emailAddress: 'me@example.org', messagesTotal: 3 })
  expect(profile.result(answer, {}, CONTEXT)).toEqual({
    emailAddress: 'me@example.org',
    messagesTotal: 3,
    email: 'me@example.org',
    name: 'me@example.org',
    status: 'active',
  })
})

describe('mocks', () => {
  it('of send take their id from the idempotency key, if there is one', () => {
    const keyed = { ...CONTEXT, idempotencyKey: 'idemp_12345678' }
    const first = send.mock(normal, keyed) as JsonObject
    expect(send.mock(normal, { ...keyed, random: 'f'.repeat(32) })).toEqual(first)
    expect(first).toEqual({
      success: true,
      id: expect.stringMatching(/^mock_[0-9a-f]{24}$/),
      message_id: first['id'],
      messageId: first['id'],
      threadId: first['id'],
      to: 'a@example.org',
      subject: 'Hi',
      status: 'queued',
      timestamp: '2030-01-01T00:00:05.000Z',
      subject_len: 2,
      body_len: 5,
    })
    expect(send.mock(normal, CONTEXT)).toHaveProperty('id', 'mock_00112233445566778899aabb')
  })

  it('of profile are always the same', () => {
    expect(profile.mock({}, CONTEXT)).toEqual({
      email: 'mock@example.com',
      emailAddress: 'mock@example.com',
      name: 'Mock User',
      status: 'active',
    })
  })
})
