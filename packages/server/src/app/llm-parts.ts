/** Puts the LLM gateway together, and says what it does when the vault opens, closes and the daemon stops. */
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import type { FastifyInstance } from 'fastify'
import type { AdminVerb } from '../admin/verb.ts'
import { KeptInjections } from '../egress/kept-injections.ts'
import type { RunGate } from '../identity/runs/run-gate.ts'
import { type LlmVerbDeps, llmVerbs } from '../llm/admin/verbs.ts'
import { Denials } from '../llm/call/denials.ts'
import { Duplicates } from '../llm/call/duplicates.ts'
import { InFlight } from '../llm/call/in-flight.ts'
import { CallsUnderWay } from '../llm/call/under-way.ts'
import type { Llm } from '../llm/llm.ts'
import { defineLlmMetrics } from '../llm/metrics.ts'
import { mockBackend } from '../llm/mock/mock-backend.ts'
import { loadPrices } from '../llm/prices/price-file.ts'
import { ProviderTable } from '../llm/providers/provider-table.ts'
import { SignatureBook } from '../llm/signatures.ts'
import { llmHttpRoutes } from '../llm/wire/plugin.ts'
import { BodyMemory } from '../llm/wire/request-body.ts'
import { createLlmServer, type LlmServer } from '../llm/wire/server.ts'
import type { Registry } from '../metrics/registry.ts'
import type { Parts } from './assemble.ts'

/** What runs while the vault is being sealed cannot go on for long: the keys are about to go. */
const SEAL_BUDGET_MS = 500
const POLL_MS = 10

export interface LlmPart {
  readonly llm: Llm
  readonly verbs: readonly AdminVerb[]
  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void
  /** Calls under way get this long; nothing new begins. */
  drain(budgetMs: number): Promise<void>
  /** Sealed: nothing of it stays in memory. */
  close(): Promise<void>
  /** For `/ready`. */
  checks(): Promise<{ able: boolean; facts: Record<string, unknown> }>
  /** On the common port, below `/v1`. */
  routes(app: FastifyInstance): void
  /** @returns The socket's path. @throws VestryError CONFIG_INVALID, INSTANCE_RUNNING */
  listen(): Promise<string>
}

export function assembleLlm(
  parts: Parts,
  options: {
    gate: Pick<RunGate, 'verify'>
    /** For operators who ask what a run has used. */
    run: LlmVerbDeps['run']
    registry: Registry
    draining: () => boolean
    warn: (line: string) => void
  },
): LlmPart {
  const { config, dev, home, store, seal, vault, agents, credentials, limits } = parts
  const settings = config.llm
  const inFlight = new InFlight(settings.in_flight_per_run)
  const bodies = new BodyMemory(settings.memory_limit_bytes)
  const providers = new ProviderTable(settings)
  const calls = new CallsUnderWay()
  const llm: Llm = {
    settings,
    dev,
    stations: vault.stations,
    gate: options.gate,
    seal,
    credentials,
    egress: { ...vault.egress.deps, userAgent: `vestry/${VERSION}` },
    injections: new KeptInjections(),
    providers,
    prices: loadPrices(settings.prices_file),
    mock: mockBackend(),
    signatures: new SignatureBook(),
    inFlight,
    denials: new Denials({ limits }),
    duplicates: new Duplicates(),
    bodies,
    metrics: defineLlmMetrics(options.registry, {
      providers: () => providers.list().map(({ name }) => name),
      runsInFlight: () => inFlight.size,
      bodyBytes: () => bodies.used,
    }),
    draining: options.draining,
    calls,
    now: vault.now,
    onInternalError: (requestId, error) =>
      options.warn(`internal error in ${requestId}: ${traceOf(error)}`),
  }
  let server: LlmServer | undefined

  const idle = async (budgetMs: number): Promise<void> => {
    const endsAt = performance.now() + budgetMs
    while (calls.size > 0 && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }

  return {
    llm,
    verbs: llmVerbs({ llm, store, agents, run: options.run }),
    onChange: (changed) => {
      // A version can be destroyed, and its number stays.
      if (changed.includes('credential') || changed.includes('credential_version'))
        llm.injections.drop()
    },
    drain: async (budgetMs) => {
      const startedMs = performance.now()
      // The last part of the budget is for telling those who still wait.
      await idle(budgetMs * 0.8)
      calls.end(new VestryError('SHUTTING_DOWN'))
      await server?.close(Math.max(100, budgetMs - (performance.now() - startedMs)))
    },
    close: async () => {
      await idle(SEAL_BUDGET_MS)
      calls.end(new VestryError('VAULT_LOCKED', 'The gateway is sealed'))
      llm.injections.drop()
      llm.signatures.clear()
      llm.duplicates.clear()
    },
    checks: async () => ({
      able: true,
      facts: { llm: { runs_in_flight: inFlight.size, providers: providers.list().length } },
    }),
    routes: (app) => llmHttpRoutes(app, llm),
    listen: async () => {
      const path = settings.socket ?? home.llmSocket
      const opened = createLlmServer(llm)
      await opened.listen(path, Number.parseInt(settings.socket_mode, 8))
      server = opened
      return path
    },
  }
}

function traceOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
