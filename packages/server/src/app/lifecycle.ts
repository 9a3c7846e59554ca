/** Unsealed and sealed: everything that begins with the keys, and ends with them. */
import type { Lifecycle } from '../admin/deps.ts'
import type { AuditEntry } from '../audit/record.ts'
import { hmacTag } from '../seal/hash.ts'
import type { Parts } from './assemble.ts'
import { backup } from './backup.ts'
import { StoreHeads } from './store-heads.ts'

const EXPIRE_EVERY_MS = 250
const SWEEP_EVERY_MS = 1_000
const PRUNE_EVERY_MS = 60_000
/** Lease ids named in one record of expiry. */
const NAMED_LEASES = 100

export interface RunningLifecycle extends Lifecycle {
  /** Ends the workers and, when unsealed, seals. */
  stop(): Promise<void>
}

export function createLifecycle(
  parts: Parts,
  options: { acceptRollback: boolean; describe: () => Record<string, unknown> },
): RunningLifecycle {
  const { audit, seal, store, policy, policies, leases, sessions, vault } = parts
  const heads = new StoreHeads(store, () => seal.keys, audit.chain)
  const workers = new Workers()
  let acceptRollback = options.acceptRollback
  let rewrapping = false

  const reloadPolicies = async (): Promise<void> => {
    policy.load(await policies.list())
  }

  const onUnsealed = async (): Promise<void> => {
    try {
      await reloadPolicies()
      if (acceptRollback) {
        await audit.append(
          note('vault.rollback_accepted', 'an older store or log was accepted'),
          'synced',
        )
        acceptRollback = false
      } else {
        await heads.compare(audit, policy.digest)
      }
    } catch (error) {
      policy.close('the vault was not opened')
      await seal.seal('refused')
      throw error
    }
    audit.setSigner(seal.keys.serverKey)
    await closeLeftOvers(parts)
    const generation = await store.generation()
    await audit.append(
      {
        ...note('vault.unseal', 'the vault is open'),
        data: { generation, policy_set: policy.digest },
      },
      'synced',
    )
    workers.start(parts, heads)
  }

  const sealNow = async (reason: string): Promise<void> => {
    if (seal.state !== 'unsealed') return
    await audit
      .append({ ...note('vault.seal', 'sealing'), data: { reason } }, 'synced')
      .catch(() => undefined)
    await workers.stop()
    // Whatever fails on the way, the keys are wiped.
    try {
      leases.revoke({}, 'sealed', vault.now())
      sessions.endAll('sealed')
      vault.wraps.clear()
      policy.close('the vault is sealed')
      await parts.leaseRows.flush().catch(() => undefined)
    } finally {
      audit.setSigner(undefined)
      await seal.seal(reason)
      parts.agents.drop()
      parts.apiKeys.drop()
      parts.credentials.drop()
      parts.egressPool.drop()
    }
  }

  return {
    unsealed: onUnsealed,
    seal: sealNow,
    reloadPolicies: async () => {
      await reloadPolicies()
      if (parts.config.vault.revoke_on_policy_change)
        leases.revoke({}, 'policy_changed', vault.now())
    },
    startRewrap: () => {
      if (rewrapping) return
      rewrapping = true
      rewrapAll(parts)
        .catch(() => undefined) // resumed by the next rotation or start; nothing is lost meanwhile
        .finally(() => {
          rewrapping = false
        })
    },
    backup: (directory, by) => backup(parts, directory, by),
    storeHead: () => heads.kept(),
    describe: options.describe,
    stop: async () => {
      await sealNow('shutdown')
      await workers.stop()
    },
  }
}

/** What a crash left open: intents without outcome, and leases nobody holds any more. */
async function closeLeftOvers({ audit, leaseRows }: Parts): Promise<void> {
  for (const intent of audit.openIntents()) {
    const {
      v: _v,
      seq: _s,
      timestamp: _t,
      pod_name: _p,
      prev: _pr,
      hash: _h,
      decision: _d,
      ...entry
    } = intent
    await audit.append(
      {
        ...entry,
        phase: 'outcome',
        success: false,
        detail: `${intent.detail}: interrupted, outcome unknown`,
        outcome: { code: 'INTERRUPTED', duration_ms: 0 },
      },
      'written',
    )
  }
  const count = await leaseRows.closeLeftOvers()
  if (count > 0) {
    await audit.append(
      {
        ...note('lease.revoke', `${count} leases ended by the restart`),
        data: { reason: 'restart', count },
      },
      'written',
    )
  }
}

/** Re-wraps every data key under the newest term; a stop in between loses nothing. */
async function rewrapAll({ credentials, seal, audit }: Parts): Promise<void> {
  let after: { path: string; version: number } | undefined
  let total = 0
  do {
    if (seal.state !== 'unsealed') return
    const { rewrapped, next } = await credentials.rewrapSome(after)
    total += rewrapped
    after = next
  } while (after !== undefined)
  await audit.append(
    { ...note('vault.rotate_term', `${total} data keys re-wrapped`), data: { rewrapped: total } },
    'written',
  )
}

class Workers {
  #timers: NodeJS.Timeout[] = []
  #stops: (() => unknown)[] = []

  start(parts: Parts, heads: StoreHeads): void {
    const { audit, leases, sessions, vault, limits } = parts
    this.#every(EXPIRE_EVERY_MS, () => recordExpiry(parts, leases.expire(vault.now())))
    this.#every(SWEEP_EVERY_MS, () => {
      sessions.sweep()
      vault.wraps.expire(vault.now())
      return Promise.resolve()
    })
    this.#every(PRUNE_EVERY_MS, () => limits.prune())
    const index = parts.auditIndex.start()
    this.#stops.push(() => index[Symbol.asyncDispose]())
    this.#stops.push(audit.onCheckpoint((head) => void heads.keep(head).catch(() => undefined)))
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    for (const stop of this.#stops.splice(0)) await stop()
  }

  /** One at a time, and a failure is for the next turn to mend. */
  #every(ms: number, run: () => Promise<void>): void {
    let running = false
    const timer = setInterval(() => {
      if (running) return
      running = true
      run()
        .catch(() => undefined)
        .finally(() => {
          running = false
        })
    }, ms)
    this.#timers.push(timer.unref())
  }
}

async function recordExpiry(
  { audit, seal }: Parts,
  expired: readonly { id: string; path: string; agentId: string }[],
): Promise<void> {
  if (expired.length === 0 || seal.state !== 'unsealed') return
  const { hashKey } = seal.keys
  const named = expired.slice(0, NAMED_LEASES).map(({ id }) => hmacTag(hashKey, id))
  await audit.append(
    {
      ...note('lease.expire', `${expired.length} leases expired`),
      data: { count: expired.length, leases: named },
    },
    'written',
  )
}

export function note(action: string, detail: string): AuditEntry {
  return { action, phase: 'single', detail, success: true, actor: 'system', source: 'host' }
}
