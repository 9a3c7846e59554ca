/** Puts runs together: their keys, their tokens, the gate, the sockets; and says what ends with a run. */
import { readFileSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import type { Ended, RunDesk } from '../admin/runs.ts'
import { runVerbs } from '../admin/runs.ts'
import type { AdminVerb } from '../admin/verb.ts'
import type { TokenStore } from '../gateway/tokens/token-store.ts'
import type { JoinedRun } from '../identity/authenticate.ts'
import { rowGuard } from '../identity/row-guard.ts'
import type { Run } from '../identity/runs/run.ts'
import { RunGate } from '../identity/runs/run-gate.ts'
import { type PublicKeys, RunKeys } from '../identity/runs/run-keys.ts'
import { newRun } from '../identity/runs/run-registration.ts'
import { RunStore } from '../identity/runs/run-store.ts'
import { type IssuedToken, Svids } from '../identity/runs/svid.ts'
import { TokenService } from '../identity/runs/token-service.ts'
import { Trats } from '../identity/runs/trat.ts'
import { sha256 } from '../identity/runs/verified-tokens.ts'
import type { Parts } from './assemble.ts'
import { externalBundle } from './external-bundle.ts'
import { note } from './note.ts'
import { replaceFile, runEnvironment } from './run-files.ts'
import { RunKeeper } from './run-keeper.ts'

export interface RunsPart {
  readonly gate: RunGate
  readonly service: TokenService
  readonly runs: RunStore
  readonly verbs: readonly AdminVerb[]
  /** The run that an agent of another wire joins. What it takes under the run then ends with it. */
  join(token: string, agentId: string): Promise<JoinedRun>
  /** Public keys, also while sealed. @throws VestryError `VAULT_LOCKED` before the vault was ever open. */
  publicKeys(): PublicKeys
  /** The vault is open. */
  open(): Promise<void>
  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void
  /** Sealed: no key of it stays in memory. */
  close(): void
  prune(): Promise<void>
  /** Sockets close; requests under way get this long. */
  drain(budgetMs: number): Promise<void>
}

const CHECK_EVERY_MS = 1_000
/** What was under way when a run ended may still have taken something; it is looked for this long. */
const WATCH_ENDED_MS = 60_000

export function assembleRuns(
  parts: Parts,
  options: { tokens: () => TokenStore; warn: (line: string) => void },
): RunsPart {
  const { config, home, store, seal, agents, audit, vault } = parts
  const { identity } = config
  const { trust_domain: trustDomain, leeway_seconds: leewaySeconds } = identity
  const { now } = vault
  const node = audit.chain
  const guard = rowGuard(() => seal.keys)
  const llmAudience = identity.llm_audience ?? `spiffe://${trustDomain}/llm-gateway`
  const ttsAudience = identity.tts_audience ?? `spiffe://${trustDomain}/tts`
  const keys = new RunKeys({ store, guard, keys: () => seal.keys, now })
  const runs = new RunStore({ store, guard, now })
  const external = externalBundle(parts)
  const svids = new Svids({
    keys,
    external,
    trustDomain,
    leewaySeconds,
    now,
  })
  const issuer = identity.tts_issuer ?? `https://tts.${trustDomain}`
  const trats = new Trats({ keys, trustDomain, issuer, leewaySeconds, now })
  const common = { svids, trats, runs, agents, runPathPrefix: identity.run_path_prefix, now }
  const gate = new RunGate({ ...common, audience: llmAudience })
  const service = new TokenService({
    ...common,
    gate,
    audit,
    trustDomain,
    audience: ttsAudience,
    maxReplacements: identity.max_replacements,
  })
  const llmSocket = config.llm.socket ?? home.llmSocket

  /** Runs that something on this node was taken under → when to stop looking after them. */
  const joined = new Map<string, number>()
  const endHeld = (id: string): Omit<Ended, 'tokens'> => ({
    sessions: vault.sessions.endWhere(({ txn }) => txn === id, 'run_closed'),
    leases: vault.leases.revoke({ txn: id }, 'run_closed', vault.now()).length,
  })
  const endTaken = async ({ id }: Pick<Run, 'id'>): Promise<Ended> => {
    const held = endHeld(id)
    return { ...held, tokens: await options.tokens().revokeTaken(id) }
  }
  const checkJoined = async (): Promise<void> => {
    for (const [id, until] of joined) {
      const over = await gate.assertOpen(id).then(
        () => false,
        (error: unknown) => error instanceof VestryError && error.code === 'RUN_CLOSED',
      )
      if (!over) continue
      endHeld(id)
      if (now() >= until) joined.delete(id)
      if (until !== Infinity) continue
      joined.set(id, now() + WATCH_ENDED_MS)
      await endTaken({ id })
    }
  }

  const issueSvid = async (
    spiffeId: string,
    audience: string,
    who: { run?: Run; requestId?: string },
  ): Promise<IssuedToken> => {
    const issued = svids.issue(spiffeId, audience, identity.svid_ttl_seconds)
    const { run, requestId } = who
    await audit.append(
      {
        ...note('svid.issue', 'identity token issued'),
        source: 'identity',
        ...(requestId !== undefined && { request_id: requestId }),
        ...(run !== undefined && { txn: run.id }),
        data: { spiffe_id: spiffeId, audience, token_sha256: sha256(issued.token) },
      },
      'synced',
    )
    return issued
  }
  const keeper = new RunKeeper({
    home,
    runs,
    node,
    sealed: () => seal.state !== 'unsealed',
    issueTrat: (runId) => service.issueFor(runId, 'sidecar'),
    issueSvid: async (run, requestId, audience = llmAudience) => {
      // As with the token service: a signature and a record each, for as many audiences as it can think of.
      if (requestId !== undefined) vault.limits.takeAuthenticate(`svid:${run.id}`)
      if ((await agents.byId(run.agentId))?.status !== 'enabled')
        throw new VestryError('IDENTITY_INVALID', 'The agent of this run is not enabled')
      return issueSvid(run.spiffeId, audience, {
        run,
        ...(requestId !== undefined && { requestId }),
      })
    },
    onEnd: (run) => void endTaken(run).catch(() => undefined), // looked for again while it is watched
    warn: options.warn,
    now,
  })

  const close: RunDesk['close'] = async (id) => {
    const changed = await runs.close(id)
    try {
      return { ...changed, ended: await endTaken({ id }) }
    } finally {
      keeper.closed(changed.value)
    }
  }
  /** An agent that is revoked does not come back, so nothing of its runs needs to stay. */
  const closeRevoked = async (): Promise<void> => {
    for (const run of keeper.openRuns()) {
      if ((await agents.byId(run.agentId))?.status !== 'revoked') continue
      const { generation } = await close(run.id)
      await audit.append(
        {
          ...note('run.close', `${run.id} ended with its agent`),
          source: 'identity',
          txn: run.id,
          data: { run_id: run.id, generation, reason: 'agent_revoked' },
        },
        'synced',
      )
    }
  }

  const desk: RunDesk = {
    runs,
    trustDomain,
    llmAudience,
    svidTtlSeconds: identity.svid_ttl_seconds,
    now,
    register: async (given, agent, uid) => {
      const run = newRun(given, {
        agent,
        trustDomain,
        runPathPrefix: identity.run_path_prefix,
        tratTtlSeconds: identity.trat_ttl_seconds,
        node,
        uid,
        nowMs: now(),
      })
      keeper.assertRoom(run.id)
      const changed = await runs.add(run)
      try {
        await keeper.add(run)
      } catch (error) {
        keeper.closed((await runs.close(run.id)).value)
        throw error
      }
      return changed
    },
    close,
    environment: (run) => (run.node === node ? runEnvironment(home, run, llmSocket) : undefined),
    issueTrat: (runId, requestId) => service.issueFor(runId, 'operator', requestId),
    issueSvid: (spiffeId, audience, ttlSeconds) => svids.issue(spiffeId, audience, ttlSeconds),
    trustedKeys: async () => (external === undefined ? undefined : (await external.keys()).length),
    rotateKeys: async (immediately) => {
      const made = await keys.rotate({ immediately })
      publish()
      if (immediately) await keeper.renewAll()
      return made
    },
  }

  let published: PublicKeys | undefined
  const publish = (): void => {
    const next = keys.published()
    const text = JSON.stringify(next)
    if (text === JSON.stringify(published)) return
    published = next
    replaceFile(home.runKeys, text)
  }
  let following: NodeJS.Timeout | undefined
  return {
    gate,
    service,
    runs,
    verbs: runVerbs(desk),
    join: async (token, agentId) => {
      const run = await gate.join(token, agentId)
      joined.set(run.id, Infinity)
      return { txn: run.id, expiresAt: run.expiresAt }
    },
    publicKeys: () => {
      if (seal.state === 'unsealed') publish()
      published ??= keptKeys(home.runKeys)
      return published
    },
    open: async () => {
      await keys.open()
      publish()
      await keeper.open()
      following = setInterval(
        () => void checkJoined().catch(() => undefined),
        CHECK_EVERY_MS,
      ).unref()
    },
    onChange: (tables) => {
      if (tables.includes('agent')) closeRevoked().catch(() => undefined)
      if (tables.includes('run_key'))
        keys
          .reload()
          .then(publish)
          .catch(() => undefined)
      if (tables.includes('run')) {
        // Nobody else writes into a SQLite file, and what was done here is known here.
        if (store.engine === 'postgres') keeper.follow().catch(() => undefined)
        void checkJoined().catch(() => undefined)
      }
    },
    close: () => {
      clearInterval(following)
      keeper.seal()
      joined.clear()
      keys.drop()
      svids.drop()
      trats.drop()
      runs.drop()
    },
    prune: async () => {
      await keys.maintain()
      publish()
      await runs.prune()
    },
    drain: (budgetMs) => keeper.close(budgetMs),
  }
}

/** As they were when the vault was last open. */
function keptKeys(file: string): PublicKeys {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as PublicKeys // our own, in our own home
  } catch (cause) {
    throw new VestryError('VAULT_LOCKED', undefined, { cause })
  }
}
