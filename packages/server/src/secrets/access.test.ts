import { VestryError } from '@vestry/contract/errors'
import { beforeEach, describe, expect, test } from 'vitest'
import type { AuditEntry } from '../audit/record.ts'
import type { Stations } from '../call/perform.ts'
import type { Agent } from '../identity/agent.ts'
import { newCaller } from '../identity/caller.ts'
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import type { PolicyRequest } from '../policy/engine.ts'
import { eachStore } from '../store/test-store.ts'
import { CredentialSettings } from '../vault/credential.ts'
import { CredentialStore } from '../vault/credential-store.ts'
import { performOnSecrets } from './access.ts'
import { BackendSetting } from './backend-setting.ts'
import { secretResolver } from './secret-resolver.ts'
import { Secrets } from './secrets.ts'
import { putText } from './testing/conformance.test-kit.ts'
import { VestryBackend } from './vestry/vestry-backend.ts'

const SCOUT = { id: 'u-1', name: 'scout', role: 'researcher', meta: {} } as unknown as Agent
const caller = newCaller({
  principal: { kind: 'agent', agent: SCOUT },
  peer: { transport: 'http' },
  txn: 'txn_1',
})

let written: { entry: AuditEntry; durability: string }[]
let asked: PolicyRequest[]
let forbids: string[]
let isWritable: boolean
let stations: Stations
beforeEach(() => {
  written = []
  asked = []
  forbids = []
  isWritable = true
  // Of the stations an agent's own key passes two: what policies forbid, and the record.
  stations = {
    policy: {
      decide: (request: PolicyRequest) => {
        asked.push(request)
        return {
          id: 'dec_1',
          forbids,
          permits: [],
          errors: [],
          reason: 'not at night',
          policySet: 'p',
        }
      },
    },
    audit: {
      append: async (entry: AuditEntry, durability: string) => {
        if (!isWritable && durability === 'synced') throw new VestryError('AUDIT_UNAVAILABLE')
        written.push({ entry, durability })
        return written.length
      },
    },
    now: () => 1_900_000_000_000,
  } as unknown as Stations
})

describe('runtime §20.16: an agent with a key of its own', () => {
  const call = (effect: () => Promise<string>, agent = 'scout') =>
    performOnSecrets(stations, {
      caller,
      requestId: 'r-1',
      operation: 'store',
      agent,
      name: 'smtp',
      effect,
    })

  test('is recorded before and after, with names and no value', async () => {
    expect(await call(async () => 'v-9911')).toBe('v-9911')
    expect(asked[0]).toMatchObject({
      action: 'vault:store',
      principal: { name: 'scout' },
      resource: { kind: 'credential', path: 'secrets/scout/smtp' },
    })
    expect(
      written.map(({ entry, durability }) => [entry.phase, entry.success, durability]),
    ).toEqual([
      ['intent', true, 'synced'],
      ['outcome', true, 'written'],
    ])
    expect(written[0]?.entry).toMatchObject({
      action: 'secret.store',
      actor: 'agent:scout',
      source: 'runtime',
      request_id: 'r-1',
      data: { agent_id: 'scout', operation: 'store', secret_key: 'smtp' },
      decision: { allow: true },
    })
    expect(JSON.stringify(written)).not.toContain('9911')
  })

  test('is refused what a policy forbids, and nothing of it is done', async () => {
    forbids = ['no-store']
    await expect(call(async () => expect.unreachable())).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
    })
    expect(written.map(({ entry }) => [entry.action, entry.phase, entry.success])).toEqual([
      ['policy.deny', 'single', false],
    ])
    expect(written[0]?.entry.decision).toMatchObject({ allow: false, policies: ['no-store'] })
  })

  test('can do nothing while nothing can be recorded', async () => {
    isWritable = false
    await expect(call(async () => expect.unreachable())).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
    })
  })

  test('is asked about under the name the secret has, whatever the vault makes of it', async () => {
    const options = { caller, requestId: 'r-1', operation: 'store', agent: 'scout' } as const
    for (const name of ['prod/-key', '.env', 'a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p'])
      await performOnSecrets(stations, { ...options, name, effect: async () => 'x' })
    expect(asked.map(({ resource }) => 'path' in resource && resource.path)).toEqual([
      'secrets/scout/prod/-key',
      'secrets/scout/.env',
      'secrets/scout/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p',
    ])
  })

  test('does not hear where the back end is or why it refused; the code and when to come again it does', async () => {
    const refused = call(async () => {
      throw new VestryError('BACKEND_UNAVAILABLE', 'Host "vault.corp.internal" refused', {
        hint: 'see vault.corp.internal',
        context: { retry_after_ms: 7_000, host: 'vault.corp.internal' },
      })
    })
    const error = (await refused.catch((reason: unknown) => reason)) as VestryError
    expect(error).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      context: { retry_after_ms: 7_000 },
    })
    expect(JSON.stringify([error.message, error.hint, error.context])).not.toContain('corp')
    expect(written.at(-1)?.entry.outcome).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  test('that asks for what another has is told what was said to tell it, and leaves a record', async () => {
    const options = { caller, requestId: 'r-1', operation: 'read', agent: 'owl' } as const
    const absent = new VestryError('SECRET_NOT_FOUND')
    const effect = async () => expect.unreachable()
    const asking = performOnSecrets(stations, { ...options, name: 'token', absent, effect })
    await expect(asking).rejects.toBe(absent)
    expect(written.map(({ entry }) => entry)).toMatchObject([
      {
        action: 'secret.read',
        phase: 'single',
        success: false,
        actor: 'agent:scout',
        outcome: { code: 'SECRET_NOT_FOUND' },
        data: { agent_id: 'owl', secret_key: 'token' },
      },
    ])
    expect(asked).toEqual([])
  })

  test('has a failure in its record, and nothing of anybody else', async () => {
    const failing = call(async () => Promise.reject(new VestryError('BACKEND_TIMEOUT')))
    await expect(failing).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT' })
    expect(written.at(-1)?.entry).toMatchObject({
      phase: 'outcome',
      success: false,
      outcome: { code: 'BACKEND_TIMEOUT' },
    })
    await expect(call(async () => expect.unreachable(), 'owl')).rejects.toMatchObject({
      code: 'ADMIN_REQUIRED',
    })
  })
})

eachStore('references', (at) => {
  const keyring = testKeyring()
  async function resolver() {
    const credentials = new CredentialStore({ store: at.store, keys: () => keyring, now: Date.now })
    const backend = new VestryBackend({ credentials, store: at.store, dropCredential: () => {} })
    const setting = new BackendSetting({
      store: at.store,
      guard: testGuard(keyring),
      keys: () => keyring,
      now: Date.now,
    })
    const secrets = new Secrets({
      setting,
      open: () => backend,
      node: 'n',
      settleMs: 0,
      now: Date.now,
      warn: () => {},
    })
    await putText(backend, { agent: 'scout', name: 'db/password' }, 'of scout')
    await putText(backend, { agent: 'owl', name: 'token' }, 'of owl')
    const put = (path: string, use_only: boolean) => {
      const settings = CredentialSettings.parse({ use_only })
      const facts = {
        type: null,
        description: null,
        tags: [],
        metadata: {},
        settings,
        expires_at: null,
      }
      return credentials.put(path, Buffer.from('shared'), {}, { createdBy: 'operator:ada' }, facts)
    }
    await put('team/key', false)
    await put('team/guarded', true)
    const { resolve } = secretResolver({ secrets, credentials, stations })
    return async (reference: string, owner = 'scout') => {
      using value = await resolve(reference, owner)
      return Buffer.from(value.bytes).toString('utf8')
    }
  }

  test('name a secret of their owner or a credential, at the moment of use, and leave a record', async () => {
    const resolve = await resolver()
    expect(await resolve('secret://db/password')).toBe('of scout')
    expect(await resolve('vault://team/key', 'mcp:notes')).toBe('shared')
    expect(await resolve('vault://secrets/scout/db/password')).toBe('of scout')
    const { entry } = written[0] ?? { entry: undefined }
    expect(entry).toMatchObject({
      action: 'secret.resolve',
      phase: 'intent',
      source: 'runtime',
      data: { operation: 'resolve', agent_id: 'scout', secret_key: 'db/password' },
    })
    expect(JSON.stringify(written)).not.toMatch(/of scout|shared/)
    isWritable = false
    await expect(resolve('secret://db/password')).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
    })
  })

  test('runtime §20.16: what an agent does not own, or what is no reference, is refused', async () => {
    const resolve = await resolver()
    for (const [reference = '', code] of [
      ['secret://absent', 'SECRET_NOT_FOUND'],
      ['secret://token', 'SECRET_NOT_FOUND'],
      ['vault://secrets/owl/token', 'CREDENTIAL_NOT_FOUND'],
      ['vault://secrets/scout/../owl/token', 'INVALID_PARAMS'],
      ['secret://../owl/token', 'INVALID_PARAMS'],
      ['secret://a//b', 'INVALID_PARAMS'],
      ['vault://absent', 'CREDENTIAL_NOT_FOUND'],
      ['vault://team/guarded', 'ACCESS_DENIED'],
      ['plain text', 'INVALID_PARAMS'],
      ['secret://', 'INVALID_PARAMS'],
    ])
      await expect(resolve(reference), reference).rejects.toMatchObject({ code })
    await expect(resolve('secret://token', 'scout/../owl')).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    })
  })
})
