/** Signatures of providers, computed here by other means than the code under test has. */
import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import type { WebhookProvider } from '../../dsl/definition.ts'
import { isSigned } from './signature.ts'

const SECRET = 'It is a secret, ö'
const BODY = '{"ref":"refs/heads/main","who":"Zoë"}'
const NOW_S = 1_900_000_000

function hmac(text: string, secret = SECRET): string {
  return createHmac('sha256', Buffer.from(secret, 'utf8')).update(text, 'utf8').digest('hex')
}

function check(
  provider: WebhookProvider,
  headers: Readonly<Record<string, string>>,
  { body = BODY, secret = SECRET }: { body?: string; secret?: string } = {},
): boolean {
  const header = (name: string) => headers[name]
  const request = { provider, header, body: Buffer.from(body), nowMs: NOW_S * 1_000 }
  return isSigned(request, Buffer.from(secret))
}

function headersOf(provider: WebhookProvider, at = NOW_S, secret = SECRET): Record<string, string> {
  switch (provider) {
    case 'github':
      return { 'x-hub-signature-256': `sha256=${hmac(BODY, secret)}` }
    case 'gitlab':
      // As Node has it: a character for each byte that was sent.
      return { 'x-gitlab-token': Buffer.from(secret, 'utf8').toString('latin1') }
    case 'slack':
      return {
        'x-slack-request-timestamp': String(at),
        'x-slack-signature': `v0=${hmac(`v0:${at}:${BODY}`, secret)}`,
      }
    case 'stripe':
      return { 'stripe-signature': `t=${at},v1=${hmac(`${at}.${BODY}`, secret)},v0=abc` }
    case 'custom':
      return { 'x-signature': hmac(BODY, secret) }
  }
}

const PROVIDERS = ['github', 'gitlab', 'slack', 'stripe', 'custom'] as const

test('runtime §11.6: a vector of GitHub’s own documentation is accepted', () => {
  const headers = {
    'x-hub-signature-256':
      'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
  }
  const of = { body: 'Hello, World!', secret: "It's a Secret to Everybody" }
  expect(check('github', headers, of)).toBe(true)
})

test.each(PROVIDERS)('runtime §11.6: %s: what is signed well is accepted, nothing else', (name) => {
  const good = headersOf(name)
  expect(check(name, good)).toBe(true)
  // GitLab signs nothing: it shows the secret.
  expect(check(name, good, { body: `${BODY} ` })).toBe(name === 'gitlab')
  expect(check(name, headersOf(name, NOW_S, 'another'))).toBe(false)
  expect(check(name, good, { secret: 'another' })).toBe(false)
  expect(check(name, {})).toBe(false)
  expect(check(name, headersOf(name, NOW_S, ''), { secret: '' })).toBe(false)
  // Node joins a header that came twice.
  const twice = Object.fromEntries(
    Object.entries(good).map(([key, value]) => [key, `${value}, ${value}`]),
  )
  expect(check(name, twice)).toBe(false)
  const strange = Object.fromEntries(Object.keys(good).map((key) => [key, 'sha256=ÄÖ\u0000v0=é']))
  expect(check(name, strange)).toBe(false)
})

test.each(['slack', 'stripe'] as const)(
  'runtime §11.6: %s: a signature is good for five minutes before and after',
  (name) => {
    expect(check(name, headersOf(name, NOW_S - 300))).toBe(true)
    expect(check(name, headersOf(name, NOW_S - 301))).toBe(false)
    expect(check(name, headersOf(name, NOW_S + 301))).toBe(false)
  },
)

test('runtime §19.9: the timestamp is part of what Slack and Stripe sign', () => {
  const slack = { ...headersOf('slack'), 'x-slack-request-timestamp': String(NOW_S - 1) }
  expect(check('slack', slack)).toBe(false)
  const { 'stripe-signature': stripe = '' } = headersOf('stripe')
  expect(
    check('stripe', { 'stripe-signature': stripe.replace(`t=${NOW_S}`, `t=${NOW_S - 1}`) }),
  ).toBe(false)
  expect(check('stripe', { 'stripe-signature': `${stripe},t=${NOW_S - 1}` })).toBe(false)
  const rolled = `t=${NOW_S},v1=${'0'.repeat(64)},v1=${hmac(`${NOW_S}.${BODY}`)}`
  expect(check('stripe', { 'stripe-signature': rolled })).toBe(true)
})
