import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type Handler, startUpstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { leaksIn } from '../harness/needles.ts'
import { recordsOf } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'

const SECRET = 'tok_77aa0c2d7be1a94c3f'
const answer: Handler = ({ url }, reply) => {
  if (url === '/slow') return
  if (url === '/echo') reply.end(SECRET)
  else reply.end('fine')
}

/** The kernel refuses this process every write beyond `bytes`, as a full disk would. */
function limitFileSize(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`])
}

afterEach(() => limitFileSize('unlimited'))

async function start(port: number): Promise<TestDaemon> {
  const vestry = await startTestDaemon({ config: { egress: { allow_cidrs: ['127.0.0.1/32'] } } })
  await vestry.addCredential('a/b', SECRET)
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'r',
        principals: ['agent:*'],
        resources: ['a/**'],
        actions: ['list', 'retrieve', 'store', 'unwrap', 'use:*'],
        hosts: [`127.0.0.1:${port}`],
        allow_http: true,
      },
    ],
  })
  return vestry
}

test('vault §28.50: each action leaves one intent and one outcome, each refusal one record', async () => {
  await using upstream = await startUpstream(answer)
  await using vestry = await start(upstream.port)
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const url = (path: string) => `http://127.0.0.1:${upstream.port}${path}`
  const use = (operation: string, params?: object, path = 'a/b') =>
    client.call('use', { path, operation, params })
  const wrapped = await client.call('retrieve', { path: 'a/b', wrap_ttl: 60 })
  const { lease_id } = await client.call('retrieve', { path: 'a/b' })
  const { ciphertext } = await use('encrypt', { data: 'x' })
  const acting: [event: string, code: string, run: () => Promise<unknown>][] = [
    [
      'credential.retrieve',
      'OK',
      () => client.call('retrieve', { path: 'a/b', reason: 'why not' }),
    ],
    [
      'credential.retrieve',
      'CREDENTIAL_NOT_FOUND',
      () => client.call('retrieve', { path: 'a/b', version: 9 }),
    ],
    ['credential.unwrap', 'OK', () => client.call('unwrap', { wrap_token: wrapped.wrap_token })],
    ['credential.store', 'OK', () => client.call('store', { path: 'a/new', value: 'aabb' })],
    ['lease.renew', 'OK', () => client.call('renew_lease', { lease_id })],
    ['credential.use', 'OK', () => use('http_header')],
    ['credential.use', 'OK', () => use('sign', { data: 'x' })],
    ['credential.use', 'OK', () => use('verify', { data: 'x', signature: 'ab' })],
    ['credential.use', 'OK', () => use('encrypt', { data: 'x' })],
    ['credential.use', 'OK', () => use('decrypt', { ciphertext })],
    ['credential.use', 'OK', () => use('rewrap', { ciphertext })],
    ['credential.use', 'DECRYPT_FAILED', () => use('decrypt', { ciphertext: 'sanctum:v1:AAAA' })],
    [
      'credential.use',
      'UNUSABLE_CREDENTIAL',
      () => use('sign', { data: 'x', algorithm: 'ed25519' }),
    ],
    ['credential.use', 'OK', () => use('http_request', { url: url('/') })],
    ['credential.use', 'OK', () => use('http_request', { url: url('/echo') })],
    [
      'credential.use',
      'UPSTREAM_TIMEOUT',
      () => use('http_request', { url: url('/slow'), timeout_ms: 100 }),
    ],
  ]
  const refused: [event: string, code: string, run: () => Promise<unknown>][] = [
    ['policy.deny', 'ACCESS_DENIED', () => client.call('retrieve', { path: 'b/c' })],
    ['policy.deny', 'ACCESS_DENIED', () => use('sign', { data: 'x' }, 'b/c')],
    ['policy.deny', 'ACCESS_DENIED', () => use('http_request', { url: 'https://evil.example/' })],
    ['policy.deny', 'ACCESS_DENIED', () => client.call('store', { path: 'b/c', value: '00' })],
    [
      'credential.retrieve',
      'CREDENTIAL_NOT_FOUND',
      () => client.call('retrieve', { path: 'a/gone' }),
    ],
    ['credential.use', 'CREDENTIAL_NOT_FOUND', () => use('sign', { data: 'x' }, 'a/gone')],
    ['credential.store', 'CONFLICT', () => client.call('store', { path: 'a/b', value: '00' })],
    ['credential.unwrap', 'WRAP_INVALID', () => client.call('unwrap', { wrap_token: 'made up' })],
    ['lease.renew', 'LEASE_NOT_FOUND', () => client.call('renew_lease', { lease_id: 'lease_0' })],
    [
      'lease.release',
      'LEASE_NOT_FOUND',
      () => client.call('release_lease', { lease_id: 'lease_0' }),
    ],
  ]
  const since = async (run: () => Promise<unknown>, code: string) => {
    const before = recordsOf(vestry).length
    expect(await codeOf(run())).toBe(code === 'OK' ? 'ok' : code)
    return recordsOf(vestry)
      .slice(before)
      .filter(({ source }) => source === 'vault')
  }
  for (const [event, code, run] of acting) {
    const records = await since(run, code)
    const [intent, outcome, ...rest] = records.filter(({ action }) => action === event)
    expect(rest, `${event} ${code}`).toEqual([])
    expect(intent).toMatchObject({
      phase: 'intent',
      success: true,
      agent: 'scout',
      decision: { allow: true },
    })
    expect(outcome).toMatchObject({ phase: 'outcome', success: code === 'OK', outcome: { code } })
    expect(intent?.request_id).toMatch(/^r-/)
    for (const record of records) expect(record.request_id).toBe(intent?.request_id)
    expect(intent?.txn).toMatch(/^txn_/)
    expect(outcome?.span).toEqual(intent?.span)
  }
  for (const [event, code, run] of refused) {
    const records = await since(run, code)
    expect(records, `${event} ${code}`).toHaveLength(1)
    expect(records[0]).toMatchObject({
      action: event,
      phase: 'single',
      success: false,
      outcome: { code },
    })
  }
  const intents = recordsOf(vestry).filter(({ phase }) => phase === 'intent')
  const outcomes = recordsOf(vestry).filter(({ phase }) => phase === 'outcome')
  const key = (record: { request_id?: string | undefined; action: string }) =>
    `${record.request_id} ${record.action}`
  expect(outcomes.map(key).sort()).toEqual(intents.map(key).sort())
  expect(new Set(intents.map(key)).size).toBe(intents.length)
  expect(leaksIn(vestry.auditLines().join('\n'), SECRET)).toEqual([])
  expect((await vestry.admin.call('admin.audit.verify')).status).toBe('intact')
})

test('the record of an outbound call names method, target and sizes; of a query only the names', async () => {
  await using upstream = await startUpstream(answer)
  await using vestry = await start(upstream.port)
  const client = await vestry.agent(await vestry.addAgent('scout'))
  await client.call('use', {
    path: 'a/b',
    operation: 'http_request',
    params: {
      url: `http://127.0.0.1:${upstream.port}/v1/items?token=QUERYVALUE`,
      query: { page: 'OTHERVALUE' },
      method: 'POST',
      headers: { 'X-Mine': 'HEADERVALUE' },
      body: 'BODYVALUE',
    },
  })
  const [intent, outcome] = recordsOf(vestry, 'credential.use')
  expect(intent?.data).toMatchObject({
    operation: 'use:http_request',
    path: 'a/b',
    bytes_out: 9,
    target: {
      method: 'POST',
      scheme: 'http',
      cleartext: true,
      host: '127.0.0.1',
      port: upstream.port,
      path: '/v1/items',
      query: ['token', 'page'],
    },
  })
  expect(outcome?.outcome).toMatchObject({
    code: 'OK',
    status: 200,
    bytes_in: 4,
    bytes_out: 9,
    redirects: 0,
    redactions: 0,
    duration_ms: expect.any(Number),
  })
  expect(vestry.auditLines().join('\n')).not.toMatch(/QUERYVALUE|OTHERVALUE|HEADERVALUE|BODYVALUE/)
})

test.runIf(process.platform === 'linux')(
  'vault §28.50: while the log cannot be written nothing is done, sent or handed out',
  async () => {
    await using upstream = await startUpstream(answer)
    await using vestry = await start(upstream.port)
    const scout = await vestry.addAgent('scout')
    const client = await vestry.agent(scout)
    const calls: [string, object][] = [
      ['retrieve', { path: 'a/b' }],
      ['retrieve', { path: 'a/b', wrap_ttl: 60 }],
      ['store', { path: 'a/new', value: 'aabb' }],
      ['use', { path: 'a/b', operation: 'http_header' }],
      ['use', { path: 'a/b', operation: 'sign', params: { data: 'x' } }],
      ['use', { path: 'a/b', operation: 'encrypt', params: { data: 'x' } }],
      [
        'use',
        {
          path: 'a/b',
          operation: 'http_request',
          params: { url: `http://127.0.0.1:${upstream.port}/` },
        },
      ],
    ]
    const live = vestry.auditLines().length
    const { size } = statSync(join(vestry.home.audit, 'audit.jsonl'))
    limitFileSize(size)
    for (let round = 0; round < 2; round += 1) {
      for (const [method, params] of calls) {
        const refused = await client.call(method, params).catch((error) => error)
        expect(refused, `${method} ${JSON.stringify(params)}`).toMatchObject({
          code: 'AUDIT_UNAVAILABLE',
          error: { message: 'Audit log is not writable' },
        })
      }
    }
    expect(upstream.connections(), 'not even a connection').toBe(0)
    expect((await client.call('lease_status')).leases).toEqual([])
    expect(await client.call('status')).toMatchObject({ audit_available: false })
    await expect(vestry.agent(scout), 'nor can anybody log in').rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
    })
    expect(vestry.auditLines()).toHaveLength(live)

    limitFileSize('unlimited')
    for (let tries = 0; (await client.call('status')).audit_available !== true; tries += 1) {
      expect(tries).toBeLessThan(200)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    for (const [method, params] of calls)
      expect(await codeOf(client.call(method, params)), `${method} ${JSON.stringify(params)}`).toBe(
        'ok',
      )
    expect(upstream.seen).toHaveLength(1)
    expect((await vestry.admin.call('admin.audit.verify')).status).toBe('intact')
  },
)
