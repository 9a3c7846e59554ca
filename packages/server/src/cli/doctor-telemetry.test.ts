import { mkdtempDisposableSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkTelemetry } from './doctor-telemetry.ts'

const RUNNING = { enabled: true, sockets: [], claims: 0, last_gap: null }

test('telemetry that is off is no trouble', () => {
  expect(checkTelemetry({ enabled: false })).toMatchObject([{ name: 'telemetry', status: 'ok' }])
})

test('sockets that are there, and one that is gone', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const path = join(dir.path, 'queue.sock')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  expect(checkTelemetry({ ...RUNNING, sockets: [path] })).toMatchObject([
    { status: 'ok', message: `listens on ${path}` },
    { name: 'claims', status: 'ok', message: '0 live claims' },
  ])
  await new Promise((resolve) => server.close(resolve))
  expect(checkTelemetry({ ...RUNNING, sockets: [path] })[0]).toMatchObject({
    status: 'warn',
    message: `${path} is gone: nobody can reach it`,
  })
})

test('telemetry §16.30: it is told that nobody can claim', () => {
  const [, claims] = checkTelemetry({ ...RUNNING, claims_unavailable: 'not supported on darwin' })
  expect(claims).toMatchObject({
    status: 'warn',
    message: expect.stringContaining('not supported on darwin'),
  })
})

test('what did not arrive is told, with where to look', () => {
  const gap = { at: '2026-05-02T09:14:07.481Z', producer: 'p_77aa', missing: 3 }
  expect(checkTelemetry({ ...RUNNING, last_gap: gap }).at(-1)).toMatchObject({
    status: 'warn',
    message: '3 events of p_77aa did not arrive (2026-05-02 09:14:07Z)',
    advice: expect.stringContaining('coat_gap'),
  })
})
