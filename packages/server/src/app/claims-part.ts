/**
 * Puts claims together: who each process is, the socket where that is said, and the verbs of operators. Works
 * while sealed for what was claimed before; nothing new is claimed then.
 */

import { claimVerbs } from '../admin/claims.ts'
import { execVerbs } from '../admin/exec.ts'
import type { AdminVerb } from '../admin/verb.ts'
import { ClaimBook } from '../identity/claims/claim-book.ts'
import { ClaimDesk } from '../identity/claims/claim-desk.ts'
import { ClaimStore } from '../identity/claims/claim-store.ts'
import { ClaimTermsStore } from '../identity/claims/claim-terms-store.ts'
import { Executables } from '../identity/claims/executable.ts'
import { ExpectedUids } from '../identity/claims/expected-uids.ts'
import { processTable } from '../identity/claims/process-table.ts'
import type { ClaimResolver } from '../identity/claims/resolution.ts'
import { StartedProcesses } from '../identity/claims/started-processes.ts'
import { systemClock } from '../identity/clock.ts'
import { peersUnavailable } from '../identity/peer.ts'
import { rowGuard } from '../identity/row-guard.ts'
import type { BucketLimit } from '../limits/bucket.ts'
import { IdentityServer } from '../telemetry/identity-socket/server.ts'
import type { Pod } from '../telemetry/pod.ts'
import type { Parts } from './assemble.ts'

export interface ClaimsPart {
  readonly resolver: ClaimResolver
  readonly desk: ClaimDesk
  readonly verbs: readonly AdminVerb[]
  /** Live claims of this node. */
  count(): number
  /** Why nobody can claim anything on this machine; undefined where they can. */
  readonly unavailable: string | undefined
  /** Once for each path. @throws VestryError CONFIG_INVALID, INSTANCE_RUNNING */
  listen(path: string, mode: number): Promise<void>
  /** The vault is open. */
  open(): Promise<void>
  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void
  /** Requests under way get this long. */
  drain(budgetMs: number): Promise<void>
}

/** How soon it is noticed that a process is gone, or a claim over, when nobody asks. */
const CHECK_EVERY_MS = 500
/** Requests of one uid on the identity socket, whatever they ask. */
const REQUESTS = { perSecond: 50, burst: 100 }

export function assembleClaims(
  parts: Parts,
  options: {
    pod: () => Promise<Pod>
    onClaim: (outcome: 'granted' | 'refused') => void
    warn: (line: string) => void
  },
): ClaimsPart {
  const { config, store, seal, agents, audit, limits, vault } = parts
  const { telemetry } = config
  const { now } = vault
  const guard = rowGuard(() => seal.keys)
  const terms = new ClaimTermsStore({ store, guard, now })
  const bootId = processTable.bootId()
  const rows = new ClaimStore({ store, guard, node: audit.chain, bootId, now })
  const expectedUids = new ExpectedUids(process.getuid?.() ?? 0)
  const started = new StartedProcesses({
    processes: processTable,
    monotonicMs: () => performance.now(),
  })
  const book = new ClaimBook({
    processes: processTable,
    clock: systemClock,
    onEnd: (claim, reason) => desk.ended(claim, reason),
  })
  const claimRate = (who: string): BucketLimit => ({
    kind: 'bucket',
    key: `claim:${who}`,
    scope: 'claim',
    perSecond: telemetry.claims_per_minute / 60,
    burst: telemetry.claims_per_minute,
  })
  const desk = new ClaimDesk({
    book,
    rows,
    terms,
    agents,
    audit,
    executables: new Executables(),
    expectedUids,
    pod: options.pod,
    signingKey: () => (seal.state === 'unsealed' ? seal.keys.serverKey.privateKey : undefined),
    takeRate: (uid) => takes(claimRate(nameOf(uid))),
    tooFast: (uid) => vault.stations.refused(nameOf(uid), 'claim'),
    now,
  })
  const takes = (bucket: BucketLimit): boolean => {
    try {
      limits.take(bucket)
      return true
    } catch {
      return false
    }
  }
  agents.onUpdate((agent) => desk.agentChanged(agent))
  const server = new IdentityServer({
    desk,
    book,
    pod: options.pod,
    takeRequest: (uid) =>
      takes({ kind: 'bucket', key: `identity:${nameOf(uid)}`, scope: 'identity', ...REQUESTS }),
    connections: telemetry.connections,
    onClaim: options.onClaim,
    onInternalError: (error) =>
      options.warn(`internal error on the identity socket: ${traceOf(error)}`),
  })
  let checking: NodeJS.Timeout | undefined
  const recheck = (): void => {
    desk.recheck().catch((error: unknown) => {
      // Sealed in the meantime: it is done when the vault is opened.
      if (seal.state === 'unsealed')
        options.warn(`internal error while looking after claims: ${traceOf(error)}`)
    })
  }
  return {
    resolver: book,
    desk,
    verbs: [
      ...claimVerbs({ desk, terms, node: audit.chain }),
      ...execVerbs({
        desk,
        terms,
        expectedUids,
        started,
        publicKey: () => seal.keys.serverKey.publicKey,
        warn: options.warn,
      }),
    ],
    count: () => book.size,
    unavailable: peersUnavailable(),
    listen: async (path, mode) => {
      await server.listen(path, mode)
      checking ??= setInterval(() => book.check(), CHECK_EVERY_MS).unref()
    },
    open: () => desk.open(),
    onChange: (tables) => {
      if (['claim', 'claim_terms', 'agent'].some((name) => tables.includes(name))) recheck()
    },
    drain: async (budgetMs) => {
      await server.close(budgetMs)
      clearInterval(checking)
      started[Symbol.dispose]()
    },
  }
}

function nameOf(uid: number | undefined): string {
  return uid === undefined ? 'uid:unknown' : `uid:${uid}`
}

function traceOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
