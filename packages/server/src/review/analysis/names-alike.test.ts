import { expect, test } from 'vitest'
import { likeness } from './names-alike.ts'

test.each([
  ['send_email', 'send_email', 'equal'],
  ['send_email', 'sеnd_email', 'equal'],
  ['send_email', 'send\u200b_email', 'equal'],
  ['ｓend_email', 'send_email', 'equal'],
  ['Send_Email', 'send_email', 'near'],
  ['sendemail', 'send_email', 'near'],
  ['send-email', 'send_email', 'near'],
  ['g00gle', 'google', 'near'],
  ['rnail_box', 'mail_box', 'near'],
  ['send_emial', 'send_email', 'near'],
  ['send_emails', 'send_email', 'near'],
  ['githib', 'github', 'near'],
  ['read', 'reed', undefined],
  ['gitlab', 'github', undefined],
  ['item_v1', 'item_v2', undefined],
  ['page_10', 'page_1', undefined],
  ['send_email', 'read_email', undefined],
  ['search', 'search_everything_everywhere', undefined],
])('%s and %s: %s', (one, other, expected) => {
  expect(likeness(one, other)).toBe(expected)
  expect(likeness(other, one)).toBe(expected)
})
