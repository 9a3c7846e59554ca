import { expect, test } from 'vitest'
import { parseMailbox } from './mail-address.ts'

test.each([
  ['a@example.org', undefined, 'a@example.org', 'example.org'],
  ['  a@example.org ', undefined, 'a@example.org', 'example.org'],
  ['A.B+tag@Mail.EXAMPLE.org', undefined, 'A.B+tag@mail.example.org', 'mail.example.org'],
  ['<a@example.org>', undefined, 'a@example.org', 'example.org'],
  ['Ann <a@example.org>', 'Ann', 'a@example.org', 'example.org'],
  ['John Q. Public<a@example.org>', 'John Q. Public', 'a@example.org', 'example.org'],
  ['"Doe, Jane (Sales)" <a@example.org>', 'Doe, Jane (Sales)', 'a@example.org', 'example.org'],
  ['Zoë Ünal <a@example.org>', 'Zoë Ünal', 'a@example.org', 'example.org'],
  ['a@münchen.de', undefined, 'a@xn--mnchen-3ya.de', 'xn--mnchen-3ya.de'],
])('%j is one address', (text, name, address, domain) => {
  expect(parseMailbox(text)).toEqual({ name, address, domain })
})

test.each([
  '',
  'a',
  '@example.org',
  'a@',
  'a@localhost',
  'a@b@example.org',
  'a@example.org, b@example.org',
  'a@example.org b@example.org',
  'Ann <a@example.org>, b@example.org',
  'Ann <a@example.org> <b@evil.example>',
  '"a@trusted.example" <b@evil.example>',
  'a@trusted.example <b@evil.example>',
  '<a@example.org',
  'a@example.org>',
  'group: a@example.org;',
  'Doe, Jane <a@example.org>',
  '"a b"@example.org',
  '"A\\"B" <a@example.org>',
  'a..b@example.org',
  '.a@example.org',
  'a.@example.org',
  'a(comment)@example.org',
  'é@example.org',
  'a@-example.org',
  'a@example..org',
  'a@example.org.',
  'a@[127.0.0.1]',
  'a@127.0.0.1',
  'a@ex%61mple.org',
  'a@example。org',
  'a@exam_ple.org',
  'a@example.org\r\nBcc: b@evil.example',
  'a@example.org\n',
  'a\0@example.org',
  'Ann\u202e <a@example.org>',
  'Ann\u2028 <a@example.org>',
  'Ann\t<a@example.org>',
  `${'x'.repeat(65)}@example.org`,
  `a@${'x'.repeat(64)}.org`,
  `a@${'x.'.repeat(126)}org`,
  `${'x'.repeat(129)} <a@example.org>`,
  ' '.repeat(500_000),
])('%j is not', (text) => {
  expect(parseMailbox(text)).toBeUndefined()
})
