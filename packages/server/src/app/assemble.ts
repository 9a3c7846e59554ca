/** Puts the stations together from a configuration. Opens the log and the store; listens to nothing yet. */
import { readFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { basename, dirname, isAbsolute } from 'node:path'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import type { AdminDeps, Lifecycle } from '../admin/deps.ts'
import { AuditIndex } from '../audit/audit-index.ts'
import { AuditLog } from '../audit/log.ts'
import { takeWriterLock } from '../audit/writer-lock.ts'
import { Approvals } from '../call/approval.ts'
import type { Stations } from '../call/perform.ts'
import { Taint } from '../call/taint.ts'
import { type AddressRules, type Listener, parseCidr } from '../egress/addresses.ts'
import { EgressPool } from '../egress/pool.ts'
import { systemResolver } from '../egress/resolve.ts'
import { AgentStore } from '../identity/agent-store.ts'
import { ApiKeyStore } from '../identity/api-key-store.ts'
import { Authenticator } from '../identity/authenticate.ts'
import { ChallengeBook } from '../identity/challenge.ts'
import { systemClock } from '../identity/clock.ts'
import { OperatorStore } from '../identity/operator-store.ts'
import { rowGuard } from '../identity/row-guard.ts'
import { type EndReason, type Session, SessionBook } from '../identity/session.ts'
import { Limits } from '../limits/limits.ts'
import { RefusalSummaries } from '../limits/summary.ts'
import { PolicyEngine } from '../policy/engine.ts'
import { PolicyStore } from '../policy/policy-store.ts'
import { Seal } from '../seal/seal.ts'
import { openStore, type Store } from '../store/store.ts'
import { CredentialStore } from '../vault/credential-store.ts'
import { LeaseBook } from '../vault/lease-book.ts'
import { LeaseRows } from '../vault/lease-rows.ts'
import type { Vault } from '../vault/vault.ts'
import {
  DEFAULT_AGENT_REQUESTS,
  DEFAULT_AUTHENTICATE,
  type RequestRate,
  VaultLimits,
} from '../vault/vault-limits.ts'
import { WrapBook } from '../vault/wrap-book.ts'
import type { Config } from './config.ts'
import { type GuardedStore, guardStore } from './guarded-store.ts'
import type { Home } from './home.ts'

export interface Parts {
  readonly config: Config
  readonly home: Home
  readonly dev: boolean
  readonly podName: string
  readonly store: GuardedStore
  readonly audit: AuditLog
  readonly seal: Seal
  readonly policy: PolicyEngine
  readonly policies: PolicyStore
  readonly agents: AgentStore
  readonly operators: OperatorStore
  readonly apiKeys: ApiKeyStore
  readonly sessions: SessionBook
  readonly credentials: CredentialStore
  readonly leases: LeaseBook
  readonly leaseRows: LeaseRows
  readonly limits: Limits
  readonly egressPool: EgressPool
  readonly vault: Vault
  readonly auditIndex: AuditIndex
  readonly refusals: RefusalSummaries<{ actor: string; scope: string }>
  /** TCP addresses this daemon listens on; egress never connects to them. */
  readonly ownListeners: Listener[]
  adminDeps(lifecycle: Lifecycle): AdminDeps
}

export async function openAudit(
  home: Home,
  config: Config,
  acceptRollback: boolean,
): Promise<AuditLog> {
  return AuditLog.open({
    dir: home.audit,
    podName: podName(config),
    now: Date.now,
    acceptTruncated: acceptRollback,
    limits: {
      segmentBytes: config.audit.rotate_bytes,
      segmentMs: config.audit.rotate_hours * 3_600_000,
    },
  })
}

/**
 * A SQLite file is one daemon's own: two of them would not hear of each other's changes.
 * @throws VestryError INSTANCE_RUNNING while another process has it open.
 */
export async function openHomeStore(
  home: Home,
  config: Config,
  url: string | undefined,
): Promise<Store> {
  const chosen = url ?? config.store.url ?? `sqlite:${home.store}`
  if (!chosen.startsWith('sqlite:')) return openStore(chosen)
  const path = chosen.slice('sqlite:'.length)
  using lock = new DisposableStack()
  if (isAbsolute(path)) lock.use(lockStore(path))
  const store = await openStore(chosen)
  const held = lock.move()
  return {
    ...store,
    close: async () => {
      await store.close()
      held.dispose()
    },
    [Symbol.asyncDispose]: async () => {
      await store.close()
      held.dispose()
    },
  }
}

function lockStore(path: string): Disposable {
  try {
    return takeWriterLock(dirname(path), `${basename(path)}.lock`)
  } catch (cause) {
    const { code } = asVestryError(cause)
    throw code === 'INSTANCE_RUNNING'
      ? new VestryError(code, `the store ${path} is in use by another daemon`, {
          hint: 'Stop that daemon first, or use another --home or --store',
          cause,
        })
      : new VestryError(
          'STORE_UNAVAILABLE',
          `the store ${path} cannot be locked: ${(cause as Error).message}`,
          { hint: 'Check that its directory exists and is writable', cause },
        )
  }
}

export async function assemble(input: {
  home: Home
  config: Config
  dev: boolean
  audit: AuditLog
  store: Store
  acceptRollback: boolean
  warn: (line: string) => void
  onSessionEnd: (session: Session, reason: EndReason) => void
  /** Asked when agents join runs, which is later than this. */
  runs: Vault['runs']
}): Promise<Parts> {
  const { home, config, dev, audit } = input
  const now = Date.now
  const monotonic = () => performance.now()
  const openKeys = () => (seal.state === 'unsealed' ? seal.keys : undefined)
  const store = guardStore(input.store, openKeys, { lenient: input.acceptRollback })
  const seal: Seal = await Seal.open(store, { now })
  const guard = rowGuard(() => seal.keys)
  const agents = new AgentStore({ store, guard, now, trustDomain: config.identity.trust_domain })
  const operators = new OperatorStore({ store, guard, now })
  const apiKeys = new ApiKeyStore({ store, guard, agents, hashKey: () => seal.keys.hashKey, now })
  const taint = new Taint({ store, now, warn: input.warn })
  await taint.load()
  const policy = new PolicyEngine((txn) => taint.of(txn))
  const policies = new PolicyStore({
    store,
    ...guard,
    now,
    maxTtl: config.vault.max_ttl,
    timezone: config.gateway.default_timezone,
    boundPaths: () => pathsWithHosts(credentials),
  })
  const limits = new Limits({ store, now, monotonic })
  const refusals = new RefusalSummaries<{ actor: string; scope: string }>({
    now,
    emit: ({ count, detail, firstMs, lastMs }) => {
      const entry = {
        action: 'ratelimit.summary',
        phase: 'single' as const,
        detail: `${count} refused`,
        success: false,
        actor: detail.actor,
        source: 'vault' as const,
        data: {
          scope: detail.scope,
          count,
          first: new Date(firstMs).toISOString(),
          last: new Date(lastMs).toISOString(),
        },
      }
      audit.append(entry, 'written').catch(() => undefined) // said by the log's own state
    },
  })
  const refused = (actor: string, scope: string): void =>
    refusals.add(`${actor} ${scope}`, { actor, scope })
  const sessions = new SessionBook({
    clock: systemClock,
    limits: {
      idleSeconds: config.vault.session_idle,
      maxSeconds: config.vault.session_max,
      perAgent: config.vault.sessions_per_agent,
    },
    onEnd: input.onSessionEnd,
  })
  const serverKey = () => seal.keys.serverKey
  const authenticator = new Authenticator({
    book: new ChallengeBook(systemClock),
    sessions,
    lookup: (name) => agents.candidate(name),
    principal: (agent) => ({ kind: 'agent' as const, agent }),
    serverKey,
  })
  const operatorLogin = new Authenticator({
    book: new ChallengeBook(systemClock),
    sessions,
    lookup: (name) => operators.candidate(name),
    principal: (operator) => ({ kind: 'operator' as const, operator }),
    serverKey,
  })
  const credentials = new CredentialStore({ store, keys: () => seal.keys, now })
  const leaseRows = new LeaseRows({ store, node: audit.chain, keys: () => seal.keys, now })
  const leases = new LeaseBook(
    { perAgent: config.vault.leases_per_agent, total: config.vault.leases_total },
    leaseRows,
  )
  const ownListeners: Listener[] = []
  const egressPool = new EgressPool({
    ...(caPem(config) !== undefined && { caPem: caPem(config) as string }),
  })
  const rules = addressRules(config, ownListeners)
  const stations: Stations = {
    policy,
    limits,
    approvals: new Approvals(store, guard, now),
    taint,
    audit,
    refused,
    now,
  }
  const vault: Vault = {
    version: VERSION,
    settings: {
      rawRetrieval: config.vault.raw_retrieval,
      compatRust: config.vault.compat_rust,
      leases: {
        defaultTtl: config.vault.default_ttl,
        maxTtl: config.vault.max_ttl,
        maxLifetime: config.vault.max_lifetime,
      },
      egressTimeoutMs: config.egress.timeout_ms,
    },
    seal,
    stations,
    agents,
    authenticator,
    sessions,
    credentials,
    leases,
    wraps: new WrapBook(),
    limits: new VaultLimits({
      limits,
      settings: {
        agentRequests: requestRate(config.limits.agent_requests, DEFAULT_AGENT_REQUESTS, dev),
        authenticate: requestRate(config.limits.authenticate, DEFAULT_AUTHENTICATE, dev),
        httpRequestsPerAgent: config.vault.http_requests_per_agent,
        requestsInFlight: config.vault.requests_in_flight,
        lockoutMode: config.vault.lockout_mode,
      },
      monotonic,
      onRefused: refused,
    }),
    egress: {
      deps: {
        pool: egressPool,
        resolver: systemResolver,
        rules,
        userAgent: `sanctum-vault/${VERSION}`,
        now,
      },
      dropCredential: (path) => egressPool.dropCredential(path),
    },
    runs: input.runs,
    now,
  }
  const auditIndex = new AuditIndex({
    store,
    dir: home.audit,
    node: audit.chain,
    through: () => audit.head().seq,
  })
  return {
    config,
    home,
    dev,
    podName: podName(config),
    store,
    audit,
    seal,
    policy,
    policies,
    agents,
    operators,
    apiKeys,
    sessions,
    credentials,
    leases,
    leaseRows,
    limits,
    egressPool,
    vault,
    auditIndex,
    refusals,
    ownListeners,
    adminDeps: (lifecycle) => ({
      vault,
      store,
      operators,
      authenticator: operatorLogin,
      apiKeys,
      policies,
      auditIndex,
      leaseRows,
      lifecycle,
    }),
  }
}

/** Paths of the credentials that list hosts of their own. */
async function pathsWithHosts(credentials: CredentialStore): Promise<string[]> {
  const paths: string[] = []
  for await (const { path, settings } of credentials.all()) {
    if (settings.allowed_hosts !== undefined && settings.allowed_hosts.length > 0) paths.push(path)
  }
  return paths
}

function podName({ telemetry }: Config): string {
  return telemetry.pod_name ?? hostname()
}

/** `--dev` lifts request rates nobody configured; lockouts, policy rates and quotas stay. */
export function requestRate(
  configured: { per_second: number; burst: number } | undefined,
  standard: RequestRate,
  dev: boolean,
): RequestRate | undefined {
  if (configured !== undefined) return { perSecond: configured.per_second, burst: configured.burst }
  return dev ? undefined : standard
}

export function caPem({ egress }: Config): string | undefined {
  if (egress.ca_file === undefined) return undefined
  try {
    return readFileSync(egress.ca_file, 'utf8')
  } catch (cause) {
    throw new VestryError(
      'CONFIG_INVALID',
      `egress.ca_file cannot be read: ${(cause as Error).message}`,
      { cause },
    )
  }
}

function addressRules({ egress }: Config, ownListeners: readonly Listener[]): AddressRules {
  return {
    holes: egress.allow_cidrs.map((text) => parseCidr(text)),
    ownListeners: () => ownListeners,
    localAddresses: () =>
      Object.values(networkInterfaces()).flatMap((list) =>
        (list ?? []).map(({ address }) => address),
      ),
  }
}
