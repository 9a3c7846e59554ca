import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { request } from 'node:http'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import type { Listener } from '../../egress/addresses.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { BodyMemory } from '../../llm/wire/request-body.ts'
import { Secret } from '../../seal/secret.ts'
import type { Store } from '../../store/store.ts'
import { eachStore } from '../../store/test-store.ts'
import { clientAddress } from '../wire/client-address.ts'
import type { AgentInvoker, ExecutionEnd } from './agent-invoker.ts'
import { InputStore } from './input-store.ts'
import { HttpInputs } from './inputs.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
const failing = (code: string) => expect.objectContaining({ code })
const onLoopback = { bind_address: '127.0.0.1', port: 0, agent_id: 'scout' }
const soon = (ms = 1) => new Promise((resolve) => setTimeout(resolve, ms))

type Seen = Parameters<AgentInvoker['start']>[0]

eachStore('HTTP inputs under attack', (at) => {
  let inputs: HttpInputs
  let seen: Seen[]
  let records: AuditEntry[]
  let refusals: string[]
  let ownListeners: Listener[]
  let end: (seen: Seen) => ExecutionEnd | Promise<ExecutionEnd>
  let resolving: Promise<unknown>
  let opened: HttpInputs[]
  let aheadMs: number

  const made = (store: Pick<Store, 'db' | 'change' | 'write'> = at.store) => {
    const one = new HttpInputs({
      store: new InputStore({ store, guard, keys: () => keyring, now: Date.now }),
      agents: {
        exists: async () => true,
        start: async (asked) => {
          seen.push(asked)
          return { executionId: 'exe_1', ended: Promise.resolve(end(asked)) }
        },
      },
      secrets: {
        resolve: async () => {
          await resolving
          return Secret.own(Buffer.from('Bearer grün'))
        },
      },
      audit: {
        append: async (entry: AuditEntry) => void records.push(entry),
      } as unknown as AuditLog,
      refused: (_actor: string, scope: string) => void refusals.push(scope),
      bodies: new BodyMemory(8_388_608),
      clientAddress: clientAddress(['127.0.0.1']),
      ownListeners,
      allowOpenListeners: false,
      corsOrigins: ['https://console.example/'],
      now: () => Date.now() + aheadMs,
      tickMs: 20,
      warn: () => undefined,
    })
    opened.push(one)
    return one
  }

  beforeEach(() => {
    seen = []
    records = []
    refusals = []
    ownListeners = []
    opened = []
    aheadMs = 0
    resolving = Promise.resolve()
    end = ({ agentName }) => ({ status: 'completed', output: { said: agentName } })
    inputs = made()
  })
  afterEach(() => Promise.all(opened.map((one) => one.close(0))))

  const create = async (config: object = {}, by = inputs) => {
    const view = await by.create({ ...onLoopback, ...config })
    const port = Number(view['bound_port'])
    return { id: String(view['server_id']), port, url: `http://127.0.0.1:${port}/webhook`, view }
  }
  const post = async (url: string, body: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(url, { method: 'POST', body, headers })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
  }
  /** Once more where the client took a connection that the server had closed. */
  const statusOf = async (url: string, headers: Record<string, string> = {}) => {
    const ask = () => post(url, '{}', headers).then(({ status }) => status)
    return ask().catch(ask)
  }
  const isOpen = async (port: number) => {
    const probe: Server = createServer()
    return new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(true))
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(false)))
    })
  }
  /** A store whose changes wait, or fail, when told. */
  const troubled = () => {
    const trouble: { before?: () => Promise<unknown> } = {}
    const store: Pick<Store, 'db' | 'change' | 'write'> = {
      db: at.store.db,
      write: (fn, options) => at.store.write(fn, options),
      change: async (fn) => {
        await trouble.before?.()
        return at.store.change(fn)
      },
    }
    return { trouble, store }
  }
  const broken = () => Promise.reject(new VestryError('STORE_UNAVAILABLE'))

  it('an input that gets authentication moves to all addresses on its own port, and is never open without it', async () => {
    const { trouble, store } = troubled()
    inputs = made(store)
    const { id, port, url } = await create({ bind_address: '0.0.0.0' })
    const config = { ...onLoopback, bind_address: '0.0.0.0', port, auth_header: 'Bearer right' }
    const held = Promise.withResolvers<void>()
    trouble.before = () => held.promise
    const updating = inputs.update(id, config)
    await soon(50)
    expect(await statusOf(url)).toBe(503)
    held.resolve()
    expect(await updating).toMatchObject({
      status: 'running',
      effective_bind_address: '0.0.0.0',
      bound_port: port,
    })
    expect(await statusOf(url)).toBe(401)
    expect(await statusOf(url, { authorization: 'Bearer right' })).toBe(200)
    expect(ownListeners).toEqual([{ address: '0.0.0.0', port }])
    trouble.before = broken
    await expect(inputs.update(id, { ...config, auth_header: null })).rejects.toEqual(
      failing('STORE_UNAVAILABLE'),
    )
    expect(await statusOf(url, { authorization: 'Bearer right' })).toBe(200)
    expect(inputs.info(id)).toMatchObject({ effective_bind_address: '0.0.0.0', bound_port: port })
  })

  it('no port stays open behind a change that was not stored', async () => {
    const { trouble, store } = troubled()
    inputs = made(store)
    const { id, port } = await create()
    await inputs.stop(id)
    await inputs.update(id, { ...onLoopback, port })
    trouble.before = broken
    await expect(inputs.start(id)).rejects.toEqual(failing('STORE_UNAVAILABLE'))
    expect(await isOpen(port)).toBe(false)
    expect(inputs.info(id)).toMatchObject({ status: 'stopped' })
    expect(ownListeners).toEqual([])
  })

  it('an input that is made while the vault is sealed does not listen afterwards', async () => {
    const { trouble, store } = troubled()
    inputs = made(store)
    const held = Promise.withResolvers<void>()
    trouble.before = () => held.promise
    const making = create().catch((error: unknown) => error)
    while (ownListeners.length === 0) await soon()
    const [{ port }] = ownListeners as [Listener]
    const closing = inputs.close(0)
    held.resolve()
    await Promise.all([making, closing])
    expect(await isOpen(port)).toBe(false)
    expect(ownListeners).toEqual([])
    await expect(create()).rejects.toEqual(failing('VAULT_LOCKED'))
    trouble.before = async () => undefined
    await inputs.open()
    expect(inputs.list().every(({ status }) => status === 'running')).toBe(true)
  })

  it('an input that waits for its port is not started by that after somebody stopped it', async () => {
    const { id, port } = await create()
    await inputs.update(id, { ...onLoopback, port })
    await inputs.close(0)
    const thief = createServer().listen(port, '127.0.0.1')
    const { trouble, store } = troubled()
    inputs = made(store)
    await inputs.open()
    expect(inputs.info(id)).toMatchObject({ status: 'error' })
    const held = Promise.withResolvers<void>()
    trouble.before = () => held.promise
    const stopping = inputs.stop(id)
    await new Promise((resolve) => thief.close(resolve))
    aheadMs = 60_000 // the retry is due
    await soon(100)
    held.resolve()
    await stopping
    await soon(50)
    expect(inputs.info(id)).toMatchObject({ status: 'stopped' })
    expect(await isOpen(port)).toBe(false)
  })

  it('runtime §20.30: another node follows changes, and a port that one of them has is said by the other', async () => {
    const other = made()
    await other.open()
    const { id, port, url } = await create({ auth_header: 'Bearer old' })
    await inputs.update(id, { ...onLoopback, port, auth_header: 'Bearer old' })
    await other.onChange(['http_input'])
    expect(other.info(id)).toMatchObject({
      status: 'error',
      last_error: expect.stringContaining('in use'),
    })
    await post(url, '{}', { authorization: 'Bearer old' })
    await inputs.close(0)
    expect(await other.start(id)).toMatchObject({ status: 'running' })
    await post(url, '{}', { authorization: 'Bearer old' })
    expect(other.metrics(id)).toMatchObject({ requests_total: expect.any(Number) })

    const third = made()
    await third.open()
    await third.update(id, { ...onLoopback, port, auth_header: 'Bearer new' })
    await other.onChange(['http_input'])
    expect(await statusOf(url, { authorization: 'Bearer old' })).toBe(401)
    expect(await statusOf(url, { authorization: 'Bearer new' })).toBe(200)
    await third.remove(id)
    await other.onChange(['http_input'])
    expect(await isOpen(port)).toBe(false)
    expect(() => other.info(id)).toThrow(VestryError)
    await expect(other.update(id, onLoopback)).rejects.toEqual(failing('HTTP_INPUT_NOT_FOUND'))
  })

  it('runtime §20.27: what two nodes count is added up, and counters that somebody altered cost nothing but themselves', async () => {
    const { id, url } = await create()
    const other = made()
    await other.open()
    await post(url, '{}')
    await other.trigger(id, { payload: {} })
    await inputs.close(0)
    await other.close(0)
    inputs = made()
    await inputs.open()
    expect(inputs.metrics(id)).toMatchObject({ requests_total: 2, by_agent: { scout: 2 } })
    await inputs.close(0)
    for (const text of ['not json', '{"requests_total":"x","by_agent":{"scout":[]}}', 'null']) {
      await at.store.write(async (trx) => {
        await trx.updateTable('runtime_stat').set({ stats_json: text }).execute()
      })
      inputs = made()
      await inputs.open()
      await inputs.trigger(id, { payload: {} })
      expect(inputs.metrics(id)).toMatchObject({ requests_total: 1, by_agent: { scout: 1 } })
      await inputs.close(0)
    }
  })

  it('a form of very many fields is refused at once, and names of prototypes are names', async () => {
    const { url } = await create({ max_body_bytes: 4_194_304 })
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    const startedMs = performance.now()
    expect(await post(url, 'a&'.repeat(400_000), form)).toMatchObject({ status: 400 })
    expect(performance.now() - startedMs).toBeLessThan(5_000)
    expect(await post(url, 'a=%FF', form)).toMatchObject({ status: 200 })
    await post(url, 'constructor=1&constructor=2&__proto__=3', form)
    expect(JSON.stringify(seen.at(-1)?.input['body'])).toBe(
      '{"constructor":["1","2"],"__proto__":"3"}',
    )
    expect(await post(url, '{"constructor":1}')).toMatchObject({ status: 200 })
    expect(await post(url, '{"__proto__":1}')).toMatchObject({ status: 400 })
  })

  it('agents and headers whose names every object has are counted and forwarded like others', async () => {
    const { id, url } = await create({
      agent_id: 'constructor',
      forward_headers: ['constructor', '__proto__', 'x-kind'],
      routing_rules: [
        {
          condition_type: 'header_equals',
          condition_target: 'toString',
          condition_value: 'x',
          agent_id: 'scout',
        },
      ],
    })
    await post(url, '{}', { 'x-kind': 'a' })
    expect(inputs.metrics(id)).toMatchObject({ by_agent: { constructor: 1 } })
    expect(JSON.stringify(seen[0]?.input['headers'])).toBe('{"x-kind":"a"}')
  })

  it('whatever an agent gives is an answer, and a status without a body has none', async () => {
    const { url, id } = await create()
    for (const output of [undefined, null, 'OK', [], 0]) {
      end = () => ({ status: 'completed', output })
      expect(await post(url, '{}')).toEqual({ status: 200, body: output ?? null })
    }
    const text = await create({ response_control: { agent_output_to_json: false } })
    const answer = await fetch(text.url, { method: 'POST', body: '{}' })
    expect([await answer.text(), answer.headers.get('content-type')]).toEqual([
      'OK',
      'text/plain; charset=utf-8',
    ])
    await inputs.update(id, { ...onLoopback, response_control: { default_status: 204 } })
    expect(await post(url, '{}')).toEqual({ status: 204, body: undefined })
  })

  it('who leaves while its secret is looked up does not keep its place', async () => {
    const held = Promise.withResolvers<void>()
    resolving = held.promise
    const { id, port, url } = await create({ auth_header: 'secret://hook', concurrency: 1 })
    const authorization = Buffer.from('Bearer grün').toString('latin1')
    const leaving = request({
      port,
      path: '/webhook',
      method: 'POST',
      headers: { authorization, 'content-length': '20' },
    })
    leaving.on('error', () => undefined)
    leaving.write('{')
    while (inputs.info(id)['active_connections'] === 0) await soon()
    leaving.destroy()
    await soon(50)
    held.resolve()
    while (inputs.info(id)['active_connections'] !== 0) await soon()
    expect(await statusOf(url, { authorization })).toBe(200)
  })

  it('pages of other origins do not start agents of an input without authentication', async () => {
    const { id, url } = await create({ cors_enabled: true })
    expect(await statusOf(url, { origin: 'https://evil.example' })).toBe(403)
    expect(await statusOf(url, { origin: 'null' })).toBe(403)
    expect(await statusOf(url, { origin: 'https://console.example' })).toBe(200)
    const preflight = (origin: string) =>
      fetch(url, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST' },
      })
    expect((await preflight('https://console.example')).headers).toMatchObject({})
    const allowed = await preflight('https://console.example')
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://console.example')
    expect((await preflight('https://evil.example')).status).toBe(405)
    await inputs.update(id, onLoopback)
    expect(await statusOf(url, { origin: 'https://console.example' })).toBe(403)
    expect(seen).toHaveLength(1)
  })

  it('refusals are summed up in the record, and the address is that of the client before a trusted proxy', async () => {
    const { url, id } = await create({ auth_header: 'Bearer right' })
    for (const _ of [1, 2, 3]) await statusOf(url)
    expect(records).toEqual([])
    expect(refusals).toEqual(Array(3).fill(`http_input ${id} auth`))
    await statusOf(url, { authorization: 'Bearer right', 'x-forwarded-for': '203.0.113.7' })
    expect(seen[0]?.remoteAddress).toBe('203.0.113.7')
    expect(records[0]).toMatchObject({ data: { address: '203.0.113.7' } })
  })

  it('a loopback address is kept as it is, and a pipe is no key file', async () => {
    const { view } = await create({ bind_address: '127.0.0.2' })
    expect(view).toMatchObject({ effective_bind_address: '127.0.0.2', warnings: [] })
    const pipe = join(mkdtempSync(join(tmpdir(), 'input-')), 'pipe')
    execFileSync('mkfifo', [pipe])
    await expect(create({ jwt_public_key_path: pipe })).rejects.toEqual(failing('INVALID_PARAMS'))
    await expect(
      create({ auth_header: 'Bearer x', forward_headers: ['Authorization'] }),
    ).rejects.toEqual(failing('INVALID_PARAMS'))
  })

  it('a stopped input takes no further request of a connection that it has', async () => {
    const gate = Promise.withResolvers<ExecutionEnd>()
    end = () => gate.promise
    const { id, url } = await create()
    const first = fetch(url, { method: 'POST', body: '{}' })
    while (seen.length === 0) await soon()
    const stopping = inputs.stop(id)
    while (inputs.info(id)['status'] === 'running') await soon()
    gate.resolve({ status: 'completed', output: {} })
    expect((await first).headers.get('connection')).toBe('close')
    const startedMs = performance.now()
    await stopping
    expect(performance.now() - startedMs).toBeLessThan(1_500)
  })
})
