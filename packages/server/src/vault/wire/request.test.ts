import { expect, test } from 'vitest'
import { parseRequest, salvageId } from './request.ts'

const parse = (text: string | Uint8Array, secrets?: ReadonlySet<string>) =>
  parseRequest(Buffer.from(text as Uint8Array), secrets)

const refusal = (text: string | Uint8Array) => {
  const parsed = parse(text)
  return parsed.ok ? 'accepted' : { id: parsed.id, code: parsed.error.code }
}

test('a request is read with its defaults', () => {
  expect(parse('{"id":1,"method":"list"}')).toEqual({
    ok: true,
    request: { id: 1, method: 'list', params: {}, jsonrpc: false, secrets: new Map() },
  })
  expect(parse('{"jsonrpc":"2.0","id":"a","method":"m","params":{"p":1},"x":0}')).toMatchObject({
    ok: true,
    request: { id: 'a', params: { p: 1 }, jsonrpc: true },
  })
})

test('vault §28.18: ids are safe integers or strings of 1 to 64 characters', () => {
  for (const id of [
    '0',
    '-1',
    '9007199254740991',
    '-9007199254740991',
    '1.0',
    '1e2',
    '"a"',
    `"${'x'.repeat(64)}"`,
  ])
    expect(refusal(`{"id":${id},"method":"m"}`), id).toBe('accepted')
  for (const id of [
    '1.5',
    '9007199254740992',
    '1e400',
    'null',
    'true',
    '""',
    `"${'x'.repeat(65)}"`,
    '{}',
    '[1]',
  ])
    expect(refusal(`{"id":${id},"method":"m"}`), id).toEqual({ id: null, code: 'INVALID_REQUEST' })
  expect(refusal('{"method":"m"}')).toEqual({ id: null, code: 'INVALID_REQUEST' })
})

test('params are an object or absent', () => {
  for (const params of ['[]', 'null', '1', '"x"', 'true'])
    expect(refusal(`{"id":4,"method":"m","params":${params}}`)).toEqual({
      id: 4,
      code: 'INVALID_PARAMS',
    })
  expect(refusal('{"id":4,"method":5}')).toEqual({ id: 4, code: 'INVALID_REQUEST' })
})

test('vault §28.19: what cannot be parsed is answered with the id it starts with', () => {
  const bad = { id: 7, code: 'INVALID_REQUEST' }
  expect(refusal('{"id":7,"method":"x","params":{"a":NaN}}')).toEqual(bad)
  expect(refusal('{"id":7,"method":"x","params":{"a":Infinity}}')).toEqual(bad)
  expect(refusal(' {\t"id" : 7')).toEqual(bad)
  expect(refusal(Buffer.from('7b226964223a372c2278223a22ff227d', 'hex'))).toEqual(bad)
  expect(refusal(`{"id":7,"params":${'['.repeat(33)}${']'.repeat(33)}}`)).toEqual(bad)
  expect(refusal(`{"id":7,"params":${'['.repeat(100_000)}`)).toEqual(bad)
  const none = { id: null, code: 'INVALID_REQUEST' }
  expect(refusal('[{"id":7,"method":"m"}]')).toEqual(none)
  expect(refusal('\ufeff{"id":7,"method":"m"}')).toEqual(none)
  expect(refusal('7')).toEqual(none)
  expect(refusal('null')).toEqual(none)
})

test('salvage takes a whole decimal integer of at most 15 digits within 256 bytes, or nothing', () => {
  const salvage = (text: string) => salvageId(Buffer.from(text))
  expect(salvage('{"id":123456789012345,')).toBe(123456789012345)
  expect(salvage('{"id":-5}')).toBe(-5)
  for (const text of [
    '{"id":1234567890123456,',
    '{"id":1.5,',
    '{"id":1e3,',
    '{"id":"7",',
    '{"method":"m","id":7}',
    '{"idx":7}',
    '{"id":null}',
    `{"id":${' '.repeat(248)}123456}`,
    '',
  ])
    expect(salvage(text), text).toBeNull()
  expect(salvage(`{"id":${' '.repeat(240)}12}`)).toBe(12)
})

test('members named like parts of the prototype are plain data', () => {
  const parsed = parse(
    '{"id":1,"method":"m","params":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}},"__proto__":{"method":"evil"}}',
  )
  if (!parsed.ok) throw parsed.error
  expect(parsed.request.method).toBe('m')
  expect(Object.keys(parsed.request.params)).toEqual(['__proto__', 'constructor'])
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  expect(Object.getPrototypeOf(parsed.request.params)).toBe(Object.prototype)
  expect(refusal('{"__proto__":{"id":1,"method":"m"}}')).toEqual({
    id: null,
    code: 'INVALID_REQUEST',
  })
})

test('of duplicate members the last one wins', () => {
  const parsed = parse(
    '{"id":1,"id":2,"method":"a","method":"b","params":{"p":1},"params":{"q":2}}',
  )
  expect(parsed).toMatchObject({ ok: true, request: { id: 2, method: 'b', params: { q: 2 } } })
})

test('secret members arrive as bytes and nowhere else', () => {
  const parsed = parse(
    '{"id":1,"method":"store","params":{"path":"p","value":"c0ffee"}}',
    new Set(['value']),
  )
  if (!parsed.ok) throw parsed.error
  const { params, secrets } = parsed.request
  expect(params).toEqual({ path: 'p', value: '' })
  expect(Buffer.from(secrets.get('value')?.bytes ?? []).toString()).toBe('c0ffee')
  expect(JSON.stringify(parsed)).not.toContain('c0ffee')
  expect(
    parse('{"id":1,"method":"store","params":{"value":"\\u0063"}}', new Set(['value'])),
  ).toMatchObject({ ok: false, id: 1, error: { code: 'INVALID_REQUEST' } })
})

test('a refusal remembers that the peer speaks of jsonrpc', () => {
  expect(parse('{"jsonrpc":"2.0","id":1,"method":"m","params":[]}')).toMatchObject({
    ok: false,
    jsonrpc: true,
  })
})
