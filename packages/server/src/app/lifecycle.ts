/** Sealed and unsealed: everything that begins with the keys, and ends with them. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Lifecycle } from '../admin/deps.ts'
import { recheckSessions } from '../identity/session-check.ts'
import { inForce, setDigest } from '../policy/engine.ts'
import type { RowKeys } from '../seal/row-mac.ts'
import type { Parts } from './assemble.ts'
import { backup } from './backup.ts'
import type { GatewayPart } from './gateway-parts.ts'
import type { LlmPart } from './llm-parts.ts'
import { note } from './note.ts'
import { PolicyReload } from './policy-reload.ts'
import { checkRestored, forgetRestored } from './restored.ts'
import type { RunsPart } from './runs-part.ts'
import type { RuntimePart } from './runtime-part.ts'
import { keepServerKey } from './server-key.ts'
import { StoreHeads } from './store-heads.ts'
import type { TelemetryPart } from './telemetry-part.ts'
import { TermRotation } from './term-rotation.ts'
import { Workers } from './workers.ts'

export interface RunningLifecycle extends Lifecycle {
  /** Seals and ends the workers. */
  stop(): Promise<void>
}

export function createLifecycle(
  parts: Parts,
  options: {
    gateway: GatewayPart
    runs: RunsPart
    llm: LlmPart
    telemetry: TelemetryPart
    runtime: RuntimePart
    acceptRollback: boolean
    describe: () => Promise<Record<string, unknown>>
    /** Called when the vault was opened or sealed. */
    onState: () => void
  },
): RunningLifecycle {
  const { audit, seal, store, policy, policies, leases, sessions, vault } = parts
  /** Work of the sealing itself still needs the keys that nobody else gets any more. */
  let lastKeys: RowKeys | undefined
  const heads = new StoreHeads({
    store,
    keys: () => lastKeys ?? seal.keys,
    audit,
    node: `${parts.podName}:${parts.home.dir}`,
    policySet: async () => setDigest(inForce(await policies.list())),
    areThoseOf: (digest) => policies.areThoseOf(digest),
  })
  const reload = new PolicyReload(policy, policies)
  const terms = new TermRotation(parts)
  const workers = new Workers(parts, heads, terms, async () => {
    await options.gateway.prune()
    await options.runs.prune()
    await options.runtime.prune()
  })
  let acceptRollback = options.acceptRollback
  let leftOversClosed = false
  let open = false
  let opening: Promise<void> | undefined
  let sealing: Promise<void> | undefined
  policy.close('the vault is sealed')

  const checkStore = async (): Promise<void> => {
    const restored = checkRestored(parts.home, seal.keys.serverKey)
    await checkRows()
    if (!restored) return
    // Some of them may have been closed since the backup was made.
    await options.runs.runs.closeAll()
    forgetRestored(parts.home)
  }

  const checkRows = async (): Promise<void> => {
    // An operator whose row was altered could not log in to be told so.
    await parts.operators.list({ revoked: true })
    const check = async () => {
      await heads.compare()
      await store.verifyRows()
    }
    if (!acceptRollback) return check()
    await policies.list() // what accepts a rollback accepts no altered row
    const found = await check().then(
      () => undefined,
      (error: unknown) => asVestryError(error),
    )
    await store.adoptRows()
    await heads.adopt()
    acceptRollback = false
    if (found === undefined) return
    await audit.append(
      {
        ...note('vault.rollback_accepted', found.message),
        data: { code: found.code, generation: await store.generation() },
      },
      'synced',
    )
  }

  /** Nothing is served before all of it has held: policies come last, and without them all is denied. */
  const openUp = async (): Promise<void> => {
    try {
      const { keys } = seal
      /** Sealed meanwhile, be it that it was opened again: what was set up before that is gone. */
      const assertSame = (): void => {
        if (seal.keys !== keys) throw new VestryError('VAULT_LOCKED')
      }
      await checkStore()
      audit.setSigner(seal.keys.serverKey)
      if (!leftOversClosed) await closeLeftOvers(parts)
      leftOversClosed = true
      await reload.load()
      await policies.keepCurrent()
      await options.runs.open()
      await options.gateway.open()
      await options.telemetry.open()
      await options.runtime.open()
      const state = await heads.state()
      assertSame()
      await audit.append({ ...note('vault.unseal', 'the vault is open'), data: state }, 'synced')
      await heads.keep(audit.head())
      keepServerKey(parts.home, seal.keys.serverKey.publicKey)
      assertSame()
    } catch (error) {
      reload.stop('the vault was not opened')
      options.runs.close()
      await closeWires()
      await seal.seal('refused')
      dropKeys()
      throw error
    }
    open = true
    workers.start()
    options.onState()
  }

  /** What a sealing still clears away must not be what this opens. */
  const afterSealing = async (): Promise<void> => {
    await sealing?.catch(() => undefined)
    await openUp()
  }

  const closeWires = () =>
    Promise.all([
      options.gateway.close(),
      options.llm.close(),
      options.telemetry.close(),
      options.runtime.close(),
    ])

  const dropKeys = (): void => {
    audit.setSigner(undefined)
    parts.agents.drop()
    parts.apiKeys.drop()
    parts.credentials.drop()
    parts.egressPool.drop()
  }

  /** Runs while the keys still work, and has a second for it. */
  seal.onSeal(async (reason) => {
    await audit.append({ ...note('vault.seal', 'sealing'), data: { reason } }, 'synced')
    await audit.flush()
    await heads.keep(audit.head())
  })

  const sealNow = async (reason: string): Promise<void> => {
    // An unseal that began before this order is not to open the vault after it.
    if (seal.state !== 'unsealed') return void (await seal.seal(reason))
    open = false
    lastKeys = seal.keys
    const stopped = workers.stop()
    leases.revoke({}, 'sealed', vault.now())
    sessions.endAll('sealed')
    vault.wraps.clear()
    options.runs.close()
    reload.stop('the vault is sealed')
    const wiresClosed = closeWires()
    const flushed = parts.leaseRows.flush().catch(() => undefined)
    try {
      // From this call on everybody else gets VAULT_LOCKED.
      const wiped = seal.seal(reason)
      dropKeys()
      await wiped
    } finally {
      lastKeys = undefined
      // Once more: what was in flight may have come back to a cache meanwhile.
      dropKeys()
      options.onState()
    }
    await Promise.all([stopped, flushed, wiresClosed])
  }

  /** Every order counts: the vault may have been opened again while the last one was still clearing up. */
  const sealInTurn = (reason: string): Promise<void> => {
    const both = Promise.all([sealing, sealNow(reason)])
      .then(() => undefined)
      .finally(() => {
        if (sealing === both) sealing = undefined
      })
    sealing = both
    return both
  }
  seal.sealThrough(sealInTurn)

  store.onChange((tables) => {
    if (!open) return
    options.gateway.onChange(tables)
    options.runs.onChange(tables)
    options.llm.onChange(tables)
    options.telemetry.onChange(tables)
    options.runtime.onChange(tables)
    // What another node changed must hold here from the next request on.
    if (tables.includes('policy')) reload.load().catch(() => undefined) // closed, and retried
    if (tables.includes('agent')) void recheckAgents(parts)
    if (tables.includes('operator')) void recheckOperators(parts)
  })

  return {
    unsealed: () => {
      if (open) return Promise.resolve()
      opening ??= afterSealing().finally(() => {
        opening = undefined
      })
      return opening
    },
    seal: sealInTurn,
    reloadPolicies: async () => {
      await reload.settled()
      if (parts.config.vault.revoke_on_policy_change)
        leases.revoke({}, 'policy_changed', vault.now())
    },
    startRewrap: () => terms.startRewrap(),
    backup: (directory, by) => backup(parts, directory, by),
    storeHead: () => heads.kept(),
    describe: options.describe,
    stop: async () => {
      await opening?.catch(() => undefined)
      try {
        await sealInTurn('shutdown')
      } finally {
        reload.stop('the daemon has stopped')
        await workers.stop()
      }
    },
  }
}

async function recheckAgents({ sessions, agents, leases, vault }: Parts): Promise<void> {
  try {
    await recheckSessions(sessions, agents)
    // Leases outlive sessions, so their holders are asked for too.
    for (const agentId of new Set(leases.list({}).map((lease) => lease.agentId))) {
      if ((await agents.byId(agentId))?.status !== 'enabled')
        leases.revoke({ agentId }, 'agent_revoked', vault.now())
    }
  } catch {
    // Nobody can be told from somebody who was revoked.
    sessions.endWhere(({ principal }) => principal.kind === 'agent', 'revoked')
  }
}

async function recheckOperators({ sessions, operators }: Parts): Promise<void> {
  const enabled = await operators.list().then(
    (all) => new Set(all.filter(({ status }) => status === 'enabled').map(({ id }) => id)),
    () => new Set<string>(),
  )
  sessions.endWhere(
    ({ principal }) => principal.kind === 'operator' && !enabled.has(principal.operator.id),
    'revoked',
  )
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
