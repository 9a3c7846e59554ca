import { expect, test } from 'vitest'
import { permissionWords } from './permission-words.ts'

test.each([
  ['serpapi', 'search', 'read', ['*', 'serpapi:search', 'serpapi:*', 'search', 'read', 'write']],
  ['gmail_send', 'send', 'write', ['*', 'gmail_send:send', 'gmail_send:*', 'send', 'write']],
  // Called "read", and writes: a token for reading must not cover it.
  ['files', 'read', 'write', ['*', 'files:read', 'files:*', 'write']],
] as const)('%s:%s, which %ss, is covered by each of its words', (tool, action, does, words) => {
  expect(permissionWords(tool, action, does).sort()).toEqual([...words].sort())
})
