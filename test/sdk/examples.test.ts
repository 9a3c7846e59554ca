import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encryptKey, RpcConnection } from '@vestry/sdk/vault'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { retrieveOrExplain } from '../../examples/vault/errors.ts'
import { careful, withPassphrase, withSigner } from '../../examples/vault/identity.ts'
import { header, operations } from '../../examples/vault/operations.ts'
import { targetOf } from '../../examples/vault/target.ts'
import { follow, sealKey } from '../../examples/vault/wire.ts'
import { signHex } from '../harness/keys.ts'
import { keyFile } from '../old-clients/client-process.ts'
import { SECRET, startWorld, type World } from '../old-clients/world.ts'

const folder = fileURLToPath(new URL('../../examples/vault', import.meta.url))

let world: World

beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** The variables that examples read, for an agent whose home is `home`. */
function environment(home: string): Record<string, string> {
  return {
    HOME: home,
    SANCTUM_AGENT: 'my-agent',
    SANCTUM_SOCKET: world.vestry.home.vaultSocket,
    SANCTUM_KEY: keyFile(home, 'my-agent'),
    SANCTUM_HOST: world.tcp.host,
    SANCTUM_PORT: String(world.tcp.port),
    SANCTUM_CREDENTIAL: 'web/token',
  }
}

/** Runs one example as its first line says: `node examples/vault/….ts`. */
async function runExample(
  name: string,
  env: Record<string, string>,
  args: readonly string[] = [],
): Promise<string> {
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--no-warnings', join(folder, name), ...args],
    {
      env: {
        PATH: process.env['PATH'] ?? '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    err += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${err}`)
  return out
}

/** What each example prints; a file without a row here fails below. */
const PRINTED: Record<string, readonly (string | RegExp)[]> = {
  'quick-start.ts': ['length: 20', "'web/token'", 'Authorization', '[secret]'],
  'connections.ts': ['custom socket: unix', 'tcp: tcp'],
  'operations.ts': ['valid: true', "plaintext: 'sensitive data'", 'allowed: true', 'status: 200'],
  'leases.ts': ['granted: 60', 'renewed: 120', 'held: 1', 'tracked: 1'],
  'errors.ts': [
    'web/token has 20 characters',
    /No access: .*no\/such\/credential.* → /,
    '[INVALID_PARAMS]',
  ],
  'batch.ts': ['1 found, 1 failed', "'no/such/credential' => 'ACCESS_DENIED'"],
  'identity.ts': ["agent: 'my-agent'", "transport: 'unix'"],
  'wire.ts': ['sealed: false', "me: 'my-agent'"],
}

test('every example runs as a program against a real daemon, and prints no secret', async () => {
  const home = world.home()
  const env = environment(home)
  const programs = readdirSync(folder).filter((name) => name !== 'target.ts')
  expect(programs.sort()).toEqual(Object.keys(PRINTED).sort())
  for (const name of programs) {
    const out = await runExample(name, env, name === 'operations.ts' ? [world.upstream.url] : [])
    for (const part of PRINTED[name] ?? []) {
      expect(out).toMatch(part instanceof RegExp ? part : literal(part))
    }
    expect(out, name).not.toContain('tok-ascii-0123456789')
  }
})

test('the quick start and the default connection need no variable at all', async () => {
  const home = world.home()
  const env = { HOME: home }
  expect(await runExample('connections.ts', env)).toContain('default: unix')
  expect(await runExample('quick-start.ts', env)).toContain(`length: ${SECRET.length}`)
})

test('the operations example reaches the service with the secret in place', async () => {
  const target = targetOf(environment(world.home()))
  expect(await operations(target, world.upstream.url)).toMatchObject({ status: 200, valid: true })
  expect(world.upstream.requests.at(-1)).toMatchObject({
    method: 'POST',
    body: '{"prompt":"hello"}',
    headers: {
      authorization: 'Bearer tok-ascii-0123456789',
      'content-type': 'application/json',
    },
  })
  expect((await header(target)).get('x-token')).toBe('Token tok-ascii-0123456789')
})

test('the error example tells real refusals apart', async () => {
  const home = world.home()
  const target = targetOf(environment(home))
  expect(await retrieveOrExplain(target, 'openai/absent')).toMatch(/^Path not found/)
  expect(await retrieveOrExplain(target, 'other/secret')).toMatch(/^No access: .+ → .+/)
  expect(await retrieveOrExplain({ ...target, agent: 'nobody' }, 'x')).toMatch(/^Authentication/)
  expect(await retrieveOrExplain({ ...target, socketPath: '/no/vault' }, 'x')).toMatch(
    /^\[DAEMON_UNREACHABLE\]/,
  )
  await world.vestry.seal()
  expect(await retrieveOrExplain(target, 'web/token')).toMatch(/sealed/)
  await world.vestry.unseal()
  expect(await retrieveOrExplain(target, 'web/token')).toBe('web/token has 20 characters')
})

test('the identity examples log in: encrypted file, key held elsewhere, pinned daemon', async () => {
  const home = world.home()
  const target = targetOf(environment(home))
  const { seed } = world.agent
  writeFileSync(`${target.keyPath}.enc`, await sealKey(seed, 'open sesame, please'), {
    mode: 0o600,
  })
  const clients = [
    withPassphrase(target, async () => 'open sesame, please'),
    withSigner(target, async (message) => Buffer.from(signHex(seed, message), 'hex')),
    careful(target),
  ]
  for (const client of clients) {
    await client.connect()
    expect(await client.whoami()).toMatchObject({ agent: 'my-agent' })
    await client.close()
  }
  expect(await encryptKey(seed, 'x')).toMatch(/^[0-9a-f]{176}$/)
})

test('the wire example follows the log of the daemon until it is told to stop', async () => {
  const operator = await RpcConnection.open(world.vestry.home.adminSocket)
  const seed = Buffer.from(world.vestry.operatorSeed())
  const { session_id, challenge } = await operator.call('authenticate', { operator_name: 'owner' })
  await operator.call('challenge_response', {
    session_id,
    signature: signHex(seed, Buffer.from(String(challenge), 'hex')),
  })
  const stop = new AbortController()
  const seen: unknown[] = []
  const followed = follow(operator, (record) => seen.push(record), stop.signal)
  await world.vestry.addCredential('openai/followed', 'a value')
  await expect.poll(() => JSON.stringify(seen), { timeout: 10_000 }).toContain('openai/followed')
  stop.abort(new Error('seen enough'))
  await expect(followed).rejects.toThrow('seen enough')
  await operator.close()
})

const literal = (text: string): RegExp => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
