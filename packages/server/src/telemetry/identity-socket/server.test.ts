import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { ClaimRefused } from '../../identity/claims/claim-refused.ts'
import type { Claim, ProcessPeer } from '../../identity/claims/resolution.ts'
import { IdentityServer, type IdentityServerDeps } from './server.ts'

const PEER: ProcessPeer = { pid: 7, uid: 1000, gid: 1000, startTime: '100', sessionId: 7 }
const CLAIM: Claim = {
  id: 'jti_1',
  agentId: 'uuid',
  agentName: 'auditor',
  agentRole: 'ledger-check',
  capabilities: ['read'],
  session: 'sess_1',
  scope: 'process',
  pid: 7,
  startTime: '100',
  uid: 1000,
  issuedAtMs: 0,
  expiresAtMs: 60_000,
}

type Answer = Record<string, unknown>

interface Peer {
  readonly socket: Socket
  send(line: unknown): void
  /** undefined at the end of the connection. */
  next(): Promise<Answer | undefined>
  ask(line: unknown): Promise<Answer | undefined>
}

async function serve(changes: Partial<IdentityServerDeps> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'vestry-id-'))
  const path = join(dir, 's')
  const asked: unknown[] = []
  const outcomes: string[] = []
  const errors: unknown[] = []
  const server = new IdentityServer({
    desk: {
      claim: async (_, request) => {
        asked.push(request)
        return { claim: CLAIM, token: 'jwt' }
      },
      renew: async (_, request) => {
        asked.push(request)
        return { claim: CLAIM, token: 'jwt' }
      },
      release: async () => 'jti_1',
      agents: async () => [],
    },
    book: { resolve: () => ({ kind: 'anonymous', stale: false }) },
    pod: async () => ({ id: 'pod_x', name: 'x' }),
    takeRequest: () => true,
    connections: 4,
    onClaim: (outcome) => outcomes.push(outcome),
    onInternalError: (error) => errors.push(error),
    readPeer: () => PEER,
    ...changes,
  })
  await server.listen(path, 0o600)
  onTestFinished(async () => {
    await server.close(1_000)
    rmSync(dir, { recursive: true })
  })
  const open = async (): Promise<Peer> => {
    const socket = connect(path)
    socket.on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
    const next = async () => {
      const { value, done } = await lines.next()
      return done === true ? undefined : (JSON.parse(value) as Answer)
    }
    const send = (line: unknown): void => {
      socket.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`)
    }
    return {
      socket,
      send,
      next,
      ask: (line) => {
        send(line)
        return next()
      },
    }
  }
  return { server, open, asked, outcomes, errors }
}

test('many requests go over one connection, each answered in its turn with its id', async () => {
  const { open, outcomes } = await serve()
  const peer = await open()
  peer.send({ type: 'whoami', id: 'a' })
  peer.send({ type: 'claim', agent: 'auditor', id: 2 })
  peer.send({ type: 'renew', claim_id: 'jti_1', id: null })
  peer.send({ type: 'release' })
  peer.send({ type: 'agents', id: 'é' })
  expect(await peer.next()).toEqual({
    id: 'a',
    ok: true,
    pod_id: 'pod_x',
    pid: 7,
    uid: 1000,
    start_time: '100',
    claim_kind: 'anonymous',
    anonymous: {
      pid: 7,
      uid: 1000,
      session: 'sess_7',
      fingerprint: 'anon_pid7_uid1000_sesssess_7',
    },
    subject: { agent_id: '', agent_role: '' },
  })
  const claim = {
    claim_id: 'jti_1',
    agent_id: 'auditor',
    agent_uuid: 'uuid',
    agent_role: 'ledger-check',
    capabilities: ['read'],
    session: 'sess_1',
    scope: 'process',
    issued_at: '1970-01-01T00:00:00.000Z',
    expires_at: '1970-01-01T00:01:00.000Z',
  }
  expect(await peer.next()).toEqual({ id: 2, ok: true, claim, token: 'jwt' })
  expect(await peer.next()).toEqual({
    id: null,
    ok: true,
    expires_at: claim.expires_at,
    claim,
    token: 'jwt',
  })
  expect(await peer.next()).toEqual({ ok: true, released: 'jti_1' })
  expect(await peer.next()).toEqual({ id: 'é', ok: true, agents: [] })
  expect(outcomes).toEqual(['granted'])
})

test('what was asked is handed on as it was asked', async () => {
  const { open, asked } = await serve()
  const peer = await open()
  await peer.ask({
    type: 'claim',
    agent: 'auditor',
    ttl_secs: 60,
    capabilities: ['read'],
    scope: 'tree',
    token: 't',
    replace: true,
  })
  await peer.ask({ type: 'renew', ttl_secs: 5 })
  expect(asked).toEqual([
    {
      agent: 'auditor',
      ttlSeconds: 60,
      capabilities: ['read'],
      scope: 'tree',
      token: 't',
      replace: true,
    },
    { id: undefined, ttlSeconds: 5 },
  ])
})

test('a malformed request is told what is wrong with it, and the connection goes on', async () => {
  const { open, asked } = await serve()
  const peer = await open()
  for (const [line, message] of [
    ['{', 'is not valid JSON'],
    ['[]', 'is not a JSON object'],
    ['{"type":"claim","type":"claim","agent":"a"}', 'holds a key twice'],
    [{ type: 'grant' }, 'type must be one of claim, renew, release, whoami, agents'],
    [{ type: 'claim' }, 'agent: '],
    [{ type: 'claim', agent: '' }, 'agent: '],
    [{ type: 'claim', agent: 'a', ttl_secs: 1.5 }, 'ttl_secs: must be a whole number of seconds'],
    [{ type: 'claim', agent: 'a', uid: 0 }, 'uid'],
    [{ type: 'claim', agent: 'a', scope: 'host' }, 'scope: '],
    [{ type: 'release', claim_id: 'x' }, 'claim_id: must be the id of a claim'],
    [{ type: 'whoami', id: { a: 1 } }, 'id: '],
  ] as const) {
    const answer = await peer.ask(line)
    expect(answer).toMatchObject({ ok: false, error: 'bad_request' })
    expect(String(answer?.['message'])).toContain(message)
  }
  expect(await peer.ask({ type: 'claim', id: 9 })).toMatchObject({ id: 9, error: 'bad_request' })
  expect(asked).toEqual([])
  expect(await peer.ask({ type: 'agents' })).toEqual({ ok: true, agents: [] })
})

test('a line may come in pieces, and one that is too long is passed over', async () => {
  const { open } = await serve()
  const peer = await open()
  for (const byte of '{"type":"agents"}\n') {
    peer.socket.write(byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(await peer.next()).toEqual({ ok: true, agents: [] })
  peer.socket.write('x'.repeat(70_000))
  peer.socket.write('\n\n{"type":"agents"}\n')
  expect(await peer.next()).toMatchObject({ error: 'bad_request' })
  expect(await peer.next()).toEqual({ ok: true, agents: [] })
})

test('whoever ends its side is answered all the same', async () => {
  const { open } = await serve()
  const peer = await open()
  peer.socket.end('{"type":"agents"}\n')
  expect(await peer.next()).toEqual({ ok: true, agents: [] })
  expect(await peer.next()).toBeUndefined()
})

test('refusals have their codes; what went wrong inside is no business of the peer', async () => {
  const failures = [new ClaimRefused('claim_limit'), new Error('/secret/path')]
  const { open, outcomes, errors } = await serve({
    desk: {
      claim: () => Promise.reject(failures.shift()),
      renew: () => Promise.reject(new ClaimRefused('expired')),
      release: () => Promise.reject(new ClaimRefused('not_claimed')),
      agents: () => Promise.reject(new ClaimRefused('unavailable')),
    },
  })
  const peer = await open()
  const claim = { type: 'claim', agent: 'a' }
  expect(await peer.ask(claim)).toMatchObject({ ok: false, error: 'claim_limit' })
  const inside = await peer.ask(claim)
  expect(inside).toMatchObject({ ok: false, error: 'unavailable' })
  expect(JSON.stringify(inside)).not.toContain('secret')
  expect(errors).toHaveLength(1)
  expect(outcomes).toEqual(['refused', 'refused'])
  expect(await peer.ask({ type: 'renew' })).toMatchObject({ error: 'expired' })
  expect(await peer.ask({ type: 'release' })).toMatchObject({ error: 'not_claimed' })
  expect(await peer.ask({ type: 'agents' })).toMatchObject({ error: 'unavailable' })
})

test('requests are bounded per user, and connections in all', async () => {
  let left = 2
  const { open, server } = await serve({
    takeRequest: (uid) => {
      expect(uid).toBe(1000)
      left -= 1
      return left >= 0
    },
  })
  const peer = await open()
  expect(await peer.ask({ type: 'agents' })).toMatchObject({ ok: true })
  expect(await peer.ask('{')).toMatchObject({ error: 'bad_request' })
  expect(await peer.ask({ type: 'agents' })).toMatchObject({ error: 'rate_limited' })
  for (let more = 0; more < 3; more += 1) await (await open()).ask({ type: 'agents' })
  expect(server.connections).toBe(4)
  expect(await (await open()).next()).toBeUndefined()
  peer.socket.destroy()
  await expect.poll(() => server.connections).toBe(3)
  expect(await (await open()).ask({ type: 'agents' })).toMatchObject({ error: 'rate_limited' })
})

test('telemetry §16.30: a peer that the kernel does not tell is told so, and told what its events will say', async () => {
  const { open } = await serve({ readPeer: () => ({ unavailable: 'not supported' }) })
  const peer = await open()
  expect(await peer.ask({ type: 'whoami' })).toMatchObject({
    ok: true,
    claim_kind: 'anonymous',
    uid: -1,
    peercred: 'unavailable',
  })
})

test('at the end, what was asked is answered', async () => {
  let finish: (() => void) | undefined
  const { open, server } = await serve({
    desk: {
      claim: () =>
        new Promise((resolve) => {
          finish = () => resolve({ claim: CLAIM, token: 'jwt' })
        }),
      renew: () => Promise.reject(new ClaimRefused('expired')),
      release: () => Promise.reject(new ClaimRefused('expired')),
      agents: async () => [],
    },
  })
  const peer = await open()
  const answer = peer.ask({ type: 'claim', agent: 'a' })
  await expect.poll(() => finish).toBeTypeOf('function')
  const closed = server.close(5_000)
  finish?.()
  expect(await answer).toMatchObject({ ok: true })
  await closed
  if (!peer.socket.destroyed) await once(peer.socket, 'close')
})

test('one process does not take all the places', async () => {
  let peer = PEER
  const { open } = await serve({ connections: 64, readPeer: () => peer })
  const mine = await Promise.all(Array.from({ length: 20 }, () => open()))
  const answers = await Promise.all(
    mine.map((one) => one.ask({ type: 'whoami' }).catch(() => undefined)),
  )
  expect(answers.filter((answer) => answer !== undefined)).toHaveLength(16)
  peer = { ...PEER, pid: 8 }
  expect(await (await open()).ask({ type: 'whoami' })).toMatchObject({ ok: true })
  peer = PEER
  mine[0]?.socket.destroy()
  await expect
    .poll(async () => (await open()).ask({ type: 'whoami' }).catch(() => undefined))
    .toMatchObject({ ok: true })
})
