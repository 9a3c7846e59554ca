import { join } from 'node:path'
import { InPodClient } from '@vestry/sdk/pod'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliHome } from './cli.test-kit.ts'

const cli = new CliHome()

beforeAll(async () => {
  await cli.up(['--dev'])
  expect((await cli.json(['agent', 'add', 'scout'])).exitCode).toBe(0)
})
afterAll(() => cli[Symbol.asyncDispose]())

test('terms are shown, changed one by one, and taken back', async () => {
  const terms = async (...options: string[]) =>
    (await cli.json(['agent', 'claims', 'scout', ...options])).json
  const standard = {
    name: 'scout',
    capabilities: [],
    max_ttl_secs: 3600,
    max_claims: 1,
    scope_allowed: 'process',
    claim_policy: { require_token: false },
  }
  expect(await terms()).toEqual(standard)
  const hash = 'AB'.repeat(32)
  const changed = await terms(
    ...['--capability', 'read', '--capability', 'commit', '--max-ttl', '8h', '--max-claims', '3'],
    ...['--scope', 'tree', '--uid', '1000', '--uid', '1001', '--exe-sha256', hash],
    '--require-token',
  )
  expect(changed).toEqual({
    name: 'scout',
    capabilities: ['read', 'commit'],
    max_ttl_secs: 28_800,
    max_claims: 3,
    scope_allowed: 'tree',
    claim_policy: { uids: [1000, 1001], exe_sha256: [hash.toLowerCase()], require_token: true },
  })
  expect(await terms('--max-claims', '2')).toEqual({ ...changed, max_claims: 2 })
  const text = (await cli.vestry(['agent', 'claims', 'scout'])).out
  expect(text).toMatch(/^capabilities +read, commit$/m)
  expect(text).toMatch(/^token +required$/m)
  const back = ['--no-capability', '--no-uid', '--no-exe-sha256', '--no-require-token']
  expect(
    await terms(...back, '--max-ttl', '1h', '--max-claims', '1', '--scope', 'process'),
  ).toEqual(standard)
})

test('terms that make no sense are refused with what is wrong', async () => {
  const code = async (...options: string[]) => {
    const { json, exitCode } = await cli.json(['agent', 'claims', 'scout', ...options])
    return [exitCode, json.error.code]
  }
  expect(await code('--capability', 'two words')).toEqual([2, 'INVALID_PARAMS'])
  expect(await code('--exe-sha256', 'abc')).toEqual([2, 'USAGE'])
  expect(await code('--max-claims', '-1')).toEqual([2, 'USAGE'])
  expect(await code('--scope', 'host')).toEqual([2, 'USAGE'])
  const nobody = await cli.json(['agent', 'claims', 'nobody'])
  expect(nobody.json.error.code).toBe('NOT_FOUND')
})

test('claims are listed and ended; a token is shown once', async () => {
  await cli.vestry(['agent', 'claims', 'scout', '--capability', 'read'])
  const pod = new InPodClient({ socketPath: join(cli.home, 'run', 'identity.sock') })
  const { claim_id: id } = await pod.claim('scout')
  const listed = await cli.vestry(['claim', 'list'])
  expect(listed.out).toMatch(
    new RegExp(`^${id} +scout +${process.pid} +\\d+ +process +read .* this$`, 'm'),
  )
  expect((await cli.vestry(['claim', 'list', '--agent', 'scout'])).out).toContain(id)
  expect((await cli.vestry(['claim', 'revoke', id])).out).toBe('revoked 1 claim\n')
  expect(await pod.whoami()).toMatchObject({ claim_kind: 'anonymous' })
  expect((await cli.json(['claim', 'revoke', id])).json.error.code).toBe('NOT_FOUND')
  expect((await cli.json(['claim', 'revoke'])).exitCode).toBe(2)
  await pod.claim('scout')
  expect((await cli.json(['claim', 'revoke', '--agent', 'scout'])).json).toEqual({ revoked: 1 })
  expect((await cli.vestry(['claim', 'list'])).out).toBe('no live claims\n')

  await cli.vestry(['agent', 'claims', 'scout', '--require-token'])
  await expect(pod.claim('scout')).rejects.toMatchObject({ code: 'token_required' })
  expect((await cli.vestry(['token', 'pod', '--agent', 'scout'])).exitCode).toBe(2)
  const { json } = await cli.json(['token', 'pod', '--agent', 'scout'])
  expect(Date.parse(json.expires_at) - Date.now()).toBeGreaterThan(86_000_000)
  expect(await pod.claim('scout', { token: json.token })).toMatchObject({ agent_id: 'scout' })
  expect(await pod.agents()).toEqual([{ name: 'scout', role: 'agent', capabilities: ['read'] }])
  await pod.close()
})
