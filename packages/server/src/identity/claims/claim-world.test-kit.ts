/** For tests: a desk of claims on a real store, with processes and a clock of the test's making. */

import type { Durability } from '../../audit/log-options.ts'
import type { AuditEntry } from '../../audit/record.ts'
import type { Store } from '../../store/store.ts'
import type { Agent } from '../agent.ts'
import { AgentStore } from '../agent-store.ts'
import { testGuard, testKeyring } from '../test-keys.ts'
import { ClaimBook } from './claim-book.ts'
import { ClaimDesk } from './claim-desk.ts'
import { ClaimStore } from './claim-store.ts'
import { acceptTerms } from './claim-terms.ts'
import { ClaimTermsStore } from './claim-terms-store.ts'
import { FakeClock, FakeProcesses } from './claims.test-kit.ts'
import type { Executable } from './executable.ts'
import { ExpectedUids } from './expected-uids.ts'
import type { ProcessPeer } from './resolution.ts'

/** One for the file, so that several nodes read each other's rows. */
const keyring = testKeyring()
const guard = testGuard(keyring)
export const POD = { id: 'pod_0123456789abcdef', name: 'ledger' }
export const OWN_UID = 1000

export interface ClaimWorld {
  readonly processes: FakeProcesses
  readonly clock: FakeClock
  readonly book: ClaimBook
  readonly desk: ClaimDesk
  readonly agents: AgentStore
  readonly terms: ClaimTermsStore
  readonly rows: ClaimStore
  readonly expectedUids: ExpectedUids
  readonly records: (AuditEntry & { durability: Durability })[]
  readonly publicKey: typeof keyring.serverKey.privateKey
  readonly summaries: (number | undefined)[]
  /** What a process runs; any, where nothing is said. */
  readonly programs: Map<number, Executable>
  sealed: boolean
  auditFails: boolean
  /** Only what is to be on disk at once. */
  syncFails: boolean
  /** Claims that a uid has left in this minute. */
  left: number
  addAgent(name: string, terms?: Record<string, unknown>): Promise<Agent>
  who(peer: ProcessPeer): string
  actions(): string[]
}

export function claimWorld(
  store: Store,
  { clock = new FakeClock(), processes = new FakeProcesses(), node = 'here' } = {},
): ClaimWorld {
  const { now } = clock
  const agents = new AgentStore({ store, guard, now, trustDomain: 'example.org' })
  const terms = new ClaimTermsStore({ store, guard, now })
  const rows = new ClaimStore({ store, guard, node, bootId: processes.bootId(), now })
  const expectedUids = new ExpectedUids(OWN_UID)
  const book = new ClaimBook({
    processes,
    clock,
    onEnd: (claim, reason) => world.desk.ended(claim, reason),
  })
  const world: ClaimWorld = {
    ...{ processes, clock, book, agents, terms, rows, expectedUids },
    records: [],
    summaries: [],
    programs: new Map(),
    publicKey: keyring.serverKey.privateKey,
    sealed: false,
    auditFails: false,
    syncFails: false,
    left: 1_000,
    desk: new ClaimDesk({
      ...{ book, rows, terms, agents, expectedUids, now },
      audit: {
        append: async (entry, durability) => {
          if (world.auditFails || (world.syncFails && durability === 'synced'))
            throw new Error('disk full')
          return world.records.push({ ...entry, durability })
        },
      },
      executables: {
        of: async (pid) =>
          world.programs.get(pid) ?? { path: '/usr/bin/node', sha256: 'ab'.repeat(32) },
      },
      pod: async () => POD,
      signingKey: () => (world.sealed ? undefined : keyring.serverKey.privateKey),
      takeRate: () => {
        world.left -= 1
        return world.left >= 0
      },
      tooFast: (uid) => world.summaries.push(uid),
    }),
    addAgent: async (name, given) => {
      const { value: agent } = await agents.add({ name, role: `${name}-role` })
      if (given !== undefined) await terms.update(agent.id, () => acceptTerms(given))
      return agent
    },
    who: (peer) => {
      const found = book.resolve(peer)
      if (found.kind === 'claimed') return found.claim.agentName
      return found.stale ? 'stale' : 'anonymous'
    },
    actions: () => world.records.map(({ action }) => action),
  }
  agents.onUpdate((agent) => world.desk.agentChanged(agent))
  return world
}
