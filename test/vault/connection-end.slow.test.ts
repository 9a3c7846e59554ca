/** What must not close a connection, and how one ends that must. */
import { expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { RawClient } from '../harness/raw-client.ts'
import { collect, startConnectionWorld } from './connection-world.ts'

test('vault §28.13: seal, revocation and expiry close no connection that ever logged in', async () => {
  await using world = await startConnectionWorld({ session_idle: 1 })
  const { vestry } = world
  const watcher = await vestry.addAgent('watcher')
  const [client, tcp] = [await vestry.agent(world.keys), await world.overTcp()]
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  for (const peer of [client, tcp]) {
    await expect(peer.call('whoami')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
    await peer.login(world.keys)
    expect((await peer.call('whoami')).agent).toBe('scout')
  }
  await vestry.relogin()
  await vestry.admin.call('admin.agent.revoke', { name: 'scout' })
  for (const peer of [client, tcp]) {
    await expect(peer.call('whoami')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
    await expect(peer.login(world.keys)).rejects.toMatchObject({ code: 'AUTH_FAILED' })
    await peer.login(watcher)
  }
  await vestry.seal()
  for (const peer of [client, tcp]) {
    await expect(peer.call('whoami')).rejects.toMatchObject({ code: 'VAULT_LOCKED' })
    await expect(peer.login(watcher)).rejects.toMatchObject({ code: 'VAULT_LOCKED' })
  }
  await vestry.unseal()
  for (const peer of [client, tcp]) {
    await peer.login(watcher)
    expect((await peer.call('whoami')).agent).toBe('watcher')
    expect(peer.ended).toBe(false)
  }
})

test('vault §28.13: sealing answers every call in flight and keeps the connection', async () => {
  await using world = await startConnectionWorld()
  const { vestry } = world
  const client = await vestry.agent(world.keys)
  for (let id = 0; id < 10; id += 1) client.send(world.request(id, `/slow/${200 + id}`))
  await world.underWay(10)
  await vestry.seal()
  const answers = await collect(client, 10)
  expect([...answers.keys()].map(Number).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 10 }, (_, id) => id),
  )
  await expect(client.call('whoami')).rejects.toMatchObject({ code: 'VAULT_LOCKED' })
  expect(client.ended).toBe(false)
})

test('vault §28.13: a shutdown answers every call in flight before the connection ends', async () => {
  const world = await startConnectionWorld()
  const { vestry } = world
  const clients = [await vestry.agent(world.keys), await world.overTcp()]
  const resets: Error[] = []
  for (const client of clients) {
    client.socket.on('error', (error) => resets.push(error))
    for (let id = 0; id < 10; id += 1)
      client.send(world.request(id, id === 9 ? '/never' : '/slow/300'))
  }
  const idle = await vestry.agent(world.keys)
  await world.underWay(20)
  const stopping = world[Symbol.asyncDispose]()
  expect(await idle.next()).toBeUndefined()
  for (const client of clients) client.send({ id: 'late', method: 'whoami' })
  for (const client of clients) {
    const answers = await collect(client, 11)
    for (let id = 0; id < 9; id += 1) expect(answers.get(id)?.result).toMatchObject({ status: 200 })
    expect(answers.get(9)?.error.code).toBe('SHUTTING_DOWN')
    expect(answers.get('late')?.error.code).toBe('SHUTTING_DOWN')
    expect(await client.next()).toBeUndefined()
  }
  await stopping
  expect(resets).toEqual([])
})

test('a followed log neither holds up a stop nor outlives its reader', async () => {
  const vestry = await startTestDaemon()
  const seed = vestry.operatorSeed()
  const follow = async () => {
    const reader = await RawClient.connect({ path: vestry.home.adminSocket })
    await reader.login({ name: 'owner', seed }, 'operator_name')
    reader.send({ id: 900, method: 'admin.audit.tail', params: { n: 1, follow: true } })
    expect((await reader.next())?.result.more).toBe(true)
    return reader
  }
  const left = await follow()
  left.end()
  for (let frame = await left.next(); frame !== undefined; frame = await left.next()) {
    if (frame.error !== undefined) expect(frame.error.code).toBe('CONNECTION_CLOSED')
  }
  const staying = await follow()
  const before = performance.now()
  const stopped = vestry.stop()
  let last: { error?: { code: string } } | undefined
  for (let frame = await staying.next(); frame !== undefined; frame = await staying.next())
    last = frame
  staying.end()
  await stopped
  expect(last?.error?.code).toBe('SHUTTING_DOWN')
  expect(performance.now() - before).toBeLessThan(4_000)
})
