import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import type { Listener } from '../../egress/addresses.ts'
import { signJws } from '../../identity/runs/jws.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { BodyMemory } from '../../llm/wire/request-body.ts'
import { Secret } from '../../seal/secret.ts'
import { eachStore } from '../../store/test-store.ts'
import { clientAddress } from '../wire/client-address.ts'
import type { AgentInvoker, ExecutionEnd } from './agent-invoker.ts'
import { InputStore } from './input-store.ts'
import { HttpInputs } from './inputs.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
const failing = (code: string) => expect.objectContaining({ code })
const onLoopback = { bind_address: '127.0.0.1', port: 0, agent_id: 'scout' }

type Seen = Parameters<AgentInvoker['start']>[0]

eachStore('HTTP inputs', (at) => {
  let inputs: HttpInputs
  let seen: Seen[]
  let records: AuditEntry[]
  let ownListeners: Listener[]
  let end: (seen: Seen) => ExecutionEnd | Promise<ExecutionEnd>
  let secret: string

  const made = () => {
    const store = new InputStore({ store: at.store, guard, keys: () => keyring, now: Date.now })
    return new HttpInputs({
      store,
      agents: {
        exists: async (name) => name === 'scout' || name === 'texter',
        start: async (request) => {
          seen.push(request)
          return { executionId: 'exe_1', ended: Promise.resolve(end(request)) }
        },
      },
      secrets: { resolve: async () => Secret.own(Buffer.from(secret)) },
      audit: {
        append: async (entry: AuditEntry) => void records.push(entry),
      } as unknown as AuditLog,
      refused: () => undefined,
      bodies: new BodyMemory(8_388_608),
      clientAddress: clientAddress([]),
      ownListeners,
      allowOpenListeners: false,
      corsOrigins: ['https://console.example'],
      now: Date.now,
      warn: () => undefined,
    })
  }

  beforeEach(() => {
    seen = []
    records = []
    ownListeners = []
    secret = 'Bearer of-the-vault'
    end = ({ agentName }) => ({ status: 'completed', output: { said: agentName } })
    inputs = made()
  })
  afterEach(() => inputs.close(0))

  const create = async (config: object) => {
    const view = await inputs.create({ ...onLoopback, ...config })
    const url = `http://127.0.0.1:${view['bound_port']}/webhook`
    return { id: String(view['server_id']), url, view }
  }
  const post = async (url: string, body: unknown, headers: Record<string, string> = {}) => {
    const answer = await fetch(url, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers,
    })
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
  }

  it('runtime §20.27: without authentication it listens on loopback, whatever address was asked for', async () => {
    const { view } = await create({ bind_address: '0.0.0.0' })
    expect(view).toMatchObject({
      status: 'running',
      effective_bind_address: '127.0.0.1',
      warnings: ['no authentication configured: listening on loopback only'],
      config: { bind_address: '0.0.0.0', auth_header: null, routing_rules: null },
    })
    expect(ownListeners).toEqual([{ address: '127.0.0.1', port: view['bound_port'] }])
  })

  it('a request becomes the input of the agent, and its output the answer', async () => {
    const { id, url } = await create({ forward_headers: ['X-Event'] })
    const { status, body } = await post(
      `${url}/more?a=1`,
      { n: 1 },
      { 'x-event': 'push', 'x-other': 'no' },
    )
    expect([status, body]).toEqual([200, { said: 'scout' }])
    expect(seen[0]).toMatchObject({
      agentName: 'scout',
      trigger: `http_input:${id}`,
      input: {
        method: 'POST',
        path: '/webhook/more',
        query: { a: '1' },
        headers: { 'x-event': 'push' },
        body: { n: 1 },
      },
    })
    await post(url, 'a=1&b=2&a=3', { 'content-type': 'application/x-www-form-urlencoded' })
    expect(seen[1]?.input['body']).toEqual({ a: ['1', '3'], b: '2' })
    expect(records.map(({ action, success }) => [action, success])).toEqual([
      ['http_input.request', true],
      ['http_input.request', true],
    ])
  })

  it('runtime §20.27: rules route by path, header and field; the first that holds wins', async () => {
    const rule = (condition_type: string, condition_value: string, condition_target?: string) => ({
      condition_type,
      condition_value,
      condition_target,
      agent_id: 'texter',
    })
    const { url } = await create({
      routing_rules: [
        rule('path_prefix', '/webhook/sms'),
        rule('header_equals', 'sms', 'X-Kind'),
        rule('json_field_equals', '7', 'meta.kind'),
      ],
    })
    const by = async (...request: [string, unknown, Record<string, string>?]) =>
      (await post(...request)).body['said']
    expect(await by(`${url}/sms/7`, {})).toBe('texter')
    expect(await by(`${url}/smsx`, {})).toBe('scout')
    expect(await by(url, {}, { 'x-kind': 'sms' })).toBe('texter')
    expect(await by(url, {}, { 'x-kind': 'SMS' })).toBe('scout')
    expect(await by(url, { meta: { kind: 7 } })).toBe('texter')
    expect(await by(url, { meta: { kind: [7] } })).toBe('scout')
  })

  it('runtime §20.27: size, authentication, JSON and crowding are refused in that order, and counted', async () => {
    const gate = Promise.withResolvers<ExecutionEnd>()
    const { id, url } = await create({
      max_body_bytes: 20,
      auth_header: 'Bearer right',
      concurrency: 1,
    })
    const right = { authorization: 'Bearer right' }
    expect(await post(url, 'x'.repeat(21))).toMatchObject({ status: 413 })
    expect(await post(url, {})).toMatchObject({ status: 401 })
    expect(await post(url, {}, { authorization: 'Bearer wrong' })).toMatchObject({ status: 401 })
    expect(await post(url, '{"a":1,"a":2}', right)).toMatchObject({ status: 400 })
    end = () => gate.promise
    const first = post(url, {}, right)
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    expect(await post(url, {}, right)).toMatchObject({ status: 429 })
    gate.resolve({ status: 'completed', output: 1 })
    expect(await first).toMatchObject({ status: 200, body: 1 })
    expect(inputs.metrics(id)).toMatchObject({
      requests_total: 6,
      requests_succeeded: 1,
      requests_failed: 0,
      requests_rejected: { auth: 2, size: 1, json: 1, concurrency: 1, signature: 0 },
      by_agent: { scout: 1 },
    })
  })

  it('a header may be a secret by reference, and follows it', async () => {
    const { url, view } = await create({ auth_header: 'secret://hook' })
    expect(view).toMatchObject({ config: { auth_header: 'secret://hook' } })
    expect(await post(url, {}, { authorization: 'Bearer of-the-vault' })).toMatchObject({
      status: 200,
    })
    expect(await post(url, {}, { authorization: 'secret://hook' })).toMatchObject({ status: 401 })
  })

  it('tokens are ES256 or EdDSA by the key, never by themselves, and end', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const other = generateKeyPairSync('ed25519')
    const file = join(mkdtempSync(join(tmpdir(), 'input-')), 'key.pem')
    writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }))
    const { url } = await create({ jwt_public_key_path: file, jwt_audience: 'hooks' })
    const seconds = Math.floor(Date.now() / 1_000)
    const good = { exp: seconds + 60, aud: ['hooks'] }
    const send = async (token: string) =>
      (await post(url, {}, { authorization: `Bearer ${token}` })).status
    expect(await send(signJws('ES256', privateKey, {}, good))).toBe(200)
    expect(await send(signJws('ES256', privateKey, {}, { ...good, exp: seconds - 10 }))).toBe(401)
    expect(await send(signJws('ES256', privateKey, {}, { aud: 'hooks' }))).toBe(401)
    expect(await send(signJws('ES256', privateKey, {}, { ...good, aud: 'else' }))).toBe(401)
    expect(await send(signJws('EdDSA', other.privateKey, {}, good))).toBe(401)
    await expect(create({ jwt_public_key_path: join(file, 'none') })).rejects.toEqual(
      failing('INVALID_PARAMS'),
    )
  })

  it('a password is hidden, and stays when it is sent back hidden', async () => {
    const { id, url, view } = await create({ auth_header: 'Bearer right' })
    expect(view).toMatchObject({ config: { auth_header: '[secret]' } })
    const config = inputs.info(id)['config'] as object
    const changed = await inputs.update(id, {
      ...config,
      concurrency: 3,
      port: Number(new URL(url).port),
    })
    expect(changed).toMatchObject({
      config: { concurrency: 3 },
      bound_port: Number(new URL(url).port),
    })
    expect(await post(url, {}, { authorization: 'Bearer right' })).toMatchObject({ status: 200 })
  })

  it('failures of agents are told as configured, and say nothing of why', async () => {
    end = () => ({
      status: 'failed',
      error: { code: 'MODEL_PROVIDER_NOT_CONFIGURED', message: 'key sk-1' },
    })
    const { url } = await create({
      response_control: { error_status: 503, echo_input_on_error: true },
    })
    const { status, body } = await post(url, { n: 1 })
    expect(status).toBe(503)
    expect(body).toMatchObject({ code: 'MODEL_PROVIDER_NOT_CONFIGURED', input: { n: 1 } })
    expect(JSON.stringify(body)).not.toContain('sk-1')
  })

  it('runtime §20.27: a trigger gives what a request gives', async () => {
    const { id, url } = await create({})
    const real = await post(url, { source: 'sms' })
    const triggered = await inputs.trigger(id, { payload: { source: 'sms' } })
    expect(triggered).toMatchObject({
      status: 'completed',
      response_code: real.status,
      response_body: real.body,
      agent_id: 'scout',
    })
    end = () => ({ status: 'completed', output: 'text' })
    expect(await inputs.trigger(id, { payload: {} })).toMatchObject({
      response_body: { output: 'text' },
    })
  })

  it('a port that is taken is refused; start, stop and delete may be repeated', async () => {
    const { id, url } = await create({})
    const port = Number(new URL(url).port)
    await expect(create({ port })).rejects.toEqual(failing('PORT_IN_USE'))
    await expect(create({ agent_id: 'nobody' })).rejects.toEqual(failing('AGENT_NOT_FOUND'))
    expect(await inputs.start(id)).toEqual({ server_id: id, status: 'running' })
    for (const _ of [1, 2])
      expect(await inputs.stop(id)).toEqual({ server_id: id, status: 'stopped' })
    await expect(fetch(url, { method: 'POST' })).rejects.toThrow()
    expect(ownListeners).toEqual([])
    await inputs.start(id)
    expect(await inputs.remove(id)).toEqual({ server_id: id, status: 'deleted' })
    expect(() => inputs.info(id)).toThrow(VestryError)
    expect(inputs.list()).toEqual([])
  })

  it('what was running runs again after a restart, with its numbers', async () => {
    const { id, url } = await create({})
    const { id: stopped } = await create({})
    await inputs.stop(stopped)
    await post(url, {})
    await inputs.close(0)
    inputs = made()
    await inputs.open()
    const statuses = inputs.list().map((view) => [view['server_id'], view['status']])
    expect(Object.fromEntries(statuses)).toEqual({ [id]: 'running', [stopped]: 'stopped' })
    expect(inputs.metrics(id)).toMatchObject({ requests_total: 1, requests_succeeded: 1 })
    expect(inputs.list('texter')).toEqual([])
  })

  it('browsers get leave by configuration only', async () => {
    const { url } = await create({ cors_enabled: true })
    const asked = (origin: string) => fetch(url, { method: 'OPTIONS', headers: { origin } })
    const allowed = await asked('https://console.example')
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://console.example')
    const other = await asked('https://elsewhere.example')
    expect(other.headers.get('access-control-allow-origin')).toBe(null)
    expect((await fetch(url)).status).toBe(405)
    expect((await fetch(url.replace('/webhook', '/else'), { method: 'POST' })).status).toBe(404)
  })
})
