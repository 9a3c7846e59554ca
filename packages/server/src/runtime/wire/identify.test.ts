import { createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test, vi } from 'vitest'
import type { Agent } from '../../identity/agent.ts'
import type { ApiKey } from '../../identity/api-key.ts'
import { Secret } from '../../seal/secret.ts'
import { clientAddress } from './client-address.ts'
import { clientSecret } from './client-secret.ts'
import { isClientToken, readClientToken } from './client-token.ts'
import { corsHeaders, PREFLIGHT_HEADERS } from './cors.ts'
import { type IdentifyDeps, identify } from './identify.ts'
import { staticToken } from './static-token.ts'

const NOW = 1_900_000_000_000
const SECRET = Buffer.from('a secret that both sides have')
const code = (value: string) => expect.objectContaining({ code: value })

function jwt(claims: object, { alg = 'HS256', secret = SECRET } = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg, typ: 'JWT' })}.${part(claims)}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

const CLAIMS = {
  sub: 'ada',
  iss: 'symbiont',
  aud: 'symbiont-api',
  type: 'access',
  roles: ['admin'],
  exp: NOW / 1_000 + 60,
}

describe('tokens that clients make themselves', () => {
  const read = (claims: object, options?: object) =>
    readClientToken(jwt(claims, options), SECRET, NOW)

  test('roles give what they are said to give, and permissions only narrow', () => {
    expect(read(CLAIMS)).toEqual({ subject: 'ada', grants: 'admin' })
    expect(read({ ...CLAIMS, roles: ['user'] }).grants).toBe('write')
    expect(read({ ...CLAIMS, roles: ['readonly'] }).grants).toBe('read')
    expect(read({ ...CLAIMS, permissions: ['read', 'write'] }).grants).toBe('write')
    expect(read({ ...CLAIMS, roles: ['readonly'], permissions: ['admin', 'read'] }).grants).toBe(
      'read',
    )
  })

  test.each([
    ['another secret', CLAIMS, { secret: Buffer.from('x') }],
    ['another algorithm', CLAIMS, { alg: 'none' }],
    ['another issuer', { ...CLAIMS, iss: 'x' }, {}],
    ['another audience', { ...CLAIMS, aud: 'x' }, {}],
    ['a refresh token', { ...CLAIMS, type: 'refresh' }, {}],
    ['no expiry', { ...CLAIMS, exp: undefined }, {}],
    ['no role', { ...CLAIMS, roles: ['__proto__', 'toString'] }, {}],
    ['a time to come', { ...CLAIMS, nbf: NOW / 1_000 + 600 }, {}],
    ['a subject that is no name', { ...CLAIMS, sub: 'a b' }, {}],
    ['another secret, and it has run out', { ...CLAIMS, exp: 1 }, { secret: Buffer.from('x') }],
  ])('%s is refused like any wrong key', (_, claims, options) => {
    expect(() => read(claims, options)).toThrow(code('UNAUTHORIZED'))
  })

  test('one that has run out says so', () => {
    expect(() => read({ ...CLAIMS, exp: NOW / 1_000 - 31 })).toThrow(code('TOKEN_EXPIRED'))
    expect(read({ ...CLAIMS, exp: NOW / 1_000 - 29 }).grants).toBe('admin')
  })

  test('keys are not mistaken for them', () => {
    expect(isClientToken(`key_${'0'.repeat(16)}.${'A'.repeat(43)}`)).toBe(false)
    expect(isClientToken(jwt(CLAIMS))).toBe(true)
  })
})

describe('the static token', () => {
  const TOKEN = 'a token of many characters'
  const key = (name: string) => ({ id: 'key_1', name }) as ApiKey

  test('counts while there is no key but the first, and no more once there is', async () => {
    let keys = [key('first admin key')]
    const list = vi.fn(async () => keys)
    const token = staticToken(TOKEN, list, () => undefined)
    expect(await token?.accepts(TOKEN)).toBe(true)
    expect(await token?.accepts(`${TOKEN}x`)).toBe(false)
    expect(list).toHaveBeenCalledTimes(1)
    keys = [...keys, key('ci')]
    token?.drop()
    expect(await token?.accepts(TOKEN)).toBe(false)
  })

  test('a failed look at the keys is made again', async () => {
    const list = vi.fn(async () => [key('first admin key')])
    list.mockRejectedValueOnce(new VestryError('VAULT_LOCKED'))
    const token = staticToken(TOKEN, list, () => undefined)
    await expect(token?.accepts(TOKEN)).rejects.toThrow(code('VAULT_LOCKED'))
    expect(await token?.accepts(TOKEN)).toBe(true)
  })

  test('one that is short is not used, and that is said', () => {
    const lines: string[] = []
    expect(
      staticToken(
        'short',
        async () => [],
        (line) => lines.push(line),
      ),
    ).toBeUndefined()
    expect(lines).toEqual([expect.stringContaining('SYMBIONT_API_TOKEN is not used')])
    expect(
      staticToken(
        '',
        async () => [],
        () => expect.fail(),
      ),
    ).toBeUndefined()
  })
})

describe('who asks', () => {
  const scout = { id: 'id-scout', name: 'scout', status: 'enabled' } as Agent
  const deps = (over: Partial<IdentifyDeps> = {}): IdentifyDeps => ({
    apiKeys: {
      authenticate: async () => {
        throw new VestryError('AUTH_FAILED', undefined, { hint: 'neither expired nor revoked' })
      },
    },
    agents: { byName: async (name) => (name === 'scout' ? scout : undefined) },
    staticToken: undefined,
    clientSecret: async () => Secret.copy(SECRET),
    anonymous: false,
    corsOrigins: ['https://board.example/'],
    now: () => NOW,
    ...over,
  })
  function request(
    authorization: string[],
    headers: Record<string, string> = {},
    remoteAddress = '127.0.0.1',
  ) {
    return {
      headers: { host: '127.0.0.1:8080', ...headers },
      headersDistinct: authorization.length === 0 ? {} : { authorization },
      socket: { remoteAddress },
    } as unknown as IncomingMessage
  }
  const bearer = (claims: object) => request([`bearer ${jwt({ ...CLAIMS, ...claims })}`])

  test('runtime §20.4: every wrong proof is one refusal without the word that means something else', async () => {
    const wrong = [
      [],
      ['Basic eDp5'],
      ['Bearer x', 'Bearer x'],
      ['Bearer'],
      [`Bearer ${'x'.repeat(20_000)}`],
      ['Bearer key_0.x'],
    ]
    for (const header of wrong) {
      const refused = await identify(deps(), request(header)).catch((error: unknown) => error)
      expect(refused).toMatchObject({ code: 'UNAUTHORIZED' })
      const { message, hint } = refused as VestryError
      expect(`${message} ${hint}`).not.toMatch(/expired/i)
    }
  })

  test('a token of a user acts as the agent of that name, or not at all', async () => {
    expect(await identify(deps(), bearer({ sub: 'scout', roles: ['user'] }))).toEqual({
      principal: { kind: 'agent', agent: scout },
      keyId: 'token:scout',
    })
    await expect(identify(deps(), bearer({ roles: ['user'] }))).rejects.toThrow(
      code('UNAUTHORIZED'),
    )
    const { principal } = await identify(deps(), bearer({}))
    expect(principal).toMatchObject({ operator: { name: 'token:ada', role: 'admin' } })
    const reader = await identify(deps(), bearer({ roles: ['readonly'] }))
    expect(reader.principal).toMatchObject({ operator: { role: 'auditor' } })
  })

  test('without a secret for them no such token is accepted', async () => {
    await expect(identify(deps({ clientSecret: undefined }), bearer({}))).rejects.toThrow(
      code('UNAUTHORIZED'),
    )
  })

  test('a secret for them that is missing or short is nobody’s proof, and operators are told once', async () => {
    const warned: string[] = []
    let stored: string | undefined
    const secret = clientSecret(
      'shared/jwt',
      async () => {
        if (stored !== undefined) return Secret.copy(Buffer.from(stored))
        throw new VestryError('CREDENTIAL_NOT_FOUND', "there is no credential 'shared/jwt'")
      },
      (line) => warned.push(line),
    )
    const ask = (by: string) =>
      identify(
        deps({ clientSecret: secret }),
        request([`Bearer ${jwt(CLAIMS, { secret: Buffer.from(by) })}`]),
      )
    for (const _ of [1, 2]) await expect(ask('x')).rejects.toThrow(code('UNAUTHORIZED'))
    expect(warned).toEqual([expect.stringContaining('shared/jwt')])
    stored = 'of thirty-one bytes, not enough'
    await expect(ask(stored)).rejects.toThrow(code('UNAUTHORIZED'))
    expect(warned).toHaveLength(2)
    stored = 'of thirty-two bytes, just enough'
    expect(await ask(stored)).toMatchObject({ keyId: 'token:ada' })
    const locked = clientSecret(
      'shared/jwt',
      () => Promise.reject(new VestryError('VAULT_LOCKED')),
      () => expect.fail(),
    )
    await expect(identify(deps({ clientSecret: locked }), bearer({}))).rejects.toThrow(
      code('VAULT_LOCKED'),
    )
  })

  test('without a key only this machine is let in, and no web page in its browser', async () => {
    const anonymous = deps({ anonymous: true })
    const asks = (headers: Record<string, string>, address?: string) =>
      identify(anonymous, request([], headers, address)).then(
        ({ keyId }) => keyId,
        () => 'refused',
      )
    expect(await asks({})).toBe('anonymous')
    expect(await asks({ host: 'localhost' })).toBe('anonymous')
    expect(await asks({ 'sec-fetch-site': 'none' }, '::1')).toBe('anonymous')
    expect(await asks({ origin: 'https://board.example' }, '::ffff:127.0.0.1')).toBe('anonymous')
    expect(await asks({}, '10.0.0.1')).toBe('refused')
    expect(await asks({ host: 'rebound.example:8080' })).toBe('refused')
    expect(await asks({ origin: 'https://evil.example' })).toBe('refused')
    expect(await asks({ origin: 'null' })).toBe('refused')
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip', 'x-forwarded-host'])
      expect(await asks({ [name]: '192.0.2.7' }), name).toBe('refused')
    expect(await asks({ 'sec-fetch-site': 'cross-site' })).toBe('refused')
    await expect(identify(anonymous, request(['Bearer wrong']))).rejects.toThrow(
      code('UNAUTHORIZED'),
    )
    await expect(identify(deps(), request([]))).rejects.toThrow(code('UNAUTHORIZED'))
  })
})

describe('where a request comes from', () => {
  test('only proxies that are trusted may say for whom they ask', () => {
    const client = clientAddress(['10.0.0.0/8', '::1'])
    expect(client('192.0.2.1', '198.51.100.7')).toBe('192.0.2.1')
    expect(client('10.1.2.3', '198.51.100.7')).toBe('198.51.100.7')
    expect(client('::ffff:10.1.2.3', '203.0.113.9, 198.51.100.7, 10.9.9.9')).toBe('198.51.100.7')
    expect(client('::1', undefined)).toBe('::1')
    expect(client('10.1.2.3', 'somebody')).toBe('10.1.2.3')
    expect(clientAddress([])('127.0.0.1', '198.51.100.7')).toBe('127.0.0.1')
    for (const wrong of ['example.com', '10.0.0.0/99', '10.0.0.0/8/8', '10.0.0.0/x'])
      expect(() => clientAddress([wrong]), wrong).toThrow(code('CONFIG_INVALID'))
  })

  test('pages of origins that are listed may read answers, no others', () => {
    const listed = ['https://board.example/']
    expect(corsHeaders('https://board.example', listed)).toMatchObject({
      'access-control-allow-origin': 'https://board.example',
      vary: 'Origin',
    })
    for (const origin of [
      undefined,
      'null',
      '*',
      'http://board.example',
      'https://board.example.evil',
    ])
      expect(corsHeaders(origin, listed)).toBeUndefined()
    // Endpoints are served with it.
    expect(PREFLIGHT_HEADERS['access-control-allow-methods']).toContain('PATCH')
  })
})
