import { afterEach, beforeEach, expect, test } from 'vitest'
import { EventParser } from './event-parser.ts'
import { FakeRuntime, type Scripted } from './fake-runtime.test-kit.ts'
import {
  APIError,
  AuthenticationError,
  ConnectionError,
  NotFoundError,
  SymbiontClient,
  SymbiontError,
} from './index.ts'

const AT = '2026-05-02T09:14:07.000Z'

let server: FakeRuntime
beforeEach(async () => {
  server = await new FakeRuntime().start()
})
afterEach(() => server[Symbol.asyncDispose]())

const step = (id: string, status: string, more: object = {}) => ({
  id,
  kind: 'transform',
  status,
  started_at: AT,
  duration_ms: 3,
  output: null,
  error: null,
  ...more,
})
const told = (id: number, event: string, data: object) =>
  `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
const END = told(9, 'end', { execution_id: 'exe_1', status: 'completed', started_at: AT })
const stream = (body: string, more: Partial<Scripted> = {}): Scripted => ({
  headers: { 'content-type': 'text/event-stream' },
  body: `retry: 1\n\n: alive\n\n${body}`,
  ...more,
})
const client = (maxRetries = 2) =>
  new SymbiontClient({ baseUrl: server.baseUrl, apiKey: 'k.s', envFile: false, maxRetries })
const watched = async (maxRetries?: number) => {
  const events = await all(client(maxRetries).watchWorkflowExecution('exe_1'))
  return events.map(({ event, id, data }) => [event, id, data['id'] ?? '', data.status].join(' '))
}

test('runtime §5.1: a connection that breaks off is opened again where it was, and nothing is told twice', async () => {
  const a = told(5, 'step', step('a', 'completed'))
  const b = told(6, 'step', step('b', 'running'))
  server.answer(
    stream(a + b, { drop: 'within' }),
    { drop: 'before' },
    { status: 503, headers: { 'retry-after': '0' } },
    stream(b + told(8, 'step', step('b', 'completed')) + told(8, 'news', {}) + END),
  )
  expect(await watched(3)).toEqual([
    'step 5 a completed',
    'step 6 b running',
    'step 8 b completed',
    'end 9  completed',
  ])
  const ids = server.seen.map(({ headers }) => headers['last-event-id'])
  expect(ids).toEqual([undefined, '6', '6', '6'])
  expect(server.last.headers).toMatchObject({
    accept: 'text/event-stream',
    authorization: 'Bearer k.s',
  })
})

test('a server that ends without an end, and says the same again and again, is left', async () => {
  const again = stream(told(5, 'step', step('a', 'running')))
  server.answer(again, again, again, again, again)
  await expect(watched()).rejects.toMatchObject({
    name: 'ConnectionError',
    code: 'ANSWER_BROKE_OFF',
  })
  expect(server.seen).toHaveLength(3)
  await expect(watched(0)).rejects.toBeInstanceOf(ConnectionError)
  expect(server.seen).toHaveLength(4)
})

test('what will not pass is not tried again', async () => {
  server.answer({ status: 404, body: { error: 'There is none', code: 'JOB_NOT_FOUND' } })
  await expect(watched()).rejects.toBeInstanceOf(NotFoundError)
  server.answer(stream(told(5, 'step', step('a', 'running'))), { status: 401 })
  await expect(watched()).rejects.toBeInstanceOf(AuthenticationError)
  for (const body of [
    told(5, 'step', { id: 'a', password: 'hunter2' }),
    'event: step\ndata: {"hunter2\n\n',
    told(5, 'end', []),
  ]) {
    server.answer(stream(body))
    const error = await watched().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(APIError)
    expect(error).toMatchObject({ code: 'UNEXPECTED_ANSWER' })
    expect(String(error)).not.toContain('hunter2')
  }
  expect(server.seen).toHaveLength(6)
})

test('what is not asked properly is not sent', async () => {
  for (const lastEventId of ['', 'a\nb', 'x'.repeat(129)]) {
    const events = client().watchWorkflowExecution('exe_1', { lastEventId })
    await expect(events.next()).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  }
  await expect(client().watchWorkflowExecution('..').next()).rejects.toBeInstanceOf(SymbiontError)
  expect(server.seen).toEqual([])
})

test('the signal ends it with its own reason; an id that was kept is sent', async () => {
  const left = new AbortController()
  server.answer(stream(told(5, 'step', step('a', 'running'))), { silent: true })
  const options = { signal: left.signal, lastEventId: '4' }
  const events = client().watchWorkflowExecution('exe_1', options)
  expect((await events.next()).value).toMatchObject({ id: '5', data: { status: 'running' } })
  const next = events.next()
  await expect.poll(() => server.seen.length).toBe(2)
  left.abort(new Error('enough'))
  await expect(next).rejects.toThrow('enough')
  expect(server.seen.map(({ headers }) => headers['last-event-id'])).toEqual(['4', '5'])
})

test('an event is whole wherever its bytes were cut, and has an end', () => {
  const text = '\uFEFFid: 1\r\nevent: step\r\ndata: ü\r\ndata:2\r\n\r\nid\ndata: x\n\n'
  const bytes = new TextEncoder().encode(text)
  for (let size = 1; size <= bytes.length; size += 1) {
    const parser = new EventParser()
    const events = []
    for (let at = 0; at < bytes.length; at += size)
      events.push(...parser.push(bytes.subarray(at, at + size)))
    expect(events).toEqual([
      { id: '1', event: 'step', data: 'ü\n2' },
      { id: '', event: '', data: 'x' },
    ])
  }
  const endless = new Uint8Array(4_194_304).fill(120)
  const parser = new EventParser()
  const push = () => {
    for (let at = 0; at < 9; at += 1) parser.push(endless)
  }
  expect(push).toThrow('larger than 32 MiB')
})

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}
