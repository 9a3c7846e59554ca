import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { GatewayCredentials } from './credentials.ts'
import { DirectProviderClient } from './direct-provider-client.ts'
import { GatewayError } from './errors.ts'
import { svid, trat } from './fake-server.test-kit.ts'
import { mask } from './mask.ts'
import { foreignText, redact, redactValue } from './redact.ts'
import { JWTSource } from './spiffe.ts'
import { SpiffeGatewayClient } from './spiffe-gateway-client.ts'
import { TransactionToken } from './transaction-token.ts'
import { TransactionTokenClient } from './trat.ts'

const JWT = svid(2_000_000_000)

describe('sage §9: what looks like a credential is replaced', () => {
  test.each([
    [`token ${JWT} end`, 'token [secret] end'],
    [`"${JWT}"`, '"[secret]"'],
    [`cut ${JWT.slice(0, 40)}`, 'cut [secret]'],
    ['Authorization: Bearer abc', 'Authorization: Bearer [secret]'],
    ['authorization: bearer  x.y', 'authorization: bearer [secret]'],
    ['sk-proj-abcdefghijklmnop', '[secret]'],
    ['sk-ant-api03-abc_def-ghijk', '[secret]'],
    ['key=AIzaSyA1234567890abcdefghijklmnop', 'key=[secret]'],
    ['gsk_abcdefghijklmnop', '[secret]'],
    ['gho_abcdefghijklmnop ASIA0123456789ABCDEF', '[secret] [secret]'],
    ['-----BEGIN PRIVATE KEY-----\nMIIEv\n-----END PRIVATE KEY-----\nx', '[secret]\nx'],
  ])('%j', (text, clean) => {
    expect(redact(text)).toBe(clean)
  })

  test.each(['a task-force', 'eyJ', 'version 1.2.3', 'bearer', 'src/sk-1.ts'])(
    '%j stays',
    (text) => {
      expect(redact(text)).toBe(text)
    },
  )

  test('known values go, whatever their shape', () => {
    expect(redact('the mock-spiffe-jwt of short', ['mock-spiffe-jwt', 'short'])).toBe(
      'the [secret] of short',
    )
  })

  test('values: in every depth, in keys, in errors and their causes; without harm from odd ones', () => {
    const cyclic: Record<string, unknown> = { JWT }
    cyclic['self'] = cyclic
    cyclic['list'] = [JWT, new Map([[JWT, 1n]]), new Set([JWT]), Buffer.from(JWT)]
    cyclic['error'] = new Error(`bad ${JWT}`, { cause: new Error(JWT) })
    cyclic['getter'] = Object.defineProperty({}, 'boom', {
      enumerable: true,
      get: () => {
        throw new Error('x')
      },
    })
    cyclic['nan'] = Number.NaN
    const text = JSON.stringify(redactValue(cyclic))
    expect(text).not.toContain('eyJ')
    expect(JSON.parse(text)).toMatchObject({
      self: '[circular]',
      getter: '[unreadable]',
      nan: 'NaN',
      error: { cause: { message: '[secret]' } },
    })
  })

  test('values: what is held in many places does not multiply without end', () => {
    let value: unknown = 'x'
    for (let depth = 0; depth < 7; depth += 1) value = Array.from({ length: 10 }, () => value)
    expect(JSON.stringify(redactValue(value)).length).toBeLessThan(1_000_000)
    expect(redactValue(new Set([new Array(1e8)]))).toHaveLength(1)
  })

  test('foreign text: redacted, then 2 KiB', () => {
    const text = foreignText(`${'é'.repeat(1500)}${JWT}`)
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(2048 + 3)
    expect(text).not.toContain('\ufffd')
    expect(foreignText(`${'x'.repeat(2040)}${JWT}`)).not.toContain('eyJ')
  })
})

describe('sage §1.1: credentials are never logged', () => {
  const secret = trat(2_000_000_000)
  const all = (value: unknown): string =>
    [
      inspect(value, { depth: 9, showHidden: true }),
      JSON.stringify(value) ?? '',
      String(value),
      `${inspect({ ...(value as object) })}`,
    ].join('\n')

  test('credentials print their class and at most eight characters, a quarter at most', () => {
    const credentials = new GatewayCredentials({ spiffeJwt: JWT, trat: 'short-token' })
    expect(String(credentials)).toBe(
      `GatewayCredentials(spiffeJwt=${JWT.slice(0, 8)}..., trat=sh...)`,
    )
    expect(JSON.stringify({ credentials })).toBe(
      JSON.stringify({ credentials: String(credentials) }),
    )
    expect(inspect(credentials)).toBe(String(credentials))
    expect(all(credentials)).not.toContain(JWT.slice(0, 9))
    expect(credentials).toMatchObject({ spiffeJwt: JWT, trat: 'short-token' })
    expect([mask(''), mask('abc'), mask('abcd')]).toEqual(['...', '...', 'a...'])
  })

  test('a transaction token prints its claims, not itself', () => {
    const token = TransactionToken.parse(secret)
    expect(all(token)).not.toContain(secret.slice(0, 9))
    expect(token.raw).toBe(secret)
    expect(JSON.parse(JSON.stringify(token))).toMatchObject({ txn: 'run_1' })
  })

  test('clients and sources print no key, also when they hold one', async () => {
    const direct = new DirectProviderClient({
      env: { OPENAI_API_KEY: 'marker-key-123456' },
      allowDirect: true,
    })
    expect(direct.getApiKey('openai')).toBe('marker-key-123456')
    expect(all(direct)).not.toContain('marker-key-1')
    const jwtSource = new JWTSource('/svid')
    const tratClient = new TransactionTokenClient({ file: '/trat' })
    const client = new SpiffeGatewayClient({ jwtSource, tratClient, socketPath: '/s' })
    expect([all(jwtSource), all(tratClient), all(client)].join('')).not.toContain('eyJ')
  })

  test('an error keeps no token in its message, JSON or inspection', () => {
    const error = new GatewayError(`body ${secret}`, { code: 'x' })
    expect(inspect(error) + JSON.stringify(error)).not.toContain('eyJ')
  })
})
