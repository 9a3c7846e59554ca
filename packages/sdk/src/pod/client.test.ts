import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, expect, test, vi } from 'vitest'
import { InPodClient } from './client.ts'
import { ClaimError } from './errors.ts'
import { claimed, fakePod } from './fake-pod.test-kit.ts'

const failing = (code: string) => expect.objectContaining({ name: 'ClaimError', code })
afterEach(() => void vi.unstubAllEnvs())

test('requests are those of the wire, and answers come back in its words', async () => {
  const pod = await fakePod()
  const client = new InPodClient({ socketPath: pod.path })
  const claim = await client.claim('reviewer', {
    ttlSecs: 60,
    scope: 'tree',
    capabilities: ['read'],
    token: 't',
    replace: true,
  })
  expect(claim).toMatchObject({ claim_id: 'jti_1', agent_id: 'reviewer', token: 'jwt' })
  await client.renew({ claimId: 'jti_1', ttlSecs: 30 })
  pod.answer = () => ({ ok: true, released: 'jti_1' })
  expect(await client.release()).toBe('jti_1')
  const who = { claim_kind: 'anonymous', pod_id: 'pod_x', pid: 1, uid: 2 }
  pod.answer = () => ({ ok: true, ...who })
  expect(await client.whoami()).toEqual(who)
  pod.answer = () => ({ ok: true, agents: [{ name: 'reviewer', role: 'r', capabilities: [] }] })
  expect(await client.agents()).toEqual([{ name: 'reviewer', role: 'r', capabilities: [] }])
  expect(pod.asked.map(({ id: _, ...request }) => request)).toEqual([
    {
      type: 'claim',
      agent: 'reviewer',
      ttl_secs: 60,
      scope: 'tree',
      capabilities: ['read'],
      token: 't',
      replace: true,
    },
    { type: 'renew', claim_id: 'jti_1', ttl_secs: 30 },
    { type: 'release' },
    { type: 'whoami' },
    { type: 'agents' },
  ])
  expect(pod.connections).toBe(1)
  await client.close()
})

test('the socket and the token come from the environment', async () => {
  const pod = await fakePod()
  vi.stubEnv('ENVPOD_IDENTITY_SOCKET', pod.path)
  vi.stubEnv('ENVPOD_AGENT_TOKEN', 'own')
  vi.stubEnv('ENVPOD_AGENT_NAME', 'reviewer')
  const client = new InPodClient()
  expect(client.socketPath).toBe(pod.path)
  await client.claim('reviewer')
  await client.claim('committer')
  await client.claim('reviewer', { token: 'given' })
  vi.stubEnv('ENVPOD_AGENT_NAME', '')
  await client.claim('committer')
  expect(pod.asked.map(({ token }) => token)).toEqual(['own', undefined, 'given', 'own'])
  await client.close()
  vi.stubEnv('ENVPOD_IDENTITY_SOCKET', undefined)
  expect(new InPodClient().socketPath).toBe('/run/envpod/identity.sock')
})

test('a refusal is an error with the daemon’s code', async () => {
  const pod = await fakePod()
  pod.answer = () => ({ ok: false, error: 'unknown_agent', message: 'No agent has this name' })
  const client = new InPodClient({ socketPath: pod.path })
  const error = await client.claim('nobody').catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ClaimError)
  expect(error).toMatchObject({
    code: 'unknown_agent',
    message: 'unknown_agent: No agent has this name',
  })
  await client.close()
})

test('what is on the way to the daemon has codes of its own, and nothing waits for ever', async () => {
  const pod = await fakePod()
  await expect(new InPodClient({ socketPath: '/nowhere' }).whoami()).rejects.toEqual(
    failing('unreachable'),
  )
  expect(() => new InPodClient({ timeoutMs: 0 })).toThrow(failing('bad_request'))
  pod.answer = () => undefined
  const client = new InPodClient({ socketPath: pod.path, timeoutMs: 50 })
  await expect(client.whoami()).rejects.toEqual(failing('timeout'))
  for (const answer of ['nonsense', '{"id":99,"ok":true}', '{"ok":true}', 'null']) {
    pod.answer = () => answer
    await expect(client.whoami()).rejects.toEqual(failing('bad_answer'))
  }
  for (const answer of [{ ok: true }, { ok: false }, { ok: true, claim: {}, token: 't' }]) {
    pod.answer = () => answer
    await expect(client.claim('a')).rejects.toEqual(failing('bad_answer'))
  }
  pod.answer = (_, socket) => {
    socket.destroy()
    return undefined
  }
  await expect(client.whoami()).rejects.toEqual(failing('closed'))
  // A daemon that was started anew is found again.
  pod.answer = () => claimed()
  await client.claim('reviewer')
  await client.close()
  await expect(client.whoami()).rejects.toEqual(failing('closed'))
})

test('requests that are made at once get each their own answer, on one connection', async () => {
  const pod = await fakePod()
  pod.answer = ({ agent }) => claimed(1_000, `jti_${String(agent)}`)
  const client = new InPodClient({ socketPath: pod.path })
  const claims = await Promise.all(['a', 'b', 'c'].map((name) => client.claim(name)))
  expect(claims.map(({ claim_id }) => claim_id)).toEqual(['jti_a', 'jti_b', 'jti_c'])
  expect(pod.connections).toBe(1)
  await client.close()
})

test('telemetry §16.27: closing the client gives nothing back', async () => {
  const pod = await fakePod()
  {
    await using client = new InPodClient({ socketPath: pod.path })
    await client.claim('reviewer', { autoRenew: true })
  }
  await expect.poll(() => pod.sockets.size).toBe(0)
  expect(pod.asked.map(({ type }) => type)).toEqual(['claim'])
})

test('a claim is renewed before it ends, through passing failures, until it is refused', async () => {
  const pod = await fakePod()
  const said: string[] = []
  let renewals = 0
  pod.answer = ({ type }, socket) => {
    if (type === 'claim') return claimed(600)
    renewals += 1
    if (renewals === 1) {
      socket.destroy()
      return undefined
    }
    return renewals < 4 ? claimed(600) : { ok: false, error: 'not_claimed', message: 'gone' }
  }
  const client = new InPodClient({ socketPath: pod.path })
  await client.claim('reviewer', {
    ttlSecs: 1,
    autoRenew: true,
    onRenewError: ({ code }) => said.push(code),
  })
  await expect.poll(() => said, { timeout: 10_000 }).toEqual(['not_claimed'])
  expect(pod.asked.slice(1)).toEqual(
    Array(4).fill(expect.objectContaining({ type: 'renew', claim_id: 'jti_1', ttl_secs: 1 })),
  )
  await client.close()
})

test('a claim that is released is renewed no more', async () => {
  const pod = await fakePod()
  pod.answer = ({ type }) => (type === 'release' ? { ok: true, released: 'jti_1' } : claimed(500))
  const client = new InPodClient({ socketPath: pod.path })
  await client.claim('reviewer', { autoRenew: true })
  await client.release()
  await new Promise((resolve) => setTimeout(resolve, 700))
  expect(pod.asked.map(({ type }) => type)).toEqual(['claim', 'release'])
  await client.close()
})

test('neither an open client nor its renewing keeps a process alive', async () => {
  const pod = await fakePod()
  const door = join(dirname(fileURLToPath(import.meta.url)), 'index.ts')
  const script = `
    const { InPodClient } = await import(${JSON.stringify(door)})
    const client = new InPodClient({ socketPath: ${JSON.stringify(pod.path)} })
    const claim = await client.claim('reviewer', { autoRenew: true })
    console.log(claim.claim_id)`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=source', '--input-type=module', '-e', script],
    { timeout: 20_000 },
  )
  expect(stdout.trim()).toBe('jti_1')
})
