import { afterEach, beforeEach, expect, it } from 'vitest'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { Buckets } from '../../limits/bucket.ts'
import { eachStore } from '../../store/test-store.ts'
import type { AgentInvoker, ExecutionEnd } from '../http-input/agent-invoker.ts'
import { EndpointStore } from './endpoint-store.ts'
import { Endpoints } from './endpoints.ts'

const guard = testGuard(testKeyring())
const failing = (code: string) => expect.objectContaining({ code })
const asked = {
  query: {},
  body: null,
  requestId: 'r-1',
  traceparent: undefined,
  remoteAddress: '127.0.0.1',
  isForeignPage: false,
}

eachStore('HTTP endpoints', (at) => {
  let opened: Endpoints[]
  let endpoints: Endpoints
  let seen: Parameters<AgentInvoker['start']>[0][]
  let end: () => ExecutionEnd | Promise<ExecutionEnd>

  const made = (store = new EndpointStore({ store: at.store, guard, now: Date.now })) => {
    const one = new Endpoints({
      store,
      agents: {
        exists: async () => true,
        start: async (request) => {
          seen.push(request)
          return { executionId: 'exe_1', ended: Promise.resolve(end()) }
        },
      },
      buckets: new Buckets({ now: () => performance.now() }),
      now: Date.now,
    })
    opened.push(one)
    return one
  }
  beforeEach(async () => {
    opened = []
    seen = []
    end = () => ({ status: 'completed', output: {} })
    endpoints = made()
    await endpoints.open()
  })
  afterEach(() => Promise.all(opened.map((one) => one.close())))

  const add = async (change: object = {}) =>
    String(
      (
        await endpoints.create(
          { path: 'orders', method: 'POST', agent_id: 'scout', ...change },
          'ada',
        )
      )['endpoint_id'],
    )

  it('runtime §20.5: an update comes with the id in its body, which has to be that of the path', async () => {
    const id = await add()
    const every = {
      endpoint_id: id,
      path: null,
      method: null,
      agent_id: null,
      description: 'Orders',
      auth_required: null,
      rate_limit: null,
      timeout_seconds: null,
      middleware: null,
      metadata: null,
      status: null,
    }
    expect(await endpoints.update(id, every)).toMatchObject({
      endpoint_info: { path: '/orders', description: 'Orders' },
    })
    await expect(endpoints.update(id, { ...every, endpoint_id: 'ep_other' })).rejects.toEqual(
      failing('INVALID_PARAMS'),
    )
  })

  it('two paths that differ in the names of their parameters are one', async () => {
    const id = await add({ path: 'orders/{id}' })
    await expect(add({ path: 'orders/{other}' })).rejects.toEqual(failing('ALREADY_EXISTS'))
    const fixed = await add({ path: 'orders/new' })
    await add({ path: '{kind}/new' })
    await add({ path: 'orders/{id}', method: 'GET' })
    await expect(endpoints.update(fixed, { path: 'orders/{x}' })).rejects.toEqual(
      failing('ALREADY_EXISTS'),
    )
    await endpoints.update(id, { path: 'orders/{order}' })
    const found = (path: string) => endpoints.find('POST', path)?.endpoint.path
    expect(found('orders/new')).toBe('orders/new')
    expect(found('orders/7')).toBe('orders/{order}')
    expect(found('bills/new')).toBe('{kind}/new')
    expect(found('bills/7')).toBeUndefined()
  })

  it('parameters may be called as they like, and a path that no request can have is refused', async () => {
    await add({ path: '{__proto__}/{constructor}' })
    await endpoints.serve('POST', 'a/b', asked)
    expect(JSON.stringify(seen[0]?.input['params'])).toBe('{"__proto__":"a","constructor":"b"}')
    await expect(add({ path: Array(40).fill('a').join('/') })).rejects.toEqual(
      failing('INVALID_PARAMS'),
    )
    await expect(add({ metadata: { text: 'x'.repeat(100_000) } })).rejects.toEqual(
      failing('INVALID_PARAMS'),
    )
  })

  it('two changes at once are both there, and none brings back what was deleted', async () => {
    const id = await add({ auth_required: false })
    await Promise.all([
      endpoints.update(id, { auth_required: true }),
      endpoints.setStatus(id, 'maintenance'),
      endpoints.update(id, { description: 'both' }),
    ])
    expect(endpoints.info(id)).toMatchObject({
      auth_required: true,
      status: 'maintenance',
      description: 'both',
    })
    await Promise.allSettled([endpoints.remove(id), endpoints.update(id, { description: 'again' })])
    expect(endpoints.list()).toEqual([])
    await expect(endpoints.remove(id)).rejects.toEqual(failing('ENDPOINT_NOT_FOUND'))
  })

  it('pages of other origins do not start agents of an endpoint that asks for no key', async () => {
    await add({ auth_required: false })
    await add({ path: 'keyed' })
    const page = { ...asked, isForeignPage: true }
    await expect(endpoints.serve('POST', 'orders', page)).rejects.toEqual(failing('ACCESS_DENIED'))
    expect(await endpoints.serve('POST', 'keyed', page)).toMatchObject({ status: 200 })
    expect(await endpoints.serve('POST', 'orders', asked)).toMatchObject({ status: 200 })
  })

  it('what was read earlier never replaces what was read later', async () => {
    const id = await add()
    const held = Promise.withResolvers<void>()
    let holds = false
    class Slow extends EndpointStore {
      override async list() {
        const read = await super.list()
        if (holds) await held.promise
        return read
      }
    }
    const late = made(new Slow({ store: at.store, guard, now: Date.now }))
    await late.open()
    holds = true
    const slow = late.load()
    await new Promise((resolve) => setTimeout(resolve, 20))
    holds = false
    await endpoints.setStatus(id, 'inactive')
    const quick = late.load()
    await new Promise((resolve) => setTimeout(resolve, 20))
    held.resolve()
    await Promise.all([slow, quick])
    expect(late.info(id)).toMatchObject({ status: 'inactive' })
  })

  it('two nodes add up what they count, altered counters are none, and removed ones stay away', async () => {
    const id = await add()
    const other = made()
    await other.open()
    await endpoints.serve('POST', 'orders', asked)
    await other.serve('POST', 'orders', asked)
    await endpoints.close()
    await other.close()
    endpoints = made()
    await endpoints.open()
    expect(endpoints.metrics(id)).toMatchObject({ total_requests: 2, successful_requests: 2 })
    await endpoints.close()
    for (const text of ['not json', '{"total":"x"}', 'null']) {
      await at.store.write(async (trx) => {
        await trx.updateTable('runtime_stat').set({ stats_json: text }).execute()
      })
      endpoints = made()
      await endpoints.open()
      await endpoints.serve('POST', 'orders', asked)
      expect(endpoints.metrics(id)).toMatchObject({ total_requests: 1 })
      await endpoints.close()
    }
    endpoints = made()
    await endpoints.open()
    const gate = Promise.withResolvers<ExecutionEnd>()
    end = () => gate.promise
    const serving = endpoints.serve('POST', 'orders', asked)
    await endpoints.remove(id)
    gate.resolve({ status: 'completed', output: undefined })
    expect(await serving).toEqual({ status: 200, body: { output: null } })
    await endpoints.close()
    expect(await at.store.db.selectFrom('runtime_stat').selectAll().execute()).toEqual([])
  })
})
