/** Which events fire a trigger. */
import { expect, test } from 'vitest'
import type { Json, WebhookProvider } from '../../dsl/definition.ts'
import { at, deliveryOf, eventOf, firesTrigger, firesWebhook } from './event.ts'

function fires(
  asked: { event: string; filter: Json },
  given: { provider?: WebhookProvider; headers?: Record<string, string>; payload: unknown },
  filter: Json = null,
): boolean {
  const { provider = 'github', headers = {}, payload } = given
  const inbound = { provider, header: (name: string) => headers[name], payload }
  return firesTrigger({ events: [asked], filter }, eventOf(inbound), inbound)
}

const github = (event: string, payload: unknown) => ({
  headers: { 'x-github-event': event },
  payload,
})

test.each([
  ['push', 'main', github('push', { ref: 'refs/heads/main' }), true],
  ['push', 'main', github('push', { ref: 'refs/heads/other' }), false],
  ['push', 'main', github('push', { ref: 'refs/tags/main' }), false],
  ['push', ['dev', 'main'], github('push', { ref: 'refs/heads/main' }), true],
  ['push', '*', github('push', { ref: 'refs/heads/x/y' }), true],
  ['push', 'main', github('pull_request', { ref: 'refs/heads/main' }), false],
  ['push', 'main', github('push', { ref: ['refs/heads/main'] }), false],
  ['push', 'main', github('push', null), false],
  [
    'pull_request',
    'main',
    github('pull_request', { pull_request: { base: { ref: 'main' } } }),
    true,
  ],
  [
    'pull_request',
    'main',
    github('pull_request', { pull_request: { head: { ref: 'main' } } }),
    false,
  ],
  ['release', 'v1', github('release', { release: { tag_name: 'v1' } }), true],
  ['issue', 'bug', github('issues', { issue: { labels: [{ name: 'bug' }] } }), true],
  ['issue', 'bug', github('issues', { issue: { labels: [{ name: 'wish' }] } }), false],
  ['*', null, github('whatever', {}), true],
  [
    'message',
    'C1',
    { provider: 'slack', payload: { event: { type: 'message', channel: 'C1' } } },
    true,
  ],
  [
    'pull_request',
    'main',
    {
      provider: 'gitlab',
      payload: { object_kind: 'merge_request', object_attributes: { target_branch: 'main' } },
    },
    true,
  ],
  ['invoice_paid', '*', { provider: 'stripe', payload: { type: 'invoice.paid' } }, true],
] as const)('runtime §11.6: on_%s %j', (event, filter, given, expected) => {
  expect(fires({ event, filter: filter as Json }, given)).toBe(expected)
})

test('runtime §11.6: a filter of the whole trigger must fit too, and one that nobody understands fits nothing', () => {
  const event = { event: '*', filter: '*' }
  const given = github('push', { sender: { type: 'Bot' } })
  expect(fires(event, given, { json_path: '$.sender.type', equals: 'Bot' })).toBe(true)
  expect(fires(event, given, { json_path: '$.sender.type', equals: 'User' })).toBe(false)
  expect(fires(event, given, 'Bot')).toBe(false)
})

test('runtime §11.6: webhooks are filtered by a member of the body', () => {
  const body = { a: [{ b: 'hello world' }], list: ['x', 'y'], n: 3 }
  const equals = (json_path: string, value: Json) =>
    firesWebhook({ filter: { json_path, equals: value, contains: null } }, body)
  const contains = (json_path: string, part: string) =>
    firesWebhook({ filter: { json_path, equals: null, contains: part } }, body)
  expect([equals('$.n', 3), equals('n', '3'), equals('$.nope', null)]).toEqual([true, false, false])
  expect([contains('$.a[0].b', 'lo w'), contains('$.list', 'y'), contains('$.n', '3')]).toEqual([
    true,
    true,
    false,
  ])
  expect(firesWebhook({ filter: null }, undefined)).toBe(true)
})

test('runtime §11.6: members of every object are no members of a body', () => {
  expect(at({}, 'constructor.name')).toBeUndefined()
  expect(at([], 'length')).toBe(0)
  expect(at('text', 'length')).toBeUndefined()
})

test('runtime §11.6: a delivery has the name that its provider gives it', () => {
  const of = (provider: WebhookProvider, headers: Record<string, string>, payload: unknown = {}) =>
    deliveryOf({ provider, header: (name) => headers[name], payload })
  const signed = { 'x-github-delivery': 'd-1', 'x-hub-signature-256': 'sha256=s' }
  expect(of('github', signed)).toBe('sha256=s')
  expect(of('stripe', {}, { id: 'evt_1' })).toBe('evt_1')
  expect(of('slack', { 'x-slack-request-timestamp': '1', 'x-slack-signature': 'v0=a' })).toBe(
    '1:v0=a',
  )
  expect(of('custom', {})).toBeUndefined()
})
