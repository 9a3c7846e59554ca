import { once } from 'node:events'
import { cpSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import postgres from 'postgres'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'
import {
  type BootOptions,
  boot,
  operator,
  putCredential,
  putRules,
  temporaryHome,
} from '../harness/boot.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient, type RpcFailure } from '../harness/raw-client.ts'

const PASSPHRASE = 'one passphrase for both nodes'
const without = 'skip' in postgresOffer ? ` (skipped: ${postgresOffer.skip})` : ''

function rule(name: string, agent: string, resources: string[], more: object = {}) {
  return { name, principals: [`agent:${agent}`], resources, actions: ['list', 'retrieve'], ...more }
}

/** A second home for the same database: nodes share the vault, each has its own log and sockets. */
function secondHome(first: Home): Home & Disposable {
  const home = temporaryHome()
  mkdirSync(home.keys, { mode: 0o700 })
  cpSync(first.operatorKey, home.operatorKey)
  cpSync(first.adminKey, home.adminKey)
  return home
}

function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'OK',
    (error: RpcFailure) => error.code,
  )
}

describe.skipIf('skip' in postgresOffer)(`the whole daemon on PostgreSQL${without}`, () => {
  let url: string
  beforeAll(async () => {
    url = (await postgresUrl()) as string // the suite is skipped where there is none
  })
  const options = (): BootOptions => ({ passphrase: PASSPHRASE, storeUrl: url })

  test('an agent retrieves and uses; a restart loses nothing', async () => {
    using home = temporaryHome()
    url = (await postgresUrl()) as string
    const target = createServer((request, response) =>
      response.end(JSON.stringify({ got: request.headers.authorization })),
    ).listen(0, '127.0.0.1')
    await once(target, 'listening')
    const host = `127.0.0.1:${(target.address() as AddressInfo).port}`
    const scout = newAgentKeys('scout')
    {
      await using _daemon = await boot(home, {
        ...options(),
        config: { egress: { allow_cidrs: ['127.0.0.1/32'] } },
      })
      const admin = await operator(home)
      await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
      await putCredential(admin, 'a/b', 'pg-secret', { settings: { allowed_hosts: [host] } })
      await putRules(
        admin,
        rule('all', 'scout', ['**'], {
          actions: ['list', 'retrieve', 'use'],
          hosts: [host],
          allow_http: true,
        }),
      )
      const client = await RawClient.connect({ path: home.vaultSocket })
      await client.login(scout)
      const { value, lease_id } = await client.call('retrieve', { path: 'a/b' })
      expect(Buffer.from(value, 'hex').toString()).toBe('pg-secret')
      const reply = await client.call('use', {
        path: 'a/b',
        operation: 'http_request',
        params: { method: 'GET', url: `http://${host}/x` },
      })
      expect(reply).toMatchObject({ status: 200 })
      expect(JSON.stringify(reply)).not.toContain('pg-secret')
      expect(await client.call('release_lease', { lease_id })).toMatchObject({ status: 'released' })
      expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
      client.destroy()
      admin.destroy()
    }
    await using _daemon = await boot(home, options())
    const client = await RawClient.connect({ path: home.vaultSocket })
    await client.login(scout)
    const { value } = await client.call('retrieve', { path: 'a/b' })
    expect(Buffer.from(value, 'hex').toString()).toBe('pg-secret')
    client.destroy()
    target.close()
  })

  test('vault §28.38: a row deleted from the database, and an older one put back, are refused', async () => {
    using home = temporaryHome()
    url = (await postgresUrl()) as string
    {
      await using _daemon = await boot(home, options())
      const admin = await operator(home)
      await putCredential(admin, 'a/b', 'first')
      await putRules(admin, rule('all', 'scout', ['**']))
      await putRules(admin, rule('deny', 'scout', ['a/b'], { effect: 'deny' }))
      admin.destroy()
    }
    const sql = postgres(url, { max: 1, onnotice: () => undefined })
    try {
      const [row] = await sql`select * from policy where id = 'vault:deny'`
      await sql`delete from policy where id = 'vault:deny'`
      await expect(boot(home, options())).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
      await sql`insert into policy ${sql(row as Record<string, unknown>)}`
      await (await boot(home, options())).stop()
    } finally {
      await sql.end()
    }
  })

  test('what one node changes holds on the other at the next request', async () => {
    using one = temporaryHome()
    url = (await postgresUrl()) as string
    await using _first = await boot(one, options())
    using two = secondHome(one)
    await using _second = await boot(two, options())
    const admin = await operator(one)
    const elsewhere = await operator(two)
    const scout = newAgentKeys('scout')
    await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
    await putCredential(admin, 'a/b', 'first value')
    await putRules(admin, rule('all', 'scout', ['**']))

    const client = await RawClient.connect({ path: two.vaultSocket })
    await expect.poll(() => codeOf(client.login(scout)), { timeout: 1_000 }).toBe('OK')
    const value = async () =>
      Buffer.from((await client.call('retrieve', { path: 'a/b' })).value, 'hex').toString()
    await expect.poll(() => codeOf(value()), { timeout: 1_000 }).toBe('OK')
    expect(await value()).toBe('first value')

    // A new value.
    await putCredential(admin, 'a/b', 'second value')
    await expect.poll(value, { timeout: 1_000, interval: 10 }).toBe('second value')
    // A denial, and its end.
    await putRules(admin, rule('not-this', 'scout', ['a/b'], { effect: 'deny' }))
    await expect.poll(() => codeOf(value()), { timeout: 1_000, interval: 10 }).toBe('ACCESS_DENIED')
    await admin.call('admin.policy.rm', { names: ['not-this'] })
    await expect.poll(() => codeOf(value()), { timeout: 1_000, interval: 10 }).toBe('OK')
    // A new term, under which the other node reads and writes at once.
    await admin.call('admin.rotate_term')
    await putCredential(admin, 'a/c', 'under the new term')
    await expect
      .poll(() => codeOf(client.call('retrieve', { path: 'a/c' })), { timeout: 1_000 })
      .toBe('OK')
    await putCredential(elsewhere, 'a/d', 'from the other node')
    const { value: hex } = await client.call('retrieve', { path: 'a/d' })
    expect(Buffer.from(hex, 'hex').toString()).toBe('from the other node')
    // The agent itself.
    await admin.call('admin.agent.revoke', { name: 'scout' })
    await expect
      .poll(() => codeOf(client.call('whoami')), { timeout: 1_000, interval: 10 })
      .toBe('SESSION_EXPIRED')
    expect(await elsewhere.call('admin.lease.list')).toMatchObject({ total: 0 })
    // And an operator.
    const ada = newAgentKeys('ada')
    await admin.call('admin.operator.add', {
      name: 'ada',
      role: 'admin',
      public_key: ada.publicKeyHex,
    })
    const adaThere = await RawClient.connect({ path: two.adminSocket })
    await expect
      .poll(() => codeOf(adaThere.login(ada, 'operator_name')), { timeout: 2_000 })
      .toBe('OK')
    await admin.call('admin.operator.revoke', { name: 'ada' })
    await expect
      .poll(() => codeOf(adaThere.call('admin.slot.list')), { timeout: 1_000, interval: 10 })
      .toBe('SESSION_EXPIRED')
    for (const open of [client, admin, elsewhere, adaThere]) open.destroy()
  })

  test('both nodes change at once, restart in any order, and neither takes the other for an attacker', async () => {
    using one = temporaryHome()
    url = (await postgresUrl()) as string
    const first = await boot(one, options())
    using two = secondHome(one)
    let second = await boot(two, options())
    const admins = [await operator(one), await operator(two)] as const
    await Promise.all(
      admins.map(async (admin, node) => {
        for (let n = 0; n < 15; n += 1)
          await putCredential(admin, `n${node}/${n % 3}`, `value ${n}`)
      }),
    )
    // A lease that the first node's crash would leave behind is not the second one's to end.
    const scout = newAgentKeys('scout')
    await admins[0].call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
    await putRules(admins[0], rule('leases', 'scout', ['**']))
    const client = await RawClient.connect({ path: one.vaultSocket })
    await client.login(scout)
    await client.call('retrieve', { path: 'n0/0' })
    const sql = postgres(url, { max: 1, onnotice: () => undefined })
    const live = async () => (await sql`select state from lease where state = 'live'`).length
    await expect.poll(live, { timeout: 5_000 }).toBe(1)
    for (const admin of admins) admin.destroy()
    await second.stop()
    second = await boot(two, options())
    expect(await live()).toBe(1)
    client.destroy()
    await first.stop()
    expect(await live()).toBe(0)
    await sql.end()
    {
      const admin = await operator(two)
      await putRules(admin, rule('later', 'scout', ['**']))
      admin.destroy()
    }
    const again = await boot(one, options())
    await second.stop()
    const secondAgain = await boot(two, options())
    const admin = await operator(two)
    expect((await admin.call('admin.cred.list')).credentials).toHaveLength(6)
    const { policies } = (await admin.call('admin.policy.list')) as {
      policies: { id: string; format: string }[]
    }
    expect(policies.filter(({ format }) => format === 'vault').map(({ id }) => id)).toEqual([
      'vault:leases',
      'vault:later',
    ])
    admin.destroy()
    await secondAgain.stop()
    await again.stop()
  })

  test('a database that goes away is STORE_UNAVAILABLE, and service comes back with it', async () => {
    using home = temporaryHome()
    url = (await postgresUrl()) as string
    await using _daemon = await boot(home, options())
    const admin = await operator(home)
    await putCredential(admin, 'a/b', 'before')
    const name = new URL(url).pathname.slice(1)
    const outside = new URL(url)
    outside.pathname = '/postgres'
    const sql = postgres(outside.href, { max: 1, onnotice: () => undefined })
    try {
      await sql.unsafe(`alter database "${name}" with allow_connections false`)
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`
      const put = () => codeOf(putCredential(admin, 'a/b', 'after'))
      expect(await put()).toBe('STORE_UNAVAILABLE')
      await sql.unsafe(`alter database "${name}" with allow_connections true`)
      await expect.poll(put, { timeout: 15_000 }).toBe('OK')
    } finally {
      await sql.end()
    }
    expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
    admin.destroy()
  })
})
