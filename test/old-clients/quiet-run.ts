/** A scripted run in which the daemon has every reason to say something unasked, and must not. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'
import { startWorld } from './world.ts'

/** Calls of one round: successes, refusals, malformed requests, and things that expire by themselves. */
const CALLS: readonly [method: string, params: object][] = [
  ['retrieve', { path: 'openai/api_key', ttl: 1 }],
  ['retrieve', { path: 'openai/absent' }],
  ['retrieve', { path: 'other/secret' }],
  ['retrieve', { path: '../etc/passwd' }],
  ['list', {}],
  ['use', { path: 'signing/key', operation: 'sign', params: { data: 'x' } }],
  ['use', { path: 'web/token', operation: 'http_header' }],
  ['use', { path: 'web/token', operation: 'http_request', params: { url: 'http://10.0.0.1/' } }],
  ['release_lease', { lease_id: 'lease_00000000000000000000000000000000' }],
  ['whoami', {}],
  ['status', {}],
  ['no_such_method', {}],
]

/**
 * What every connection saw: as many frames as it sent, whatever the operator did meanwhile.
 * `runMs` bounds the rounds, not their number.
 */
export async function quietRun(runMs: number): Promise<{ sent: number; rounds: number }> {
  await using world = await startWorld({ vault: { session_idle: 1 } })
  const { vestry, agent, tcp } = world
  const where = { path: vestry.home.vaultSocket }
  const peers = await Promise.all([
    RawClient.connect(where),
    RawClient.connect(where),
    RawClient.connect(tcp),
  ])
  const sent = new Map(peers.map((peer) => [peer, 0]))
  const call = async (peer: RawClient, method: string, params: object) => {
    sent.set(peer, (sent.get(peer) ?? 0) + 1)
    return peer.call(method, params).catch((error: Error) => error)
  }
  const login = async (peer: RawClient, keys = agent) => {
    sent.set(peer, (sent.get(peer) ?? 0) + 2)
    await peer.login(keys)
  }
  const settle = async (what: string) => {
    // Long enough for an event to arrive, had one been sent.
    await sleep(150)
    for (const [peer, count] of sent) expect(peer.received, what).toBe(count)
  }
  const end = Date.now() + runMs
  let rounds = 0
  while (Date.now() < end) {
    for (const peer of peers) await login(peer)
    for (const [method, params] of CALLS)
      await Promise.all(peers.map((peer) => call(peer, method, params)))
    await settle('after calls')
    await vestry.relogin()
    await vestry.addPolicy({
      version: 1,
      policies: [
        {
          name: `extra-${rounds}`,
          principals: ['agent:nobody'],
          resources: ['x/*'],
          actions: ['list'],
        },
      ],
    })
    await vestry.addCredential('openai/api_key', `rotated ${rounds}`)
    const held = await call(peers[0]!, 'retrieve', { path: 'openai/api_key' })
    await vestry.admin.call('admin.lease.revoke', { id: held.lease_id })
    await vestry.admin.call('admin.session.revoke', { agent: 'my-agent' })
    await settle('after a change of policy, a rotation, a revoked lease and revoked sessions')
    for (const peer of peers) await call(peer, 'list', {})
    await sleep(1_300) // leases of one second and sessions expire
    await settle('after an expiry')
    await vestry.seal()
    for (const peer of peers) await call(peer, 'list', {})
    await settle('while sealed')
    await vestry.unseal()
    await settle('after the unseal')
    rounds += 1
  }
  await vestry.admin.call('admin.agent.rotate', {
    name: 'my-agent',
    public_key: newAgentKeys('my-agent').publicKeyHex,
  })
  await vestry.admin.call('admin.agent.revoke', { name: 'my-agent' })
  await settle('after the agent was revoked')
  for (const peer of peers) {
    expect(peer.ended).toBe(false)
    peer.destroy()
  }
  return { sent: [...sent.values()].reduce((sum, count) => sum + count, 0), rounds }
}
