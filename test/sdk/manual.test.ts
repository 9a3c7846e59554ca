import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as door from '@vestry/sdk/vault'
import { RpcConnection, SanctumClient, VaultError } from '@vestry/sdk/vault'
import { expect, test } from 'vitest'
import { startWorld } from '../old-clients/world.ts'

const manual = readFileSync(
  fileURLToPath(new URL('../../docs/api/vault.md', import.meta.url)),
  'utf8',
)

/** The members that the manual's table of results lists for a type. */
function documented(type: string): string[] {
  const row = new RegExp(`^\\| \`${type}\` \\| (.+) \\|$`, 'm').exec(manual)?.[1]
  if (row === undefined) throw new Error(`the manual has no row for ${type}`)
  // What stands in brackets describes a member.
  return [...row.replace(/\([^)]*\)/g, '').matchAll(/`([a-z_]+)`/g)].map(([, name]) => name ?? '')
}

test('the manual lists the members that a real daemon answers with, no more and no fewer', async () => {
  await using world = await startWorld()
  const { vaultSocket: socketPath } = world.vestry.home
  const { seed } = world.agent
  await using client = new SanctumClient('my-agent', { socketPath, seed })
  await client.connect()
  const raw = await client.retrieveRaw('web/token', 60)
  const { ciphertext, ...encrypted } = await client.encrypt('encryption/key', 'text')
  const connection = await RpcConnection.open(socketPath)
  const results: Record<string, object> = {
    RetrieveResult: raw,
    LeaseInfo: await client.renewLease(raw.lease_id, 90),
    LeaseStatus: (await client.leaseStatus(raw.lease_id))[0] ?? {},
    CredentialEntry: (await client.list({ prefix: 'web/' }))[0] ?? {},
    HttpResult: await client.httpRequest('web/token', { url: world.upstream.url }),
    HttpHeaderResult: await client.httpHeader('web/token'),
    SignResult: await client.sign('signing/key', 'text'),
    EncryptResult: { ciphertext, ...encrypted },
    DecryptResult: await client.decrypt('encryption/key', ciphertext),
    AccessCheck: await client.checkAccess('web/token', 'retrieve'),
    WhoAmI: await client.whoami(),
    Status: await client.status(),
    SessionInfo: await connection.authenticate('my-agent', seed),
  }
  await connection.close()
  for (const [type, result] of Object.entries(results)) {
    expect.soft(Object.keys(result).sort(), type).toEqual(documented(type).sort())
  }
})

test('every name that the door exports is in the manual', () => {
  for (const name of Object.keys(door)) expect(manual).toContain(name)
})

test('what the manual says is refused before anything is opened, is', async () => {
  await using world = await startWorld()
  const { vaultSocket: socketPath } = world.vestry.home
  const { seed } = world.agent
  for (const options of [
    { connectTimeoutMs: 0 },
    { requestTimeoutMs: -1 },
    { rateLimitRetries: 0.5 },
    { reconnect: { retries: 0, minMs: 1, maxMs: 1 } },
    { keyPath: '/x', seed },
  ]) {
    expect(() => new SanctumClient('my-agent', { socketPath, ...options })).toThrow(VaultError)
  }
  expect(() => new SanctumClient('my-agent', { socketpath: 'x' } as object)).toThrow(
    expect.objectContaining({ suggestion: 'Did you mean socketPath?' }),
  )
  const client = new SanctumClient('my-agent', { socketPath, seed })
  await expect(client.list()).rejects.toMatchObject({
    code: 'CONNECTION_CLOSED',
    context: { maybe_executed: false },
  })
  await client.close()
})
