/** Puts the gateway together, and says what it does when the vault opens, closes and the daemon stops. */
import { randomBytes, randomInt } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import type { AdminVerb } from '../admin/verb.ts'
import { KeptInjections } from '../egress/kept-injections.ts'
import { agentVerbs } from '../gateway/admin/agent-verbs.ts'
import { logVerbs } from '../gateway/admin/log-verbs.ts'
import { policyVerbs } from '../gateway/admin/policy-verbs.ts'
import { toolVerbs } from '../gateway/admin/tool-verbs.ts'
import { Flights } from '../gateway/call/flights.ts'
import type { Answer } from '../gateway/call/outcome.ts'
import { Chaos } from '../gateway/chaos.ts'
import { type Gateway, JOURNAL_KIND } from '../gateway/gateway.ts'
import { jobRunner } from '../gateway/jobs/job-run.ts'
import type { Submitted } from '../gateway/jobs/job-status.ts'
import { defineGatewayMetrics } from '../gateway/metrics.ts'
import { Breakers } from '../gateway/resilience/breakers.ts'
import { ReplyCache } from '../gateway/resilience/reply-cache.ts'
import { TokenDesk } from '../gateway/token-desk.ts'
import {
  DEFAULT_MINTS_PER_MINUTE,
  DEFAULT_REJECTIONS_PER_MINUTE,
  MintLimits,
} from '../gateway/tokens/mint-limits.ts'
import { NonceStore } from '../gateway/tokens/nonce-store.ts'
import { TokenStore } from '../gateway/tokens/token-store.ts'
import { configuredTools } from '../gateway/tools/config-tools.ts'
import { ToolStore } from '../gateway/tools/tool-store.ts'
import { rowGuard } from '../identity/row-guard.ts'
import { Journal } from '../journal/journal.ts'
import type { Registry } from '../metrics/registry.ts'
import { DEFAULT_AGENT_REQUESTS } from '../vault/vault-limits.ts'
import { type Parts, requestRate } from './assemble.ts'

const RECENT_ANSWERS = 10_000
const TICK_MS = 1_000

export interface GatewayPart {
  readonly gateway: Gateway
  readonly verbs: readonly AdminVerb[]
  /** The vault is open and policies are in force. */
  open(): Promise<void>
  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void
  /** Calls under way get this long; nothing new begins. */
  drain(budgetMs: number): Promise<void>
  /** Sealed: nothing of it stays in memory. */
  close(): Promise<void>
  prune(): Promise<void>
  /** For `/ready`: whether calls can be served as far as this knows, and what else there is to say. */
  checks(): Promise<{ able: boolean; facts: Record<string, unknown> }>
}

export function assembleGateway(
  parts: Parts,
  options: {
    registry: Registry
    startedAtMs: number
    draining: () => boolean
    warn: (line: string) => void
  },
): GatewayPart {
  const { config, dev, store, seal, vault, agents, credentials, audit, limits, policies } = parts
  const settings = config.gateway
  if (settings.chaos && !dev) {
    throw new VestryError(
      'CONFIG_INVALID',
      'gateway.chaos injects faults, and this is production',
      {
        hint: 'Start with --dev, or leave it out',
      },
    )
  }
  const { now } = vault
  const guard = rowGuard(() => seal.keys)
  const tools = configuredTools(settings.tools)
  const toolStore = new ToolStore({ store, guard, now, taken: (name) => tools.isFixed(name) })
  const nonces = new NonceStore({ store, now })
  const tokens = new TokenDesk({
    settings,
    production: !dev,
    seal,
    credentials,
    agents,
    store: new TokenStore({ store, guard, now }),
    nonces,
    runs: vault.runs,
    limits: new MintLimits({
      limits,
      settings: {
        mintsPerMinute: dev ? undefined : DEFAULT_MINTS_PER_MINUTE,
        rejectionsPerMinute: DEFAULT_REJECTIONS_PER_MINUTE,
        issueCidrs: settings.token_issue_cidrs,
      },
    }),
    audit,
    metrics: () => gateway.metrics,
    refused: vault.stations.refused,
    now,
    serverZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  })
  const journal = new Journal({
    store,
    keys: () => seal.keys,
    now,
    owner: randomBytes(12).toString('hex'),
    warn: (message, cause) => options.warn(`${message}: ${traceOf(cause)}`),
  })
  const breakers = new Breakers({
    threshold: settings.cb_fail_threshold,
    windowMs: settings.cb_window_ms,
    openMs: settings.cb_open_ms,
    concurrency: settings.cb_bulkhead_concurrency,
  })
  let jobs = { queued: 0, running: 0 }
  const metrics = defineGatewayMetrics(options.registry, {
    tools: () => tools.list(),
    isTool: (tool, action) => tools.find(tool, action) !== undefined,
    breakerState: (tool) => breakers.state(tool, now()),
    jobs: () => jobs,
    startedAtMs: options.startedAtMs,
    legacyAliases: settings.metrics_legacy_aliases,
  })
  const ending = new AbortController()
  const gateway: Gateway = {
    settings,
    dev,
    stations: vault.stations,
    seal,
    agents,
    credentials,
    egress: { ...vault.egress.deps, userAgent: '4Runr-Gateway/1.0' },
    injections: new KeptInjections(),
    tools,
    tokens,
    journal,
    breakers,
    cache: new ReplyCache({ maxEntries: settings.cache_max_size }),
    recent: new ReplyCache({ maxEntries: RECENT_ANSWERS }),
    chaos: new Chaos({
      background: settings.chaos,
      random: () => randomInt(1_000_000) / 1_000_000,
      onInjected: (tool, mode) => metrics.chaos(tool, mode),
    }),
    flights: new Flights<Answer>(),
    submissions: new Flights<Submitted>(),
    requestRate: requestRate(config.limits.agent_requests, DEFAULT_AGENT_REQUESTS, dev),
    metrics,
    draining: options.draining,
    ending: ending.signal,
    now,
    onInternalError: (requestId, error) =>
      options.warn(`internal error in ${requestId}: ${traceOf(error)}`),
  }
  journal.register(JOURNAL_KIND, jobRunner(gateway))

  const readTools = async (): Promise<void> => {
    const { tools: added, refused } = await toolStore.load()
    for (const hidden of tools.replaceOperatorTools(added))
      options.warn(`tool '${hidden}' is hidden by a built-in or configured tool of that name`)
    for (const { name, problem } of refused)
      options.warn(`tool '${name}' cannot be used: ${problem}; add it again`)
  }
  let reading: Promise<void> = Promise.resolve()
  /** One at a time: the last one to end is the last one that read. */
  const loadTools = (): Promise<void> => {
    const mine = reading.then(readTools)
    reading = mine.catch(() => undefined)
    return mine
  }
  let toolsUnknown = false
  /** What cannot be read may have been taken away, so none of it is served until it can be. */
  const followTools = async (): Promise<void> => {
    toolsUnknown = false
    try {
      await loadTools()
    } catch {
      toolsUnknown = true
      tools.replaceOperatorTools([])
    }
  }
  const everySecond = (): void => {
    countJobs().catch(() => undefined)
    if (toolsUnknown) void followTools()
  }
  const countJobs = async (): Promise<void> => {
    const { queued, reserved, sent } = await journal.counts(JOURNAL_KIND)
    jobs = { queued, running: reserved + sent }
  }
  let ticking: NodeJS.Timeout | undefined
  if (settings.agent_auth_mode === 'legacy' && !dev)
    options.warn('gateway: token requests need no signature (gateway.agent_auth_mode: legacy)')
  return {
    gateway,
    verbs: [
      ...agentVerbs(gateway),
      ...policyVerbs(gateway, policies.gateway),
      ...toolVerbs(gateway, toolStore, loadTools),
      ...logVerbs(gateway, parts.auditIndex),
    ],
    open: async () => {
      await tokens.open()
      await loadTools()
      await journal.recover()
      journal.start()
      await countJobs()
      ticking = setInterval(everySecond, TICK_MS).unref()
    },
    onChange: (changed) => {
      if (changed.includes('tool')) void followTools()
      // A version can be destroyed, and its number stays.
      if (changed.includes('credential') || changed.includes('credential_version'))
        gateway.injections.drop()
    },
    drain: async (budgetMs) => {
      await Promise.all([gateway.flights.settled(budgetMs), journal.stop(budgetMs)])
      // Whoever still waits gets an answer, and not only a closed connection.
      ending.abort(new VestryError('SHUTTING_DOWN'))
    },
    close: async () => {
      clearInterval(ticking)
      await journal.stop(SEAL_BUDGET_MS)
      tokens.close()
      gateway.cache.clear()
      gateway.recent.clear()
      gateway.injections.drop()
    },
    prune: async () => {
      await tokens.store.prune()
      await journal.prune()
      await nonces.prune()
    },
    checks: async () => {
      const database = await store.generation().then(
        () => true,
        () => false,
      )
      // An open breaker is one provider's trouble, and no reason to send calls of other tools elsewhere.
      const circuitBreakers = Object.fromEntries(
        tools.list().map(({ name }) => [name, breakers.state(name, now()) !== 'open']),
      )
      return {
        able: database,
        facts: {
          checks: { database, circuitBreakers, cache: settings.cache_enabled },
          details: { version: VERSION },
          jobs,
          mode: settings.mode ?? (dev ? 'mock' : 'live'),
        },
      }
    },
  }
}

function traceOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** What runs while the vault is being sealed cannot go on for long: the keys are about to go. */
const SEAL_BUDGET_MS = 500
