import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { boot, operator, temporaryHome } from '../harness/boot.ts'

test('health, readiness and metrics are open on loopback', async () => {
  using home = temporaryHome()
  await using daemon = await boot(home)
  const { http } = daemon.ready
  const health = await fetch(`${http}/health`)
  expect(health.status).toBe(200)
  expect(await health.json()).toMatchObject({ ok: true, status: 'healthy', sealed: false })
  const ready = await fetch(`${http}/ready`)
  expect(await ready.json()).toMatchObject({
    ready: true,
    sealed: false,
    audit_available: true,
    draining: false,
    checks: { database: true },
  })
  const metrics = await fetch(`${http}/metrics`)
  expect(metrics.headers.get('content-type')).toContain('text/plain')
  expect(await metrics.text()).toMatch(/^vestry_sealed 0$/m)
})

test.for([
  ['GET', '/nothing'],
  ['POST', '/health'],
  ['DELETE', '/v2/x?key=sk-secret'],
  ['GET', '/health/'],
])('%s %s answers 404 with a string `error`, and echoes nothing', async ([method, path]) => {
  using home = temporaryHome()
  await using daemon = await boot(home)
  const answer = await fetch(`${daemon.ready.http}${path}`, { method: method as string })
  expect(answer.status).toBe(404)
  const id = answer.headers.get('x-correlation-id')
  expect(id).toMatch(/^req_/)
  const body = { error: 'Not found', code: 'NOT_FOUND', correlation_id: id }
  expect(await answer.json()).toEqual(body)
})

test('what is no HTTP, or too much of it, is refused and harms nobody else', async () => {
  using home = temporaryHome()
  await using daemon = await boot(home)
  const { port, hostname } = new URL(daemon.ready.http)
  const send = (text: string) =>
    new Promise<string>((resolve) => {
      const socket = connect({ port: Number(port), host: hostname }, () => socket.write(text))
      let answer = ''
      socket.on('data', (chunk) => {
        answer += chunk
      })
      socket.on('error', () => resolve(answer))
      socket.on('close', () => resolve(answer))
    })
  expect(await send('nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400/)
  const long = `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`
  expect(await send(long)).toMatch(/^HTTP\/1\.1 431/)
  expect((await fetch(`${daemon.ready.http}/%ff`)).status).toBe(400)
  expect((await fetch(`${daemon.ready.http}/health`)).status).toBe(200)
})

test('beyond loopback metrics need a key; health does not', async () => {
  using home = temporaryHome()
  const warnings: string[] = []
  await using daemon = await boot(home, {
    passphrase: 'of the vault behind HTTP',
    config: { http: { host: '0.0.0.0' } },
    warn: (line) => warnings.push(line),
  })
  expect(warnings.join()).toContain('TLS')
  const { http } = daemon.ready
  expect(http).toMatch(/^http:\/\/127\.0\.0\.1:/)
  const status = async (authorization?: string) =>
    (await fetch(`${http}/metrics`, { headers: authorization ? { authorization } : {} })).status
  expect((await fetch(`${http}/health`)).status).toBe(200)
  expect(await status()).toBe(401)
  expect(await status('Bearer wrong')).toBe(401)
  const key = readFileSync(home.adminKey, 'utf8').trim()
  expect(await status(`Bearer ${key}`)).toBe(200)
  const admin = await operator(home)
  const { keys } = await admin.call('admin.key.list')
  await admin.call('admin.key.revoke', { id: keys[0].id })
  expect(await status(`Bearer ${key}`)).toBe(401)
  const refused = await fetch(`${http}/metrics`)
  expect(await refused.json()).toMatchObject({ error: expect.any(String), code: 'AUTH_FAILED' })
  admin.destroy()
})

test('--dev does not listen beyond loopback', async () => {
  using home = temporaryHome()
  await expect(boot(home, { config: { http: { host: '0.0.0.0' } } })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    hint: expect.stringContaining('loopback'),
  })
})
