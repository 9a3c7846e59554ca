import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { runClient } from './client-process.ts'
import { SECRET, startWorld } from './world.ts'

const node = (script: string, home: string, args: string[] = []) =>
  runClient('node', script, { home, args })

test('vault §28.11: the Node client runs its quick start and every operation of its manual', async () => {
  await using world = await startWorld()
  const script = `
const [url, host, port] = args
const client = new SanctumClient('my-agent')
await client.connect()
tell({ value: await client.retrieve('openai/api_key', 300) })
const list = await client.list()
tell({ list: list.map((c) => c.path + ' [' + c.tags.join(', ') + ']') })
const http = await client.use('web/token', 'http_request', {
  method: 'POST', url: url + '/v1/chat', headers: { 'X-Note': 'a' }, body: '{"q":"café"}', header_type: 'bearer',
})
tell({ http: { status: http.status, type: http.headers['content-type'], body: JSON.parse(http.body) } })
tell({ header: (await client.use('web/token', 'http_header', { header_type: 'bearer' })).header })
tell({ bare: (await client.use('web/token', 'http_header')).header })
tell({ signed: (await client.use('signing/key', 'sign_payload', { payload: 'payload-to-sign' })).signature })
const { ciphertext } = await client.use('encryption/key', 'encrypt', { plaintext: 'sensitive – données' })
tell({ opened: (await client.use('encryption/key', 'decrypt', { ciphertext })).plaintext })
tell({ denied: await caught(client.retrieve('other/secret')) })
tell({ absent: await caught(client.retrieve('openai/größe')) })
const tcp = new SanctumClient('my-agent', { host, port: Number(port) })
await tcp.connect()
tell({ tcp: await tcp.retrieve('openai/api_key') })
tell({ leases: [client.leases.size, tcp.leases.size] })
await client.close()
await tcp.close()
tell({ left: [client.leases.size, tcp.leases.size] })
`
  const { host, port } = world.tcp
  const told = await node(script, world.home(), [world.upstream.url, host, String(port)]).rest()
  expect(Object.assign({}, ...told)).toMatchObject({
    value: SECRET,
    list: expect.arrayContaining(['openai/api_key [llm, prod]', 'web/token []']),
    http: {
      status: 200,
      type: 'application/json',
      body: { path: '/v1/chat', body: '{"q":"café"}' },
    },
    header: 'Authorization: Bearer tok-ascii-0123456789',
    bare: 'Authorization: Bearer tok-ascii-0123456789',
    signed: '7aodK5C6r2OjcWtprX9OTeePz9tVXsKPx5RIPZ14ABM=',
    opened: 'sensitive – données',
    denied: { class: 'AccessDenied', code: 'ACCESS_DENIED', docsUrl: null },
    absent: { class: 'VaultError', code: 'INVALID_PARAMS' },
    tcp: SECRET,
    leases: [1, 1],
    left: [0, 0],
  })
})

test('vault §28.12: 200 calls at once on one connection, slow and fast, each get their own answer', async () => {
  await using world = await startWorld()
  for (let n = 0; n < 20; n += 1) await world.vestry.addCredential(`openai/n${n}`, `secret ${n}`)
  const script = `
const client = await new SanctumClient('my-agent').connect()
const finished = []
const calls = Array.from({ length: 200 }, async (_, n) => {
  const kind = n % 4
  let right
  if (kind === 0) {
    const path = '/slow/' + (100 + (n * 37) % 300) + '/' + n
    right = JSON.parse((await client.use('web/token', 'http_request', { url: args[0] + path })).body).path === path
  } else if (kind === 1) {
    right = (await client.retrieve('openai/n' + (n % 20), 60)) === 'secret ' + (n % 20)
  } else if (kind === 2) {
    right = (await caught(client.retrieve('openai/absent' + n))).context.path === 'openai/absent' + n
  } else {
    const { ciphertext } = await client.use('encryption/key', 'encrypt', { data: 'text ' + n })
    right = (await client.use('encryption/key', 'decrypt', { data: ciphertext })).plaintext === 'text ' + n
  }
  finished.push(n)
  return right
})
const right = await Promise.all(calls)
const overtaken = finished.some((n, at) => finished.slice(at + 1).some((later) => later < n))
tell({ right: right.filter(Boolean).length, pending: client.pending.size, overtaken })
await client.close()
tell({ left: client.leases.size })
`
  const [all, closed] = await node(script, world.home(), [world.upstream.url]).rest()
  expect(all).toEqual({ right: 200, pending: 0, overtaken: true })
  expect(closed).toEqual({ left: 0 })
})

test('vault §28.13: session expiry, seal and revocation are answered; nothing crashes, nothing hangs', async () => {
  await using world = await startWorld({ vault: { session_idle: 1 } })
  const { vestry } = world
  const script = `
const client = await new SanctumClient('my-agent').connect()
await client.retrieve('openai/api_key')
const outcomes = () => Promise.all([
  caught(client.retrieve('openai/api_key')), caught(client.list()), caught(client.use('web/token', 'http_header')),
]).then((errors) => errors.map((error) => error?.class ?? 'fine'))
for (;;) {
  const what = await ask()
  if (what === 'login') tell(await caught(client.authenticate('my-agent')))
  else if (what === 'end') break
  else tell(await outcomes())
}
await client.close()
tell({ left: client.leases.size, pending: client.pending.size })
`
  const client = node(script, world.home())
  const outcome = async (what = 'call') => {
    client.say(what)
    return client.hear()
  }
  expect(await outcome()).toEqual(['fine', 'fine', 'fine'])
  await sleep(1_500)
  expect(await outcome()).toEqual(['SessionExpired', 'SessionExpired', 'SessionExpired'])
  expect(await outcome('login')).toBeNull()
  expect(await outcome()).toEqual(['fine', 'fine', 'fine'])
  await vestry.seal()
  expect(await outcome()).toEqual(['VaultLocked', 'VaultLocked', 'VaultLocked'])
  expect(await outcome('login')).toMatchObject({ class: 'VaultLocked' })
  await vestry.unseal()
  expect(await outcome('login')).toBeNull()
  await vestry.admin.call('admin.agent.revoke', { name: 'my-agent' })
  expect(await outcome()).toEqual(['SessionExpired', 'SessionExpired', 'SessionExpired'])
  expect(await outcome('login')).toMatchObject({ class: 'AuthError', code: 'AUTH_FAILED' })
  client.say('end')
  expect(await client.rest()).toEqual([{ left: 0, pending: 0 }])
})

test('vault §28.13: a shutdown answers every call in flight first, and the calls that come during it', async () => {
  const world = await startWorld()
  const script = `
const client = await new SanctumClient('my-agent').connect()
const slow = Array.from({ length: 8 }, (_, n) =>
  client.use('web/token', 'http_request', { url: args[0] + '/slow/2000/' + n }).then(({ status }) => status))
tell({ sent: slow.length })
await ask()
tell({ late: await caught(client.list()), value: await caught(client.retrieve('openai/api_key')) })
tell({ slow: await Promise.all(slow), pending: client.pending.size })
await new Promise((resolve) => client.socket.once('close', resolve))
tell({ closed: true })
`
  const client = node(script, world.home(), [world.upstream.url])
  await client.hear()
  await expect.poll(() => world.upstream.requests.length, { timeout: 10_000 }).toBe(8)
  const stopped = world.vestry.stop()
  await sleep(200)
  client.say()
  expect(await client.hear()).toMatchObject({
    late: { class: 'VaultError', code: 'SHUTTING_DOWN' },
    value: { class: 'VaultError', code: 'SHUTTING_DOWN' },
  })
  expect(await client.hear()).toEqual({ slow: Array(8).fill(200), pending: 0 })
  expect(await client.rest()).toEqual([{ closed: true }])
  await stopped
  await world.upstream[Symbol.asyncDispose]()
})

test('vault §28.13: a shutdown sends an idle client off without a reset', async () => {
  const world = await startWorld()
  const script = `
const clients = await Promise.all([
  new SanctumClient('my-agent').connect(),
  new SanctumClient('my-agent', { host: args[0], port: Number(args[1]) }).connect(),
])
const closed = clients.map(({ socket }) => new Promise((resolve) => socket.once('close', resolve)))
tell({ ready: true })
tell({ hadError: await Promise.all(closed) })
`
  const { host, port } = world.tcp
  const client = node(script, world.home(), [host, String(port)])
  await client.hear()
  await world[Symbol.asyncDispose]()
  expect(await client.rest()).toEqual([{ hadError: [false, false] }])
})
