import { expect, test } from 'vitest'
import { parseTarget, targetText } from './target.ts'

test.each([
  ['gateway:8080', { host: 'gateway', port: 8080, tls: false }],
  ['10.1.2.3:80', { host: '10.1.2.3', port: 80, tls: false }],
  ['[::1]:9000', { host: '::1', port: 9000, tls: false }],
  ['http://gateway', { host: 'gateway', port: 80, tls: false }],
  ['https://gateway.example', { host: 'gateway.example', port: 443, tls: true }],
  ['https://gateway.example:8443/', { host: 'gateway.example', port: 8443, tls: true }],
])('%s is an address', (text, expected) => {
  const target = parseTarget(text)
  expect(target).toEqual(expected)
  expect(parseTarget(targetText(target))).toEqual(expected)
})

test.each([
  'gateway',
  ':8080',
  'gateway:0',
  'gateway:99999',
  'gateway:port',
  'ftp://gateway:21',
  'unix:///run/x.sock',
  'http://user:secret@gateway:80',
  'http://gateway:80/v1',
  'http://gateway:80?a=b',
  '',
])('%j is refused without a word of its secrets', (text) => {
  let message = ''
  try {
    parseTarget(text)
  } catch (error) {
    message = String(error)
    expect(error).toMatchObject({ code: 'USAGE' })
  }
  expect(message).not.toBe('')
  expect(message).not.toContain('secret@')
})
