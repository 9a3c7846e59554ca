import { AsyncLocalStorage } from 'node:async_hooks'
import { execFile } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, get, type RequestOptions } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Ids } from './aot.ts'
import { startIoHints } from './io-hints.ts'
import type { Point } from './span.ts'

function setUp(now?: () => number) {
  const context = new AsyncLocalStorage<Ids>()
  const points: Point[] = []
  const hints = startIoHints({
    active: () => context.getStore(),
    emit: (point) => points.push(point),
    hashKey: Buffer.alloc(32, 7),
    now,
  })
  onTestFinished(() => hints.stop())
  const inSpan = <T>(name: string, run: () => T): T => context.run(span(name), run)
  return { points, hints, inSpan, context }
}

const span = (name: string): Ids => ({
  session_id: '',
  run_id: '',
  step_id: '',
  trace_id: 'tr_1',
  span_id: `sp_${name}`,
  parent_span_id: '',
})

const seen = (points: readonly Point[]): Record<string, unknown>[] =>
  points.map(({ kind, parent, payload }) => ({ kind, span: parent?.span_id, ...payload }))

async function httpServer(path?: string) {
  const server = createServer((_, response) => response.end('x'))
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
  )
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return path === undefined ? (server.address() as AddressInfo).port : 0
}

const request = (options: RequestOptions) =>
  new Promise<void>((resolve, reject) => {
    get(options, (response) => response.resume().on('end', resolve)).on('error', reject)
  })

test('requests, connections and programs are told to the span that began them, however spans interleave', async () => {
  const { points, inSpan } = setUp()
  const port = await httpServer()
  await Promise.all([
    inSpan('fetch', () => fetch(`http://localhost:${port}/secret?token=x`).then((r) => r.text())),
    inSpan('http', () => request({ host: 'localhost', port, path: '/secret', agent: false })),
    inSpan(
      'tcp',
      () =>
        new Promise<void>((resolve) => {
          connect(port, '127.0.0.1', function (this: ReturnType<typeof connect>) {
            this.destroy()
            resolve()
          })
        }),
    ),
    inSpan('exec', () => new Promise((resolve) => execFile('/bin/echo', ['secret'], resolve))),
  ])
  const of = (name: string) => seen(points).filter((hint) => hint.span === `sp_${name}`)
  const fetched = of('fetch').find(({ proto }) => proto === 'http')
  expect(fetched).toEqual({
    kind: 'x.coat.io',
    span: 'sp_fetch',
    proto: 'http',
    host: 'localhost',
    port,
    path_hash: expect.stringMatching(/^[0-9a-f]{32}$/),
    phase: 'begin',
  })
  expect(of('http').find(({ proto }) => proto === 'http')).toEqual({ ...fetched, span: 'sp_http' })
  expect(of('tcp')).toEqual([
    { kind: 'x.coat.io', span: 'sp_tcp', proto: 'tcp', host: '127.0.0.1', port, phase: 'begin' },
  ])
  expect(of('exec')).toEqual([
    { kind: 'x.coat.io', span: 'sp_exec', proto: 'exec', command: 'echo', phase: 'begin' },
  ])
  expect(JSON.stringify(points)).not.toContain('secret')
})

test('nothing is told outside of spans, nor of sockets in the file system, nor after the end', async () => {
  const { points, hints, inSpan } = setUp()
  const directory = mkdtempSync(join(tmpdir(), 'coat-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const socketPath = join(directory, 's')
  await httpServer(socketPath)
  const port = await httpServer()
  await request({ host: '127.0.0.1', port })
  await inSpan('local', () => request({ socketPath, path: '/' }))
  hints.stop()
  await inSpan('late', () => request({ host: '127.0.0.1', port }))
  expect(points).toEqual([])
})

test('the same again is one hint, two hundred a second are enough, and what is left out is counted', () => {
  let nowMs = 0
  const { points, hints, inSpan } = setUp(() => nowMs)
  const publish = (origin: string) =>
    channel('undici:request:create').publish({ request: { origin, path: '/' } })
  inSpan('one', () => {
    for (let i = 0; i < 5; i += 1) publish('https://api.example.com')
  })
  inSpan('two', () => publish('https://api.example.com'))
  expect(seen(points).map((hint) => hint.span)).toEqual(['sp_one', 'sp_two'])
  expect(hints.counts()).toEqual({ coalesced: 4, limited: 0 })
  inSpan('many', () => {
    for (let i = 0; i < 300; i += 1) publish(`https://host-${i}.example.com`)
  })
  expect(points).toHaveLength(200)
  expect(hints.counts()).toEqual({ coalesced: 4, limited: 102 })
  nowMs = 1000
  inSpan('one', () => publish('https://api.example.com'))
  expect(points).toHaveLength(201)
})

test('whatever a channel hands over, the publisher is not hurt', async () => {
  const { points, inSpan } = setUp()
  const failures: unknown[] = []
  const onFailure = (error: unknown) => failures.push(error)
  process.on('uncaughtException', onFailure)
  inSpan('odd', () => {
    for (const name of [
      'net.client.socket',
      'http.client.request.start',
      'undici:request:create',
      'child_process',
    ])
      for (const message of [
        null,
        5,
        {},
        { request: {} },
        { socket: {} },
        { process: { spawnfile: 5 } },
      ])
        channel(name).publish(message)
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  process.off('uncaughtException', onFailure)
  expect(failures).toEqual([])
  expect(points).toEqual([])
})

test('a socket that is none of the runtime’s gives no hint, and nothing thrown by it reaches the program', async () => {
  const { points, inSpan } = setUp()
  const thrown: unknown[] = []
  const listener = (error: unknown) => void thrown.push(error)
  process.on('uncaughtException', listener)
  const odd = Object.defineProperty({ connecting: true, destroyed: false }, '_host', {
    get: () => {
      throw new Error('no host')
    },
  })
  const bare = { connecting: true, destroyed: false, _handle: Object.create(null) }
  inSpan('a', () => {
    for (const socket of [odd, bare]) channel('net.client.socket').publish({ socket })
    channel('child_process').publish({
      process: Object.defineProperty({}, 'spawnfile', { get: () => Reflect.get(odd, '_host') }),
    })
  })
  await new Promise((resolve) => setTimeout(resolve, 10))
  process.removeListener('uncaughtException', listener)
  expect([points, thrown]).toEqual([[], []])
})
