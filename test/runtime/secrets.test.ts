import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { KvServer } from '../../packages/server/src/secrets/testing/kv-server.test-kit.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type AskOptions, RuntimeNode } from './node.ts'

/** Every value, token and key of this file: none may be where it does not belong. */
const VALUES = {
  database: 'horse-9f21c7b0',
  smtp: 'mail-44a1d2e8',
  node: 'node-7b00e1fa',
  cli: 'typed-1c9e55d3',
  owl: 'owl-e7a3b9c4',
  secretId: 'sid-0d72aa91',
  fileKey: 'a passphrase: 5b8e11cd',
}

let at: TestDaemon
let node: RuntimeNode
let kv: KvServer
let scoutKey: string
/** Everything that came back and was not the one reading of a value. */
const told: string[] = []

beforeAll(async () => {
  kv = await KvServer.start()
  kv.roles.set('vestry', { secretIds: new Set([VALUES.secretId]) })
  at = await startTestDaemon({
    config: {
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      limits: { authenticate: { per_second: 500, burst: 500 } },
    },
  })
  node = new RuntimeNode(at.daemon.ready)
  await at.addAgent('scout')
  scoutKey = String((await at.admin.call('admin.key.add', { agent: 'scout', name: 's' }))['key'])
})
afterAll(async () => {
  await at.stop()
  await kv[Symbol.asyncDispose]()
})

async function ask(method: string, path: string, options: AskOptions = {}) {
  const answer = await node.ask(method, path, options)
  if (answer.json?.value === undefined) told.push(answer.text, JSON.stringify(answer.headers))
  return answer
}

/** As the published client sends it. */
const stored = (agent_id: string, secret_name: string, secret_value: string | null, key?: string) =>
  ask('POST', 'secrets', {
    body: { agent_id, secret_name, secret_value, description: null },
    ...(key !== undefined && { key }),
  })

async function vestry(...argv: string[]) {
  return typed('', ...argv)
}

async function typed(input: string, ...argv: string[]) {
  const terminal = fakeTerminal({ input })
  const all = ['--home', at.home.dir, ...argv, '--json']
  const exitCode = await runProgram(all, terminal, new AbortController().signal)
  const out = terminal.out()
  if (!argv.includes('--reveal')) told.push(out, terminal.err())
  return { exitCode, json: JSON.parse(out) }
}

describe('runtime §20.14: secrets over HTTP, in our own vault unless somebody says otherwise', () => {
  test('round trip, overwrite, list, delete, with the bodies of the published client', async () => {
    expect((await ask('GET', 'secrets/config')).json).toMatchObject({
      backend_type: 'vestry',
      configured_at: null,
    })
    const first = await stored('ticket_sorter', 'db/password', 'first')
    expect(first.status).toBe(201)
    expect(first.json).toMatchObject({
      secret_name: 'db/password',
      agent_id: 'ticket_sorter',
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      updated_at: null,
    })
    const second = await stored('ticket_sorter', 'db/password', VALUES.database)
    expect(second).toMatchObject({
      status: 200,
      json: { created_at: first.json.created_at, updated_at: expect.any(String), version: 2 },
    })
    const read = await ask('GET', 'secrets/ticket_sorter/db/password')
    expect(read).toMatchObject({
      status: 200,
      json: { value: VALUES.database, version: 2, created_at: first.json.created_at },
    })
    await stored('ticket_sorter', 'a', 'x')
    const list = await ask('GET', 'secrets/ticket_sorter')
    expect(list.json).toEqual({ secrets: ['a', 'db/password'], agent_id: 'ticket_sorter' })
    const gone = await ask('DELETE', 'secrets/ticket_sorter/a')
    expect(gone).toMatchObject({
      status: 200,
      json: { status: 'deleted', secret_name: 'a', deleted_at: expect.any(String) },
    })
    for (const method of ['GET', 'DELETE'])
      expect(await ask(method, 'secrets/ticket_sorter/a')).toMatchObject({
        status: 404,
        json: { code: 'SECRET_NOT_FOUND' },
      })
    expect((await ask('GET', 'secrets/nobody')).json).toEqual({ secrets: [], agent_id: 'nobody' })
  })

  test.each([
    ['no value', { agent_id: 'a', secret_name: 'b', secret_value: null }],
    ['no name', { agent_id: 'a', secret_value: 'v' }],
    ['a name that climbs', { agent_id: 'a', secret_name: 'b/../c', secret_value: 'v' }],
    [
      'a description that no store can keep',
      { agent_id: 'a', secret_name: 'b', secret_value: 'v', description: 'a\u0000b' },
    ],
    ['an agent with a slash', { agent_id: 'a/b', secret_name: 'c', secret_value: 'v' }],
    ['the name of a route', { agent_id: 'config', secret_name: 'c', secret_value: 'v' }],
    [
      'a value that is too large',
      { agent_id: 'a', secret_name: 'b', secret_value: 'é'.repeat(32_769) },
    ],
  ])('%s is refused with 400', async (_, body) => {
    expect(await ask('POST', 'secrets', { body })).toMatchObject({
      status: 400,
      json: { code: 'VALIDATION_ERROR' },
    })
  })

  test('a write may say which version it follows, and a read which one it wants', async () => {
    const body = { agent_id: 'cas', secret_name: 'x', secret_value: 'one' }
    expect((await ask('POST', 'secrets', { body: { ...body, expected_version: 0 } })).status).toBe(
      201,
    )
    expect(await ask('POST', 'secrets', { body: { ...body, expected_version: 0 } })).toMatchObject({
      status: 409,
      json: { code: 'CONFLICT' },
    })
    await ask('POST', 'secrets', { body: { ...body, secret_value: 'two', expected_version: 1 } })
    expect((await ask('GET', 'secrets/cas/x?version=1')).json.value).toBe('one')
    expect((await ask('GET', 'secrets/cas/x?version=9')).status).toBe(404)
    await ask('DELETE', 'secrets/cas/x')
  })

  test('the count in the metrics moves with each of them', async () => {
    const count = async () => (await ask('GET', 'metrics')).json.secrets_count
    const before = await count()
    await stored('ticket_sorter', 'counted', 'x')
    expect(await count()).toBe(before + 1)
    await ask('DELETE', 'secrets/ticket_sorter/counted')
    expect(await count()).toBe(before)
  })
})

describe('runtime §20.16: whose secrets they are', () => {
  test('an agent’s own key opens its own, and those of others are not there for it', async () => {
    const key = scoutKey
    expect((await stored('scout', 'smtp', VALUES.smtp, key)).status).toBe(201)
    expect((await ask('GET', 'secrets/scout/smtp', { key })).json.value).toBe(VALUES.smtp)
    expect((await ask('GET', 'secrets/scout', { key })).json.secrets).toEqual(['smtp'])
    await stored('owl', 'token', VALUES.owl)
    for (const path of [
      'owl/token',
      'owl%2Ftoken',
      'scout%2F..%2Fowl/token',
      'scout/../owl/token',
      'scout/..%2Fowl%2Ftoken',
      'SCOUT/smtp',
    ])
      expect((await ask('GET', `secrets/${path}`, { key })).status, path).toBe(404)
    expect((await ask('GET', 'secrets/owl', { key })).status).toBe(404)
    expect((await ask('DELETE', 'secrets/owl/token', { key })).status).toBe(404)
    expect((await stored('owl', 'token', 'x', key)).status).toBe(404)
    for (const [method, path] of [
      ['POST', 'secrets/config'],
      ['GET', 'secrets/config'],
      ['GET', 'secrets/config/migration'],
    ] as const)
      expect(
        await ask(method, path, {
          key,
          ...(method === 'POST' && { body: { backend_type: 'vestry' } }),
        }),
      ).toMatchObject({
        status: 403,
        json: { code: 'ADMIN_REQUIRED' },
      })
    expect((await ask('GET', 'secrets/owl/token')).json.value).toBe(VALUES.owl)
    await ask('DELETE', 'secrets/scout/smtp', { key })
    const tried = at.auditLines().map((line) => JSON.parse(line))
    for (const operation of ['store', 'read', 'list', 'delete'])
      expect(tried, operation).toContainEqual(
        expect.objectContaining({
          action: `secret.${operation}`,
          actor: 'agent:scout',
          success: false,
          data: expect.objectContaining({ agent_id: 'owl' }),
        }),
      )
  })

  test('who may only look sees names, and never a value', async () => {
    const { key } = (await at.admin.call('admin.key.add', { role: 'auditor', name: 'a' })) as {
      key: string
    }
    expect((await ask('GET', 'secrets/owl', { key })).json.secrets).toEqual(['token'])
    expect((await ask('GET', 'secrets/owl/token', { key })).status).toBe(403)
    expect((await stored('owl', 'token', 'x', key)).status).toBe(403)
  })

  test('there is an attempt before and an outcome after each of them', async () => {
    await stored('owl', 'audited', 'x')
    await ask('GET', 'secrets/owl/absent')
    await at.admin.call('admin.lease.list', {}) // what was written before is in the file by now
    const lines = at.auditLines().map((line) => JSON.parse(line))
    const about = (key: string) =>
      lines.filter(({ data, source }) => source === 'runtime' && data?.secret_key === key)
    expect(about('audited').map(({ action, phase, success }) => [action, phase, success])).toEqual([
      ['secret.store', 'intent', true],
      ['secret.store', 'outcome', true],
    ])
    expect(about('audited')[0].data).toMatchObject({ agent_id: 'owl', operation: 'store' })
    expect(about('absent').at(-1)).toMatchObject({
      phase: 'outcome',
      success: false,
      outcome: { code: 'SECRET_NOT_FOUND' },
    })
    await ask('DELETE', 'secrets/owl/audited')
  })
})

describe('runtime §20.14: other back ends', () => {
  const vault = () => ({
    backend_type: 'vault',
    vault_config: {
      url: kv.url,
      auth_method: 'approle',
      token: null,
      role_id: 'vestry',
      secret_id: VALUES.secretId,
      kubernetes_role: null,
      aws_role: null,
    },
    file_path: null,
    encryption_key: null,
  })

  test('one that refuses us or is not there leaves the one before in force', async () => {
    const wrong = { ...vault(), vault_config: { ...vault().vault_config, role_id: 'other' } }
    expect(await ask('POST', 'secrets/config', { body: wrong })).toMatchObject({
      status: 502,
      json: { code: 'BACKEND_AUTH_FAILED' },
    })
    const away = {
      ...vault(),
      vault_config: { ...vault().vault_config, url: 'http://127.0.0.1:9' },
    }
    expect(await ask('POST', 'secrets/config', { body: away })).toMatchObject({
      status: 503,
      json: { code: 'BACKEND_UNAVAILABLE' },
    })
    expect(await ask('POST', 'secrets/config', { body: { backend_type: 'vault' } })).toMatchObject({
      status: 400,
      json: { code: 'VALIDATION_ERROR' },
    })
    expect((await ask('GET', 'secrets/owl/token')).json.value).toBe(VALUES.owl)
  })

  test('a move to a KV server takes all of them along, and agents do not notice', async () => {
    const moved = await ask('POST', 'secrets/config?migrate=true', { body: vault() })
    expect(moved).toMatchObject({
      status: 200,
      json: {
        status: 'configured',
        backend_type: 'vault',
        migration: { status: 'done', copied: 2, total: 2 },
      },
    })
    expect(kv.paths()).toEqual([
      'agents/owl/secrets/token',
      'agents/ticket_sorter/secrets/db/password',
    ])
    expect((await ask('GET', 'secrets/ticket_sorter/db/password')).json.value).toBe(VALUES.database)
    await stored('mcp:notes', 'key', VALUES.node)
    expect((await ask('GET', 'secrets/config/migration')).json).toMatchObject({ status: 'done' })
    expect((await ask('GET', 'health')).json.checks.secrets.status).toBe('healthy')
  })

  test('an outage fails closed, and is over when the server is back', async () => {
    kv.down = true
    expect(await ask('GET', 'secrets/owl/token')).toMatchObject({
      status: 503,
      json: { code: 'BACKEND_UNAVAILABLE' },
    })
    expect((await stored('owl', 'token', 'x')).status).toBe(503)
    const own = await ask('GET', 'secrets/scout/any', { key: scoutKey })
    expect(own).toMatchObject({ status: 503, json: { code: 'BACKEND_UNAVAILABLE', details: null } })
    expect(own.text).not.toContain('127.0.0.1')
    kv.down = false
    expect((await ask('GET', 'secrets/owl/token')).json.value).toBe(VALUES.owl)
  })

  test('the choice survives a restart and a seal', async () => {
    await at.restart()
    node = new RuntimeNode(at.daemon.ready)
    expect((await ask('GET', 'secrets/owl/token')).json.value).toBe(VALUES.owl)
    await at.seal()
    expect(await ask('GET', 'secrets/owl/token')).toMatchObject({
      status: 503,
      json: { code: 'NOT_READY' },
    })
    await at.unseal()
    expect((await ask('GET', 'secrets/owl/token')).json.value).toBe(VALUES.owl)
  })

  test('the commands: set, get, list, rm, and a move with its progress told', async () => {
    expect(
      await typed(
        `${VALUES.cli}\n`,
        'secret',
        'set',
        'scout',
        'api/key',
        '--value-stdin',
        '--description',
        'of scout',
      ),
    ).toMatchObject({
      exitCode: 0,
      json: { agent_id: 'scout', secret_name: 'api/key', version: 1, created: true },
    })
    expect((await vestry('secret', 'get', 'scout', 'api/key')).json).toMatchObject({
      description: 'of scout',
      version: 1,
    })
    expect((await vestry('secret', 'get', 'scout', 'api/key', '--reveal')).json.value).toBe(
      VALUES.cli,
    )
    expect((await vestry('secret', 'list')).json.secrets).toContainEqual({
      agent_id: 'mcp:notes',
      secret_name: 'key',
    })
    const file = at.home.dir.concat('/backend.yaml')
    const { writeFileSync } = await import('node:fs')
    writeFileSync(file, `backend_type: encrypted_file\nencryption_key: "${VALUES.fileKey}"\n`, {
      mode: 0o600,
    })
    expect(await vestry('secret', 'backend', 'set', file, '--extras', 'delete')).toMatchObject({
      json: { error: { code: 'USAGE', message: '--extras goes with --migrate' } },
    })
    const moved = await vestry('secret', 'backend', 'set', file, '--migrate')
    expect(moved).toMatchObject({
      exitCode: 0,
      json: { backend_type: 'encrypted_file', migration: { status: 'done', copied: 4 } },
    })
    writeFileSync(file, '')
    expect((await vestry('secret', 'backend', 'show', '--check')).json).toMatchObject({
      backend_type: 'encrypted_file',
      details: { file: 'secrets.enc', key: 'given' },
    })
    expect((await vestry('secret', 'get', 'scout', 'api/key', '--reveal')).json.value).toBe(
      VALUES.cli,
    )
    expect((await vestry('secret', 'rm', 'scout', 'api/key')).exitCode).toBe(0)
    expect(await vestry('secret', 'rm', 'scout', 'api/key')).toMatchObject({
      exitCode: 1,
      json: { error: { code: 'SECRET_NOT_FOUND' } },
    })
  })

  test('vault §28.56: a keychain that is not there is told as 503, and the file goes on', async () => {
    if (process.env['DBUS_SESSION_BUS_ADDRESS'] === undefined && process.platform === 'linux')
      expect(
        await ask('POST', 'secrets/config', { body: { backend_type: 'os_keychain' } }),
      ).toMatchObject({ status: 503, json: { code: 'BACKEND_UNAVAILABLE' } })
    expect((await ask('GET', 'secrets/owl/token')).json.value).toBe(VALUES.owl)
    expect(statSync(join(at.home.dir, 'secrets.enc')).mode & 0o777).toBe(0o600)
  })
})

test('runtime §20.16: no value, token or key is in anything that was told or written, but where it was read', async () => {
  const files = readdirSync(at.home.dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(at.home.dir, name))
    // What was renamed meanwhile is there under its new name.
    .filter((name) => statSync(name, { throwIfNoEntry: false })?.isFile() === true)
    .filter((name) => !name.endsWith('.new'))
  const all = [...told, ...files.map((name) => readFileSync(name, 'latin1'))].join('\n')
  expect(told.length).toBeGreaterThan(40)
  for (const [name, value] of Object.entries(VALUES)) {
    for (const form of [
      value,
      Buffer.from(value).toString('base64'),
      Buffer.from(value).toString('hex'),
      encodeURIComponent(value),
    ])
      expect(all.includes(form), `${name} as ${form}`).toBe(false)
  }
})
