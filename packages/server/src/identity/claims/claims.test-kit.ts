/** Processes that a test makes up, and a clock that it turns. */
import type { Clock } from '../clock.ts'
import type { ProcessFacts, ProcessTable } from './process-table.ts'
import type { Claim, ProcessPeer } from './resolution.ts'

interface Made extends ProcessFacts {
  readonly uid: number
}

export class FakeProcesses implements ProcessTable {
  readonly #made = new Map<number, Made>()
  /** No descriptors are left to look at anything. */
  exhausted = false
  /** What each runs, where it is not the same for all. */
  readonly programs = new Map<number, string>()
  reads = 0

  /** One that takes the number of another is a process of its own. */
  start(
    pid: number,
    { startTime = '100', parentPid = 1, uid = 1000, sessionId = pid } = {},
  ): ProcessPeer {
    this.#made.set(pid, { pid, parentPid, sessionId, startTime, ended: false, uid })
    return { pid, uid, gid: uid, startTime, sessionId }
  }

  /** @param zombie Its parent has not looked yet. */
  exit(pid: number, { zombie = false } = {}): void {
    const made = this.#made.get(pid)
    if (zombie && made !== undefined) this.#made.set(pid, { ...made, ended: true })
    else this.#made.delete(pid)
  }

  read(pid: number): ProcessFacts | undefined {
    this.reads += 1
    return this.exhausted ? undefined : this.#made.get(pid)
  }

  owner(pid: number) {
    const uid = this.#made.get(pid)?.uid
    return uid === undefined ? undefined : { uid, nsPid: pid }
  }

  program(pid: number): string {
    return this.programs.get(pid) ?? '1:1'
  }

  readable(): boolean {
    return !this.exhausted
  }

  bootId(): string {
    return 'this boot'
  }
}

export class FakeClock implements Clock {
  #wall = Date.parse('2026-01-01T00:00:00Z')
  #mono = 5_000

  readonly now = (): number => this.#wall
  readonly monotonic = (): number => this.#mono

  pass(ms: number): void {
    this.#wall += ms
    this.#mono += ms
  }

  setBack(ms: number): void {
    this.#wall -= ms
  }
}

export function claimOf(peer: ProcessPeer, clock: Clock, facts: Partial<Claim> = {}): Claim {
  return {
    id: `jti_${peer.pid}_${peer.startTime}`,
    agentId: 'a',
    agentName: 'reviewer',
    agentRole: 'code-review',
    capabilities: ['read'],
    session: 'sess_1',
    scope: 'process',
    pid: peer.pid,
    startTime: peer.startTime,
    uid: peer.uid,
    issuedAtMs: clock.now(),
    expiresAtMs: clock.now() + 3_600_000,
    ...facts,
  }
}
