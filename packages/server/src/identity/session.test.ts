import { describe, expect, it } from 'vitest'
import { type Agent, newAgent } from './agent.ts'
import { newSessionId } from './challenge.ts'
import { type EndReason, type Session, SessionBook } from './session.ts'

const START = 1_900_000_000_000
const UUIDS = ['3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22', '9d2b6a3e-1c0f-4a7b-8e55-b1f0c2d3e4f5']
const agent = (name: string, id = UUIDS[0]!): Agent =>
  newAgent({ name }, { id, trustDomain: 'example.org', nowMs: START })
const scout = { kind: 'agent', agent: agent('scout') } as const
const other = { kind: 'agent', agent: agent('other', UUIDS[1]) } as const
const peer = { transport: 'unix', uid: 1000 } as const

function setUp(perAgent = 64) {
  const time = { wall: START, mono: 0 }
  const ended: [Session, EndReason][] = []
  const sessions = new SessionBook({
    clock: { now: () => time.wall, monotonic: () => time.mono },
    limits: { idleSeconds: 3600, maxSeconds: 86_400, perAgent },
    onEnd: (session, reason) => ended.push([session, reason]),
  })
  const pass = (seconds: number) => {
    time.wall += seconds * 1000
    time.mono += seconds * 1000
  }
  const open = (connection: object, principal: typeof scout | typeof other = scout) =>
    sessions.open(connection, { id: newSessionId(), principal, peer, keyFingerprint: 'ed25519:00' })
  const reasons = () => ended.map(([, reason]) => reason)
  return { time, ended, reasons, sessions, pass, open }
}
const expired = expect.objectContaining({
  code: 'SESSION_EXPIRED',
  context: { reauthenticate: true },
})

describe('a session', () => {
  it('vault §28.25: belongs to its connection; no id opens it elsewhere', () => {
    const { sessions, open } = setUp()
    const mine = {}
    const session = open(mine)
    expect(sessions.current(mine)).toBe(session)
    expect(sessions.current(mine, null)).toBe(session)
    expect(sessions.current(mine, session.id)).toBe(session)
    expect(() => sessions.current({}, session.id)).toThrow(expired)
  })

  it('vault §28.25: a foreign session id is SESSION_EXPIRED and ends nothing', () => {
    const { sessions, open, ended } = setUp()
    const mine = {}
    open(mine)
    const foreign = open({})
    for (const id of [foreign.id, '', 'sess_', 'ä'.repeat(48)])
      expect(() => sessions.current(mine, id)).toThrow(expired)
    expect(ended).toEqual([])
    expect(() => sessions.current(mine)).not.toThrow()
  })

  it('slides while requests succeed and ends after an idle hour', () => {
    const { sessions, open, pass, reasons } = setUp()
    const mine = {}
    const session = open(mine)
    for (let n = 0; n < 5; n += 1) {
      pass(3599)
      sessions.touch(sessions.current(mine))
    }
    expect(sessions.deadline(session)).toBe(session.createdAt + (5 * 3599 + 3600) * 1000)
    pass(3600)
    expect(() => sessions.current(mine)).toThrow(expired)
    expect(() => sessions.current(mine)).toThrow(expired)
    expect(reasons()).toEqual(['idle'])
  })

  it('does not slide by merely asking', () => {
    const { sessions, open, pass } = setUp()
    const mine = {}
    open(mine)
    pass(3000)
    sessions.current(mine)
    pass(600)
    expect(() => sessions.current(mine)).toThrow(expired)
  })

  it('ends a day after the login however busy it is', () => {
    const { sessions, open, pass, reasons } = setUp()
    const mine = {}
    open(mine)
    for (let n = 0; n < 24 * 2; n += 1) {
      sessions.touch(sessions.current(mine))
      pass(1800)
    }
    expect(() => sessions.current(mine)).toThrow(expired)
    expect(reasons()).toEqual(['expired'])
  })

  it('ends by wall clock when the host slept, and is not prolonged by setting the clock back', () => {
    const { sessions, open, time, reasons } = setUp()
    const slept = {}
    open(slept)
    time.wall += 3600_000
    expect(() => sessions.current(slept)).toThrow(expired)
    const setBack = {}
    open(setBack)
    time.wall -= 7200_000
    time.mono += 3600_000
    expect(() => sessions.current(setBack)).toThrow(expired)
    expect(reasons()).toEqual(['idle', 'idle'])
  })

  it('ends no later than the retiring key that opened it', () => {
    const { sessions, pass } = setUp()
    const mine = {}
    const session = sessions.open(mine, {
      id: newSessionId(),
      principal: scout,
      peer,
      keyFingerprint: 'ed25519:00',
      notAfter: START + 60_000,
    })
    expect(session.expiresAt).toBe(START + 60_000)
    pass(60)
    expect(sessions.isLive(session)).toBe(false)
    expect(() => sessions.current(mine)).toThrow(expired)
  })

  it('is replaced by a new login, and logged out by a login as someone else', () => {
    const { sessions, open, reasons } = setUp()
    const mine = {}
    const first = open(mine)
    const second = open(mine)
    expect(sessions.isLive(first)).toBe(false)
    expect(() => sessions.current(mine, first.id)).toThrow(expired)
    expect(sessions.current(mine)).toBe(second)
    open(mine, other)
    expect(reasons()).toEqual(['replaced', 'logout'])
    expect(sessions.size).toBe(1)
  })

  it('leaves the connection usable after logout', () => {
    const { sessions, open, reasons } = setUp()
    const mine = {}
    open(mine)
    sessions.logout(mine)
    sessions.logout(mine)
    expect(() => sessions.current(mine)).toThrow(expired)
    open(mine)
    expect(reasons()).toEqual(['logout'])
  })

  it('mints one transaction for itself and one span per request', () => {
    const { sessions, open } = setUp()
    const session = open({})
    const [a, b] = [sessions.caller(session), sessions.caller(session)]
    expect(a.txn).toMatch(/^txn_[0-9a-f]{32}$/)
    expect(b.txn).toBe(a.txn)
    expect(b.trace.spanId).not.toBe(a.trace.spanId)
    expect(a.peer).toEqual(peer)
    expect(open({}).txn).not.toBe(a.txn)
  })
})

describe('the book of sessions', () => {
  it('holds at most so many per agent, counting only live ones', () => {
    const { sessions, open, pass } = setUp(2)
    const mine = {}
    open(mine)
    open({})
    expect(() => open({})).toThrow(
      expect.objectContaining({
        code: 'RATE_LIMITED',
        context: { scope: 'sessions', limit: 2, retry_after_ms: 1_000 },
      }),
    )
    open({}, other)
    open(mine) // replaces its own
    expect(sessions.size).toBe(3)
    pass(3600)
    open({})
    expect(sessions.list().filter(({ principal }) => principal === scout)).toHaveLength(1)
  })

  it('keeps the old session when the new one is refused', () => {
    const { sessions, open } = setUp(1)
    const mine = {}
    const kept = open(mine, other)
    open({})
    expect(() => open(mine)).toThrow('open already')
    expect(sessions.current(mine)).toBe(kept)
  })

  it('reports every end exactly once, whichever way it comes', () => {
    const { sessions, open, pass, ended, reasons } = setUp()
    const [a, b, c, d] = [{}, {}, {}, {}]
    const [, second] = [a, b, c, d].map((connection) => open(connection))
    sessions.endConnection(a)
    sessions.endConnection(a)
    expect(sessions.endWhere((session) => session === second, 'revoked')).toBe(1)
    pass(1800)
    sessions.touch(sessions.current(d))
    pass(1800)
    expect(sessions.sweep()).toBe(1)
    expect(sessions.endAll('sealed')).toBe(1)
    expect(sessions.sweep()).toBe(0)
    expect(reasons()).toEqual(['connection_closed', 'revoked', 'idle', 'sealed'])
    expect(new Set(ended.map(([session]) => session)).size).toBe(4)
    expect(sessions.size).toBe(0)
  })

  it('gives live sessions the new record of their own agent only', () => {
    const { sessions, open } = setUp()
    const session = open({})
    const renamed = { kind: 'agent', agent: { ...scout.agent, role: 'lead' } } as const
    sessions.refresh(session, renamed, START + 1000)
    expect(session.principal).toBe(renamed)
    expect(session.expiresAt).toBe(START + 1000)
    sessions.refresh(session, other)
    expect(session.principal).toBe(renamed)
  })
})
