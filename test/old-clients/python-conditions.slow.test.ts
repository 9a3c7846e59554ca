import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { newAgentKeys } from '../harness/keys.ts'
import { keyFile, noPython, runClient, writeKey } from './client-process.ts'
import { SECRET, startWorld } from './world.ts'

const python = (script: string, home: string, args: string[] = []) =>
  runClient('python', script, { home, args })

describe.skipIf(noPython !== undefined)(
  `the Python client${noPython ? `: ${noPython}` : ''}`,
  () => {
    test('vault §28.4: every exception of the table comes from a real condition of the daemon', async () => {
      await using world = await startWorld({
        vault: { session_idle: 3, docs_base_url: 'https://docs.example/errors' },
      })
      const { vestry } = world
      const hasty = await vestry.addAgent('hasty')
      await vestry.admin.call('admin.policy.put', {
        files: [
          {
            name: 'hasty.yaml',
            text: JSON.stringify({
              version: 1,
              policies: [
                {
                  name: 'one-at-a-time',
                  principals: ['agent:hasty'],
                  resources: ['openai/*'],
                  actions: ['retrieve'],
                  rate: { per_second: 0.01, burst: 1 },
                },
              ],
            }),
          },
        ],
      })
      const home = world.home()
      writeKey(keyFile(home, 'hasty'), hasty.seed)
      writeKey(keyFile(home, 'stranger'), newAgentKeys('stranger').seed)
      const script = `
import time
import sanctum_ai as sdk
from sanctum_ai import SanctumClient

tell(AuthError=caught(lambda: SanctumClient("stranger").connect()))
client = SanctumClient("my-agent").connect()
tell(AccessDenied=caught(lambda: client.retrieve("other/secret")))
tell(CredentialNotFound=caught(lambda: client.retrieve("openai/absent")))
tell(VaultError=caught(lambda: client.use("openai/api_key", "teleport")))
hasty = SanctumClient("hasty").connect()
hasty.retrieve("openai/api_key")
tell(RateLimited=caught(lambda: hasty.retrieve("openai/api_key")))
lease = client.retrieve_raw("openai/api_key", ttl=1)["lease_id"]
time.sleep(1.2)
tell(LeaseExpired=caught(lambda: client.release_lease(lease)))
time.sleep(3.5)
tell(SessionExpired=caught(lambda: client.list()))
tell(ready=True)
ask()
tell(VaultLocked=caught(lambda: client.list()))
tell(VaultLocked=caught(lambda: SanctumClient("my-agent").connect()))
tell(bases=all(issubclass(getattr(sdk, name), sdk.VaultError) for name in [
    "AuthError", "AccessDenied", "CredentialNotFound", "VaultLocked", "LeaseExpired", "RateLimited", "SessionExpired"]))
`
      const client = python(script, home)
      const codes: [string, string][] = [
        ['AuthError', 'AUTH_FAILED'],
        ['AccessDenied', 'ACCESS_DENIED'],
        ['CredentialNotFound', 'CREDENTIAL_NOT_FOUND'],
        ['VaultError', 'OPERATION_NOT_SUPPORTED'],
        ['RateLimited', 'RATE_LIMITED'],
        ['LeaseExpired', 'LEASE_EXPIRED'],
        ['SessionExpired', 'SESSION_EXPIRED'],
        ['VaultLocked', 'VAULT_LOCKED'],
        ['VaultLocked', 'VAULT_LOCKED'],
      ]
      for (const [name, code] of codes) {
        let told = await client.hear()
        if (told.ready) {
          await vestry.seal()
          client.say()
          told = await client.hear()
        }
        expect(told[name], JSON.stringify(told)).toMatchObject({
          class: name,
          code,
          detail: expect.any(String),
          suggestion: expect.any(String),
          docs_url: expect.stringMatching(/^https:\/\/docs\.example\/errors.*/),
          context_type: 'dict',
          context: { request_id: expect.any(String) },
        })
      }
      expect(await client.rest()).toEqual([{ bases: true }])
    })

    test('vault §28.7: an expired session is told on the open socket; connect() recovers; old leases can go', async () => {
      await using world = await startWorld({ vault: { session_idle: 1 } })
      const script = `
import time
from sanctum_ai import SanctumClient
client = SanctumClient("my-agent").connect()
old = client.retrieve_raw("openai/api_key")["lease_id"]
time.sleep(1.5)
first = client._sock
tell(expired=[caught(lambda: client.retrieve("openai/api_key"))["class"], caught(client.list)["class"]])
tell(still_there=client._call("ping", {}), same=client._sock is first)
client.connect()
tell(again=client.retrieve("openai/api_key"), tracked=len(client._leases))
client.release_lease(old)
tell(closed=caught(client.close))
client.connect()
tell(live=client._call("lease_status", {})["leases"])
`
      const [expired, open, again, closed, live] = await python(script, world.home()).rest()
      expect(expired).toEqual({ expired: ['SessionExpired', 'SessionExpired'] })
      expect(open).toEqual({ still_there: { pong: true }, same: true })
      expect(again).toEqual({ again: SECRET, tracked: 2 })
      expect(closed).toEqual({ closed: null })
      expect(live).toEqual({ live: [] })
    })

    test.each(['unix', 'tcp'])(
      'vault §28.8: close() does not raise while the daemon shuts down (%s)',
      async (transport) => {
        const world = await startWorld()
        const { host, port } = world.tcp
        const script = `
from sanctum_ai import SanctumClient
client = SanctumClient("my-agent"${transport === 'tcp' ? `, host="${host}", port=${port}` : ''}).connect()
for _ in range(3):
    client.retrieve("openai/api_key")
tell(ready=True)
ask()
tell(closed=caught(client.close), left=len(client._leases))
`
        const client = python(script, world.home())
        await client.hear()
        const stopped = world[Symbol.asyncDispose]()
        await sleep(300)
        client.say()
        expect(await client.rest()).toEqual([{ closed: null, left: 0 }])
        await stopped
      },
    )

    test('vault §28.8: a call while the daemon shuts down raises a vault error and nothing else', async () => {
      const world = await startWorld()
      const script = `
from sanctum_ai import SanctumClient
client = SanctumClient("my-agent").connect()
tell(ready=True)
ask()
tell(failed=caught(client.list), closed=caught(client.close))
`
      const client = python(script, world.home())
      await client.hear()
      const stopped = world[Symbol.asyncDispose]()
      await sleep(300)
      client.say()
      const [told] = await client.rest()
      expect(told.failed).toMatchObject({ class: 'VaultError' })
      expect(told.failed.foreign).toBeUndefined()
      expect(told.closed).toBeNull()
      await stopped
    })

    test.each([
      [{ allow_cidrs: [] }, {}, ['SSRF_BLOCKED', 'ACCESS_DENIED']],
      [{ allow_cidrs: ['127.0.0.1/32'] }, { allow_http: false }, ['ACCESS_DENIED']],
      [{ allow_cidrs: ['127.0.0.1/32'] }, { hosts: ['api.openai.com'] }, ['ACCESS_DENIED']],
    ])(
      'vault §28.9: without the operator’s opening, a local service is out of reach (%j, %j)',
      async (egress, rule, codes) => {
        await using world = await startWorld({ egress }, rule)
        const script = `
from sanctum_ai import SanctumClient
with SanctumClient("my-agent") as client:
    tell(blocked=caught(lambda: client.use("web/token", "http_request", {"url": args[0]})))
`
        const [{ blocked }] = await python(script, world.home(), [world.upstream.url]).rest()
        expect(codes).toContain(blocked.code)
        expect(world.upstream.requests).toEqual([])
      },
    )
  },
)
