import { expect, test } from 'vitest'
import type { Claim, ProcessPeer } from '../../identity/claims/resolution.ts'
import type { Stated } from './envelope.ts'
import { overwritten, speakerOf } from './stamp.ts'

const peer: ProcessPeer = {
  pid: 5120,
  uid: 60_000,
  gid: 60_000,
  startTime: '8123',
  sessionId: 5120,
}
const claim: Claim = {
  id: 'jti_0c5e',
  agentId: '0b5c',
  agentName: 'auditor',
  agentRole: 'ledger-check',
  capabilities: ['read'],
  session: 'sess_c41d',
  scope: 'process',
  pid: 5120,
  startTime: '8123',
  uid: 60_000,
  issuedAtMs: 0,
  expiresAtMs: 1,
}
const anonymous = speakerOf(peer, { kind: 'anonymous', stale: false }, 'pod_1')
const claimed = speakerOf(peer, { kind: 'claimed', claim }, 'pod_1')

function stated(changes: Partial<Stated>): Stated {
  return { agentId: undefined, agentRole: undefined, envpod: undefined, ...changes }
}

test('telemetry §16.32: the fingerprint of a session’s leader, and of another process of it', () => {
  expect(anonymous.stamp.anonymous).toEqual({
    pid: 5120,
    uid: 60_000,
    session: 'sess_5120',
    fingerprint: 'anon_pid5120_uid60000_sesssess_5120',
  })
  const other = speakerOf({ ...peer, sessionId: 4000 }, { kind: 'anonymous', stale: false }, 'p')
  expect(other.stamp.anonymous?.fingerprint).toBe('anon_pid5120_uid60000_sesssess_4000')
})

test('a claimed caller has its claim and no fingerprint, an anonymous one the reverse', () => {
  expect(claimed).toMatchObject({
    agentId: 'auditor',
    agentRole: 'ledger-check',
    stamp: {
      pod_id: 'pod_1',
      pid: 5120,
      uid: 60_000,
      start_time: '8123',
      claim_kind: 'claimed',
      agent_claim_id: 'jti_0c5e',
      agent_uuid: '0b5c',
      capabilities: ['read'],
      session: 'sess_c41d',
    },
  })
  expect(claimed.stamp).not.toHaveProperty('anonymous')
  expect(anonymous).toMatchObject({ agentId: '', agentRole: '' })
  for (const member of ['agent_claim_id', 'agent_uuid', 'capabilities', 'session'])
    expect(anonymous.stamp).not.toHaveProperty(member)
})

test('telemetry §16.30: who cannot be known is anonymous, with the numbers of nobody', () => {
  const unknown = speakerOf({ unavailable: 'x' }, { kind: 'anonymous', stale: false }, 'pod_1')
  expect(unknown.stamp).toMatchObject({
    pid: -1,
    uid: -1,
    claim_kind: 'anonymous',
    peercred: 'unavailable',
  })
})

test('a process that is gone is told', () => {
  expect(speakerOf(peer, { kind: 'anonymous', stale: true }, 'p').stamp.stale_peer).toBe(true)
})

test('who states nothing, or what is so, has nothing overwritten', () => {
  expect(overwritten(stated({}), claimed)).toBeUndefined()
  expect(overwritten(stated({ agentId: '', agentRole: '', envpod: null }), claimed)).toBeUndefined()
  expect(
    overwritten(
      stated({ agentId: 'auditor', agentRole: 'ledger-check', envpod: { pid: 5120 } }),
      claimed,
    ),
  ).toBeUndefined()
})

test('telemetry §16.26: what is not so is listed by its path', () => {
  const forged = stated({
    agentId: 'root',
    agentRole: 'boss',
    envpod: { claim_kind: 'claimed', pid: 1, agent_claim_id: 'jti_x', overwrote: [], uid: 60_000 },
  })
  expect(overwritten(forged, anonymous)).toEqual([
    'subject.agent_id',
    'subject.agent_role',
    'envpod.agent_claim_id',
    'envpod.claim_kind',
    'envpod.overwrote',
    'envpod.pid',
  ])
})

test('names of theirs do not get into the list, and the list has an end', () => {
  const many = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`m${'x'.repeat(i % 30)}${i}`, 1]),
  )
  expect(overwritten(stated({ envpod: many }), anonymous)).toEqual(['envpod'])
  expect(overwritten(stated({ envpod: 'x' }), anonymous)).toEqual(['envpod'])
})
