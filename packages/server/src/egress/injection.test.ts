import { describe, expect, test } from 'vitest'
import { Secret } from '../seal/secret.ts'
import { buildInjection, type InjectionSpec, isForbiddenInjection } from './injection.ts'

function build(secret: string | Uint8Array, spec: InjectionSpec = {}): string {
  using injection = buildInjection(spec, Secret.copy(Buffer.from(secret)))
  return `${injection.name}: ${Buffer.from(injection.value.bytes).toString('latin1')}`
}

test('each header type builds its header', () => {
  expect(build('s3cr3t-value')).toBe('Authorization: Bearer s3cr3t-value')
  expect(build('s3cr3t-value', { headerType: 'api_key' })).toBe('X-API-Key: s3cr3t-value')
  const custom: InjectionSpec = { headerType: 'custom', headerName: 'X-Auth' }
  expect(build('s3cr3t-value', custom)).toBe('X-Auth: s3cr3t-value')
  expect(build('s3cr3t-value', { ...custom, headerPrefix: 'Key ' })).toBe(
    'X-Auth: Key s3cr3t-value',
  )
})

test('basic joins user and password, takes a ready pair, or takes the secret as the user', () => {
  const basic = (text: string) => `Authorization: Basic ${Buffer.from(text).toString('base64')}`
  expect(build('pass-word', { headerType: 'basic', username: 'ada' })).toBe(basic('ada:pass-word'))
  expect(build('ada:pass-word', { headerType: 'basic' })).toBe(basic('ada:pass-word'))
  expect(build('key-only', { headerType: 'basic' })).toBe(basic('key-only:'))
  expect(build('key-only:', { headerType: 'basic' })).toBe(basic('key-only:'))
  expect(build('pass:word', { headerType: 'basic', username: 'ü' })).toBe(basic('ü:pass:word'))
})

describe('a secret that no header can carry is unusable', () => {
  const unusable = expect.objectContaining({ code: 'UNUSABLE_CREDENTIAL' })

  test('line breaks, NUL, control bytes, bytes outside visible Latin-1, spaces at the ends', () => {
    for (const bad of ['a\r\nb123', 'abcd\n', 'ab\0cd', 'ab\tcd', 'ab\u007fcd', ' abcd', 'abcd ']) {
      expect(() => build(bad), JSON.stringify(bad)).toThrow(unusable)
    }
    for (const byte of [0x80, 0x9f, 0xa0]) {
      expect(() => build(Uint8Array.of(0x61, 0x62, byte, 0x63))).toThrow(unusable)
    }
    expect(() => build('pass\nword', { headerType: 'basic', username: 'a' })).toThrow(unusable)
    expect(build(Uint8Array.of(0x61, 0xe9, 0x62, 0xff))).toBe('Authorization: Bearer aébÿ')
    expect(build('two words')).toBe('Authorization: Bearer two words')
  })

  test('fewer than four bytes, and a password of fewer than four', () => {
    for (const bad of ['', 'abc']) expect(() => build(bad)).toThrow(unusable)
    expect(() => build('ada:abc', { headerType: 'basic' })).toThrow(unusable)
    expect(() => build('abc', { headerType: 'basic', username: 'ada' })).toThrow(unusable)
  })
})

test('headers that steer connections, and parameters that do not belong, are refused', () => {
  const invalid = expect.objectContaining({ code: 'INVALID_PARAMS' })
  for (const headerName of [
    'Host',
    'content-length',
    'Transfer-Encoding',
    'connection',
    'upgrade',
    'TE',
    'trailer',
    'expect',
    'Cookie',
    'Proxy-Authorization',
    'Forwarded',
    'X-Forwarded-Host',
    'bad name',
    'x:y',
    'x\r\ny',
    '',
  ]) {
    expect(() => build('s3cr3t-value', { headerType: 'custom', headerName }), headerName).toThrow(
      invalid,
    )
  }
  const specs: InjectionSpec[] = [
    { headerType: 'custom' },
    { headerType: 'bearer', headerName: 'X-A' },
    { headerType: 'api_key', headerPrefix: 'x' },
    { username: 'ada' },
    { headerType: 'basic', username: 'a:b' },
    { headerType: 'basic', username: 'a\nb' },
    { headerType: 'custom', headerName: 'X-A', headerPrefix: 'a\r\nb' },
  ]
  for (const spec of specs) expect(() => build('s3cr3t-value', spec)).toThrow(invalid)
  expect(isForbiddenInjection('X-FORWARDED-FOR')).toBe(true)
  expect(isForbiddenInjection('x-api-key')).toBe(false)
})

test('disposing wipes the value and what was to be looked for', () => {
  const injection = buildInjection({}, Secret.copy(Buffer.from('s3cr3t-value')))
  const { bytes } = injection.value
  injection[Symbol.dispose]()
  expect(bytes.every((byte) => byte === 0)).toBe(true)
  expect(injection.needles.forms.every(({ chars }) => chars.every((byte) => byte === 0))).toBe(true)
})
