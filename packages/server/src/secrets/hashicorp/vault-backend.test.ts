import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority } from '../../egress/testing/authority.ts'
import { createWorld, type World, type WorldOptions } from '../../egress/testing/world.ts'
import { codeOf, putText, signal, textOf } from '../testing/conformance.test-kit.ts'
import { KvServer, type KvServerOptions } from '../testing/kv-server.test-kit.ts'
import type { VaultAuth, VaultSettings } from './settings.ts'
import { VaultBackend } from './vault-backend.ts'

const PLACE = { agent: 'scout', name: 'db/password' }
const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln'
const STORED = 'agents/scout/secrets/db/password'
const directory = mkdtempSync(join(tmpdir(), 'kv-'))
afterAll(() => rmSync(directory, { recursive: true }))

let kv: KvServer
let world: World
let backend: VaultBackend | undefined
/** Renewals that were planned: delay in ms, and what then happens. */
let planned: { delayMs: number; fn: () => void; cancelled: boolean }[]
let pauses: number[]

beforeEach(() => {
  planned = []
  pauses = []
})
afterEach(async () => {
  await backend?.close()
  backend = undefined
  await kv[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

async function open(
  {
    auth,
    env = {},
    egress,
    ...more
  }: Partial<VaultSettings> & {
    auth?: VaultAuth
    env?: Record<string, string>
    egress?: WorldOptions
  } = {},
  server: KvServerOptions = {},
): Promise<VaultBackend> {
  kv = await KvServer.start(server)
  world = createWorld(egress)
  const settings: VaultSettings = {
    url: kv.url,
    mount: 'secret',
    authMount: auth?.method === 'aws_iam' ? 'aws' : (auth?.method ?? 'token'),
    namespace: undefined,
    caFile: undefined,
    requestTimeoutMs: 5_000,
    auth: auth ?? { method: 'token', token: kv.rootToken },
    ...more,
  }
  backend = new VaultBackend(settings, {
    egress: world.deps,
    caPem: undefined,
    env: { HOME: directory, ...env },
    now: () => kv.now(),
    pause: async (ms) => void pauses.push(ms),
    schedule: (delayMs, fn) => {
      const entry = { delayMs, fn, cancelled: false }
      planned.push(entry)
      return {
        [Symbol.dispose]: () => {
          entry.cancelled = true
        },
      }
    },
  })
  return backend
}

const APPROLE: VaultAuth = { method: 'approle', roleId: 'role-1', secretId: 'sid-6f1c' }

function allowRole(): void {
  kv.roles.set('role-1', { secretIds: new Set(['sid-6f1c']) })
}

async function thrown(work: Promise<unknown>): Promise<VestryError> {
  const error: unknown = await work.catch((reason: unknown) => reason)
  if (error instanceof VestryError) return error
  throw new Error(`expected an error, got ${String(error)}`)
}

const probe = (at: VaultBackend) => at.probe(signal, { create: true })

describe('vault §28.55, runtime §20.14: logging in', () => {
  test('with a token, which is looked up and sent with each request', async () => {
    const at = await open()
    expect(await probe(at)).toMatchObject({
      auth_method: 'token',
      token_ttl_seconds: 0,
      mount: 'secret',
    })
    await putText(at, PLACE, 'v')
    for (const { headers } of kv.seen) {
      expect(headers['x-vault-token']).toBe(kv.rootToken)
      expect(headers['x-vault-request']).toBe('true')
    }
    expect(kv.seen.map(({ method, path }) => `${method} ${path}`).slice(0, 2)).toEqual([
      'GET /v1/auth/token/lookup-self',
      'GET /v1/sys/internal/ui/mounts/secret',
    ])
    expect(kv.seen.at(-1)).toMatchObject({ method: 'POST', path: `/v1/secret/data/${STORED}` })
    expect(JSON.parse(kv.seen.at(-1)?.body ?? '')).toEqual({ data: { value: 'v' } })
  })

  test('with a role id and a secret id; the token is revoked in the end', async () => {
    const at = await open({ auth: APPROLE })
    expect((await thrown(probe(at))).code).toBe('BACKEND_AUTH_FAILED')
    allowRole()
    expect(await probe(at)).toMatchObject({ auth_method: 'approle', token_ttl_seconds: 3_600 })
    expect(kv.tokens.size).toBe(2)
    await at.probe(signal, { create: false })
    expect(kv.tokens.size).toBe(2)
    await at.close()
    expect([...kv.tokens.keys()]).toEqual([kv.rootToken])
    expect((await thrown(putText(at, PLACE, 'v'))).code).toBe('BACKEND_UNAVAILABLE')
  })

  test('with the token of a service account, read anew for each login', async () => {
    const tokenPath = join(directory, 'jwt')
    const at = await open({ auth: { method: 'kubernetes', role: 'vestry', tokenPath } })
    const absent = await thrown(probe(at))
    expect(absent).toMatchObject({
      code: 'BACKEND_AUTH_FAILED',
      hint: expect.stringContaining('pod'),
    })
    writeFileSync(tokenPath, `${JWT}\n`)
    kv.serviceAccounts.set(JWT, { role: 'other' })
    expect(await codeOf(probe(at))).toBe('BACKEND_AUTH_FAILED')
    kv.serviceAccounts.set(`${JWT}2`, { role: 'vestry' })
    writeFileSync(tokenPath, `${JWT}2\n`)
    await probe(at)
  })

  test('runtime §20.16: nothing but such a token leaves the machine, whatever file is named', async () => {
    for (const [name, content] of [
      ['key', 'ak_1f2e.c2VjcmV0c2VjcmV0'],
      ['pem', '-----BEGIN PRIVATE KEY-----\nabc\n'],
      ['two', `${JWT}\nmore`],
      ['long', `eyJh.${'x'.repeat(70_000)}.sig`],
    ] as const) {
      const tokenPath = join(directory, name)
      writeFileSync(tokenPath, content)
      const at = await open({ auth: { method: 'kubernetes', role: 'vestry', tokenPath } })
      expect(await codeOf(probe(at)), name).toBe('BACKEND_AUTH_FAILED')
      expect(kv.seen).toEqual([])
      await at.close()
      await kv[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    }
    await open()
  })

  test('files that never end are not waited for', async () => {
    const pipe = join(directory, 'pipe')
    spawnSync('mkfifo', [pipe])
    for (const file of [pipe, '/dev/zero', directory]) {
      const auth = { method: 'kubernetes', role: 'vestry', tokenPath: file } as const
      const at = await open({ auth })
      expect(await codeOf(probe(at)), file).toBe('BACKEND_AUTH_FAILED')
      await at.close()
      await kv[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
      backend = undefined
      expect(await codeOf(open({ caFile: file })), file).toBe('BACKEND_UNAVAILABLE')
      await kv[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    }
    await open()
  })

  describe('with an identity of AWS', () => {
    const arn = 'arn:aws:sts::123456789012:assumed-role/vestry/i-1'
    const auth = {
      method: 'aws_iam',
      role: 'vestry',
      region: undefined,
      serverId: undefined,
    } as const
    const env = { AWS_ACCESS_KEY_ID: 'AKIA1', AWS_SECRET_ACCESS_KEY: 'shh/+1' }

    test('signed by keys of the environment, with a session token and a server id', async () => {
      const at = await open(
        {
          auth: { ...auth, region: 'eu-central-1', serverId: 'vault.example.com' },
          env: { ...env, AWS_SESSION_TOKEN: 'sess' },
        },
        { awsServerId: 'vault.example.com' },
      )
      kv.awsKeys.set('AKIA1', { secret: 'shh/+1', arn, sessionToken: 'sess' })
      kv.awsRoles.set('vestry', { arn })
      await probe(at)
      const login = JSON.parse(kv.seen[0]?.body ?? '') as Record<string, string>
      expect(Buffer.from(login['iam_request_url'] ?? '', 'base64').toString()).toBe(
        'https://sts.eu-central-1.amazonaws.com/',
      )
      expect(JSON.stringify(kv.seen)).not.toContain('shh/+1')
    })

    test('which the server checks: another secret, role, server id or time is refused', async () => {
      const at = await open({ auth, env })
      kv.awsRoles.set('vestry', { arn })
      expect(await codeOf(probe(at))).toBe('BACKEND_AUTH_FAILED')
      kv.awsKeys.set('AKIA1', { secret: 'other', arn })
      expect(await codeOf(probe(at))).toBe('BACKEND_AUTH_FAILED')
      kv.awsKeys.set('AKIA1', { secret: 'shh/+1', arn: 'arn:else' })
      expect(await codeOf(probe(at))).toBe('BACKEND_AUTH_FAILED')
      kv.awsKeys.set('AKIA1', { secret: 'shh/+1', arn })
      await probe(at)
    })

    test('keys come from a file or the container too, and their absence is told', async () => {
      const at = await open({
        auth,
        env: { AWS_PROFILE: 'ci', AWS_SHARED_CREDENTIALS_FILE: join(directory, 'aws') },
      })
      kv.awsKeys.set('AKIA2', { secret: 'file', arn })
      kv.awsRoles.set('vestry', { arn })
      const none = await thrown(probe(at))
      expect(none).toMatchObject({
        code: 'BACKEND_AUTH_FAILED',
        hint: expect.stringContaining('AWS_PROFILE'),
      })
      writeFileSync(
        join(directory, 'aws'),
        '[ci]\naws_access_key_id=AKIA2\naws_secret_access_key=file\n',
      )
      await probe(at)
      await at.close()
      await kv[Symbol.asyncDispose]()
      const source = await KvServer.start()
      source.faults.push([200, { AccessKeyId: 'AKIA3', SecretAccessKey: 'box', Token: 'tok' }])
      const boxed = await open({
        auth,
        env: {
          AWS_CONTAINER_CREDENTIALS_FULL_URI: `${source.url}/creds`,
          AWS_CONTAINER_AUTHORIZATION_TOKEN: 'let-me',
        },
      })
      kv.awsKeys.set('AKIA3', { secret: 'box', arn, sessionToken: 'tok' })
      kv.awsRoles.set('vestry', { arn })
      await probe(boxed)
      expect(source.seen[0]?.headers.authorization).toBe('let-me')
      await source[Symbol.asyncDispose]()
    })
  })

  test('in a namespace, which goes with every request', async () => {
    const at = await open({ namespace: 'team-a', auth: APPROLE }, { namespace: 'team-a' })
    allowRole()
    await probe(at)
    await putText(at, PLACE, 'v')
    expect(kv.seen.every(({ headers }) => headers['x-vault-namespace'] === 'team-a')).toBe(true)
  })
})

describe('vault §28.55: keeping the login', () => {
  test('it is renewed at two thirds of its life, again and again', async () => {
    const at = await open({ auth: APPROLE }, { leaseSeconds: 90 })
    allowRole()
    await probe(at)
    for (let round = 0; round < 3; round += 1) {
      const next = planned.at(-1)
      expect(next?.delayMs).toBe(60_000)
      kv.aheadMs += 60_000
      const count = planned.length
      next?.fn()
      await expect.poll(() => planned.length).toBe(count + 1)
    }
    expect(kv.seen.filter(({ path }) => path.endsWith('/login'))).toHaveLength(1)
    expect(await textOf(at, PLACE)).toBeUndefined()
  })

  test('when renewing is refused, or grants less and less, it logs in again', async () => {
    const at = await open({ auth: APPROLE }, { leaseSeconds: 90, maxLeaseSeconds: 100 })
    allowRole()
    await probe(at)
    kv.aheadMs += 60_000
    planned.at(-1)?.fn()
    const logins = () => kv.seen.filter(({ path }) => path.endsWith('/login')).length
    await expect.poll(logins).toBe(2)
    await expect.poll(() => planned.length).toBe(2)
    kv.tokens.clear()
    planned.at(-1)?.fn()
    await expect.poll(logins).toBe(3)
    await putText(at, PLACE, 'v')
  })

  test('a token that the server forgot costs one new login, however many requests meet it', async () => {
    const at = await open({ auth: APPROLE })
    allowRole()
    await probe(at)
    kv.tokens.clear()
    await Promise.all(
      Array.from({ length: 5 }, (_, n) => putText(at, { agent: 'a', name: `n${n}` }, 'v')),
    )
    expect(kv.seen.filter(({ path }) => path.endsWith('/login'))).toHaveLength(2)
  })

  test('a token that was given and has ended is refused for good', async () => {
    const at = await open({ auth: { method: 'token', token: 'hvs.short' } })
    kv.grant('hvs.short', { seconds: 60, renewable: true })
    await probe(at)
    expect(planned.at(-1)?.delayMs).toBeCloseTo(40_000, -3)
    kv.aheadMs += 61_000
    expect(await codeOf(putText(at, PLACE, 'v'))).toBe('BACKEND_AUTH_FAILED')
  })

  test('a renewal that cannot be tried is tried again before the token ends', async () => {
    const at = await open({ auth: APPROLE }, { leaseSeconds: 90 })
    allowRole()
    await probe(at)
    kv.down = true
    planned.at(-1)?.fn()
    await expect.poll(() => planned.length).toBe(2)
    expect(planned.at(-1)?.delayMs).toBeLessThanOrEqual(5_000)
    kv.down = false
    planned.at(-1)?.fn()
    await expect.poll(() => planned.length).toBe(3)
    expect(planned.at(-1)?.delayMs).toBe(60_000)
  })
})

describe('vault §28.55: what goes wrong there is told, and nothing is answered from memory', () => {
  test('an overloaded or broken server is asked four times in all, at growing distances', async () => {
    const at = await open()
    await putText(at, PLACE, 'v')
    kv.faults.push([500, { errors: ['oops'] }], [502], [429])
    expect(await textOf(at, PLACE)).toBe('v')
    expect(pauses).toEqual([100, 400, 1_600])
    const asked = kv.seen.length
    kv.faults.push(...Array.from({ length: 4 }, () => [429, {}, { 'retry-after': '7' }] as const))
    const limited = await thrown(textOf(at, PLACE))
    expect(limited).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      context: { retry_after_ms: 7_000 },
    })
    expect(kv.seen.length - asked).toBe(4)
  })

  test('sealed, away, slow, elsewhere: each has its own words', async () => {
    const at = await open({ requestTimeoutMs: 150 })
    await putText(at, PLACE, 'v')
    kv.sealed = true
    expect(await thrown(textOf(at, PLACE))).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining('sealed'),
    })
    kv.sealed = false
    kv.down = true
    expect((await thrown(textOf(at, PLACE))).code).toBe('BACKEND_UNAVAILABLE')
    kv.down = false
    kv.faults.push([307, {}, { location: 'http://127.0.0.1:1/' }])
    expect(await thrown(textOf(at, PLACE))).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      hint: expect.stringContaining('active node'),
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    kv.stall = promise
    expect((await thrown(textOf(at, PLACE))).code).toBe('BACKEND_TIMEOUT')
    resolve()
    kv.stall = undefined
    expect(await textOf(at, PLACE)).toBe('v')
  })

  test('what its policy forbids is no trouble with our key', async () => {
    const at = await open()
    kv.paths403(/agents\/scout/)
    const denied = await thrown(textOf(at, PLACE))
    expect(denied).toMatchObject({
      code: 'BACKEND_ERROR',
      status: 502,
      hint: expect.stringContaining('policy'),
    })
  })

  test('what its policy forbids takes no new login each time, and leaves no tokens behind', async () => {
    const at = await open({ auth: APPROLE })
    allowRole()
    await probe(at)
    kv.paths403(/agents\/scout/)
    for (let times = 3; times > 0; times -= 1)
      expect(await codeOf(textOf(at, PLACE))).toBe('BACKEND_ERROR')
    expect(kv.seen.filter(({ path }) => path.endsWith('/login'))).toHaveLength(1)
    expect(kv.tokens.size).toBe(2)
  })

  test('a secret without a value names the fields it has, and no value', async () => {
    const at = await open()
    kv.put(STORED, { password: 'pw-4411', user: 'u-4411' })
    const error = await thrown(textOf(at, PLACE))
    expect(error).toMatchObject({
      code: 'BACKEND_ERROR',
      message: expect.stringContaining('password, user'),
    })
    expect(`${error.message}${error.hint}`).not.toContain('4411')
    kv.put(STORED, { content: 'older way' })
    expect(await textOf(at, PLACE)).toBe('older way')
    kv.softDelete(STORED)
    expect(await textOf(at, PLACE)).toBeUndefined()
    expect(await at.list('scout', signal)).toEqual(['db/password'])
  })

  test('a mount that is absent, or of version 1, is refused when it is tried', async () => {
    const at = await open({ mount: 'kv' })
    expect(await thrown(probe(at))).toMatchObject({
      code: 'BACKEND_ERROR',
      hint: expect.stringContaining('mount'),
    })
    await at.close()
    await kv[Symbol.asyncDispose]()
    await world[Symbol.asyncDispose]()
    const old = await open({}, { mounts: { secret: 1 } })
    expect((await thrown(probe(old))).message).toContain('version 2')
  })

  test('a private address is not reached unless the operator opened it', async () => {
    const at = await open({ egress: { holes: [] } })
    expect(await thrown(probe(at))).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      hint: expect.stringContaining('egress.allow_cidrs'),
    })
    expect(kv.seen).toEqual([])
  })

  test('a certificate of somebody unknown is not believed; ca_file names whom to believe', async () => {
    const authority = createAuthority()
    const tls = authority.issue('127.0.0.1')
    const at = await open({}, { tls })
    expect(await thrown(probe(at))).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      hint: expect.stringContaining('ca_file'),
    })
    expect(kv.seen).toEqual([])
    await at.close()
    await kv[Symbol.asyncDispose]()
    await world[Symbol.asyncDispose]()
    const caFile = join(directory, 'ca.pem')
    writeFileSync(caFile, authority.ca)
    await probe(await open({ caFile }, { tls }))
  })

  test('an aborted request ends at once, with the reason of whoever aborted it', async () => {
    const at = await open()
    await probe(at)
    const controller = new AbortController()
    const { promise, resolve } = Promise.withResolvers<void>()
    kv.stall = promise
    const reading = at.get(PLACE, controller.signal)
    controller.abort(new VestryError('CANCELLED'))
    expect(await codeOf(reading)).toBe('CANCELLED')
    resolve()
  })
})

test('runtime §20.16: a value that holds the token comes back whole, and no error holds either', async () => {
  const at = await open({ auth: { method: 'token', token: 'root' } })
  kv.grant('root', { seconds: 0, renewable: false })
  await putText(at, PLACE, 'root and root')
  expect(await textOf(at, PLACE)).toBe('root and root')
  kv.tokens.clear()
  const refused = await thrown(textOf(at, PLACE))
  expect(refused.code).toBe('BACKEND_AUTH_FAILED')
  expect(JSON.stringify([refused.message, refused.hint, refused.context])).not.toMatch(/\broot\b/)
})
