/**
 * Puts the runtime API together, piece by piece, and says what it does when the vault opens, closes and the daemon
 * stops.
 */
import { VestryError } from '@vestry/contract/errors'
import type { FastifyInstance } from 'fastify'
import type { AdminDeps } from '../admin/deps.ts'
import type { AdminVerb } from '../admin/verb.ts'
import { Buckets } from '../limits/bucket.ts'
import { BodyMemory } from '../llm/wire/request-body.ts'
import type { Registry } from '../metrics/registry.ts'
import { clientAddress } from '../runtime/wire/client-address.ts'
import { clientSecret } from '../runtime/wire/client-secret.ts'
import type { Wire } from '../runtime/wire/handler.ts'
import { laterRoutes } from '../runtime/wire/later.ts'
import { defineWireMetrics } from '../runtime/wire/metrics.ts'
import { runtimeRoutes } from '../runtime/wire/plugin.ts'
import { RequestRate } from '../runtime/wire/rate.ts'
import type { RuntimeRoute } from '../runtime/wire/route.ts'
import { Router } from '../runtime/wire/router.ts'
import { staticToken } from '../runtime/wire/static-token.ts'
import { StoredReplies } from '../runtime/wire/stored-replies.ts'
import { PREFIX } from '../runtime/wire/target.ts'
import { type VerbDoor, verbDoor } from '../runtime/wire/verb-door.ts'
import type { Parts } from './assemble.ts'
import type { GatewayPart } from './gateway-parts.ts'
import type { LlmPart } from './llm-parts.ts'
import type { RunsPart } from './runs-part.ts'
import { assembleAgentsPiece } from './runtime-agents.ts'
import { assembleDeploymentsPiece } from './runtime-deployments.ts'
import { assembleEndpointsPiece } from './runtime-endpoints.ts'
import { assembleInputsPiece } from './runtime-inputs.ts'
import { assembleKnowledgePiece } from './runtime-knowledge.ts'
import { assembleMcpPiece } from './runtime-mcp.ts'
import { assembleMcpServe } from './runtime-mcp-serve.ts'
import { assembleMemoryPiece } from './runtime-memory.ts'
import { assembleProgramsPiece } from './runtime-programs.ts'
import { assembleReviewPiece } from './runtime-review.ts'
import { assembleSchedulesPiece } from './runtime-schedules.ts'
import { assembleSecretsPiece } from './runtime-secrets.ts'
import { assembleSystemPiece } from './runtime-system.ts'
import { assembleWorkflowsPiece } from './runtime-workflows.ts'
import { isLoopback } from './tcp-listening.ts'

const BODY_MEMORY_BYTES = 268_435_456
/** Of a drain, the part that is for telling those who still wait. */
const LAST_WORDS = 0.2
const POLL_MS = 10

/** One area of the runtime: what it serves, and what it does as the vault opens and closes. */
export interface RuntimePiece {
  readonly routes?: readonly RuntimeRoute[]
  readonly verbs?: readonly AdminVerb[]
  /** The vault is open and policies are in force. */
  open?(): Promise<void>
  /** What was changed, here or on another node. */
  onChange?(tables: readonly string[]): void
  /** Nothing new begins; what runs gets this long. */
  drain?(budgetMs: number): Promise<void>
  /** Sealed: nothing of it stays in memory. */
  close?(): Promise<void>
  prune?(): Promise<void>
  /** More of the common port than the API's own prefix. */
  mount?(app: FastifyInstance): void
}

/** What every piece may need beside {@link Parts}. */
export interface RuntimeDeps {
  readonly gateway: GatewayPart
  readonly runs: RunsPart
  readonly llm: LlmPart
  readonly registry: Registry
  readonly startedAtMs: number
  readonly draining: () => boolean
  readonly warn: (line: string) => void
  readonly env: NodeJS.ProcessEnv
}

export interface RuntimePart {
  readonly verbs: readonly AdminVerb[]
  open(): Promise<void>
  onChange(tables: readonly string[]): void
  drain(budgetMs: number): Promise<void>
  close(): Promise<void>
  prune(): Promise<void>
  /** The daemon has come up. */
  started(): void
  /** On the common port. */
  mount(http: FastifyInstance, admin: { deps: AdminDeps; verbs: readonly AdminVerb[] }): void
  [Symbol.dispose](): void
}

export function assembleRuntime(parts: Parts, deps: RuntimeDeps): RuntimePart {
  const { config, dev, seal, vault, agents, apiKeys, credentials } = parts
  const settings = config.runtime
  const { warn, draining } = deps
  assertAnonymous(parts, warn)
  const { now } = vault
  const monotonic = () => performance.now()

  let admin: { deps: AdminDeps; verbs: readonly AdminVerb[] } | undefined
  const adminOf = () => {
    if (admin === undefined) throw new VestryError('NOT_READY')
    return admin
  }
  const door: VerbDoor = verbDoor(
    () => adminOf().deps,
    () => adminOf().verbs,
  )
  const secrets = assembleSecretsPiece(parts, { env: deps.env, warn })
  const mcp = assembleMcpPiece(parts, {
    door,
    secrets: secrets.part.resolver,
    registry: deps.registry,
    env: deps.env,
    warn,
    reviewed: () => review.review.reviewed,
  })
  const review = assembleReviewPiece(parts, {
    door,
    offered: () => [
      ...deps.gateway.gateway.tools.list().map(({ name }) => ({ name, provider: null })),
      ...mcp.servers.tools().map(({ name, server }) => ({ name, provider: server })),
    ],
    warn,
  })
  const known = assembleKnowledgePiece(parts, {
    memory: () => memory.memory.conversations,
    journal: deps.gateway.gateway.journal,
    llm: deps.llm,
    runs: deps.runs,
    warn,
  })
  const searchKnowledge = known.routes?.find(({ path }) => path === 'knowledge/search')?.handle
  const memory = assembleMemoryPiece(parts, {
    door,
    searchKnowledge:
      searchKnowledge ??
      (() => {
        throw new VestryError('NOT_READY')
      }),
  })
  const hosted = assembleAgentsPiece(parts, {
    door,
    gateway: deps.gateway,
    llm: deps.llm,
    runs: deps.runs,
    mcp: { hub: mcp.servers, known: mcp.known, call: mcp.call },
    searchKnowledge: known.knowledge.searchFor,
    deployed: {
      standing: (agentId) => deployed.deployments.standing(agentId),
      deployedAgents: () => deployed.deployments.deployedAgents(),
    },
    programs: () => programs.programs,
    warn,
  })
  const buckets = new Buckets({ now: monotonic })
  const invoked = { door, agents: hosted.invoker, warn }
  const bodies = new BodyMemory(BODY_MEMORY_BYTES)
  const addressOf = clientAddress(settings.trusted_proxies)
  const inputs = assembleInputsPiece(parts, {
    ...invoked,
    secrets: secrets.part.resolver,
    bodies,
    clientAddress: addressOf,
  })
  const endpoints = assembleEndpointsPiece(parts, { ...invoked, buckets })
  const schedules = assembleSchedulesPiece(parts, {
    door,
    agents: hosted.agents,
    executions: hosted.executions,
    invoker: hosted.invoker,
    deployed: () => deployed.scheduled,
    warn,
  })
  const deployed = assembleDeploymentsPiece(parts, {
    ...invoked,
    agents: hosted.agents,
    executions: hosted.executions,
    journal: deps.gateway.gateway.journal,
    invoker: hosted.invoker,
    tools: hosted.tools,
    secrets: secrets.part.resolver,
    buckets,
    programs: () => programs.programs,
    schedules: () => schedules.deployments,
  })
  const workflows = assembleWorkflowsPiece(parts, {
    door,
    gateway: deps.gateway,
    secrets: secrets.part.resolver,
    tools: hosted.tools,
    agents: hosted.agents,
    executions: hosted.executions,
    knowledge: known.knowledge,
    programs: () => programs.programs,
    warn,
  })
  const programs = assembleProgramsPiece(parts, {
    door,
    agents: hosted.agents,
    executions: hosted.executions,
    mailbox: hosted.mailbox,
    tools: hosted.tools,
    secrets: secrets.part.resolver,
    searchKnowledge: known.knowledge.searchFor,
    memory: () => memory.memory,
    workflows: () => workflows.workflows,
    deployments: () => deployed.deployments,
    reloadPolicies: async () => admin?.deps.lifecycle.reloadPolicies(),
  })
  // In the order in which they open: later ones stand on earlier ones.
  const pieces: RuntimePiece[] = [
    secrets,
    review,
    mcp,
    known,
    hosted,
    inputs,
    endpoints,
    deployed,
    schedules,
    memory,
    workflows,
    programs,
  ]
  const inOrder = async (work: (piece: RuntimePiece) => Promise<void> | undefined) => {
    for (const piece of pieces) await work(piece)
  }

  const underWay = new Set<AbortController>()
  const streams = new Set<AbortController>()
  const metrics = defineWireMetrics(deps.registry, () => underWay.size)
  const system = assembleSystemPiece(parts, {
    door,
    startedAtMs: deps.startedAtMs,
    draining,
    requestsTotal: () => metrics.total,
    requestsUnderWay: () => underWay.size,
    secrets: secrets.part.secrets,
    mcp: mcp.servers,
    knowledge: known.knowledge,
    agents: () => hosted.agents.counts(),
    tasks: () => hosted.tasks(),
    scheduler: () => schedules.schedules.counts(),
    exposition: () => deps.registry.render(),
  })
  pieces.push(system)

  const served = pieces.flatMap(({ routes = [] }) => routes)
  const token = staticToken(deps.env['SYMBIONT_API_TOKEN'], () => apiKeys.list(), warn)
  const { jwt_secret: secretPath } = settings
  const wire: Wire = {
    router: new Router([...served, ...laterRoutes(served)]),
    identify: {
      apiKeys,
      agents,
      staticToken: token,
      clientSecret:
        secretPath === undefined
          ? undefined
          : clientSecret(secretPath, async () => (await credentials.open(secretPath)).secret, warn),
      anonymous: settings.anonymous,
      corsOrigins: settings.cors_origins,
      now,
    },
    rate: new RequestRate({ buckets, now, settings, dev }),
    clientAddress: addressOf,
    replies: new StoredReplies({
      journal: deps.gateway.gateway.journal,
      buckets,
      hashKey: () => seal.keys.hashKey,
    }),
    bodies,
    corsOrigins: settings.cors_origins,
    joinRun: async (token, agentId) => (await deps.runs.gate.join(token, agentId)).id,
    sealed: () => seal.state !== 'unsealed',
    draining,
    now,
    underWay,
    streams,
    metrics,
    refused: vault.stations.refused,
    onInternalError: (requestId, error) =>
      warn(`internal error in ${requestId}: ${error instanceof Error ? error.stack : error}`),
  }
  pieces.push(assembleMcpServe(parts, { ...wire, mcp, gateway: deps.gateway, warn }))
  return {
    verbs: pieces.flatMap(({ verbs = [] }) => verbs),
    open: () => inOrder((piece) => piece.open?.()),
    onChange: (tables) => {
      if (tables.includes('api_key')) token?.drop()
      for (const piece of pieces) piece.onChange?.(tables)
    },
    drain: async (budgetMs) => {
      for (const stream of streams) stream.abort(new VestryError('SHUTTING_DOWN'))
      const endsAtMs = performance.now() + budgetMs * (1 - LAST_WORDS)
      const idle = async () => {
        while (underWay.size > 0 && performance.now() < endsAtMs)
          await new Promise((resolve) => setTimeout(resolve, POLL_MS))
        for (const late of underWay) late.abort(new VestryError('SHUTTING_DOWN'))
      }
      await Promise.all([idle(), ...pieces.map((piece) => piece.drain?.(budgetMs))])
    },
    close: async () => {
      for (const late of [...underWay, ...streams]) late.abort(new VestryError('VAULT_LOCKED'))
      token?.drop()
      // One that cannot end must not keep the others from it.
      const ended = await Promise.allSettled(
        pieces.toReversed().map(async (piece) => piece.close?.()),
      )
      for (const one of ended) if (one.status === 'rejected') warn(`runtime: ${String(one.reason)}`)
    },
    prune: () => inOrder((piece) => piece.prune?.()),
    started: () => system.started(),
    mount: (http, given) => {
      admin = given
      http.register(async (app) => runtimeRoutes(app, wire), { prefix: PREFIX })
      for (const piece of pieces) piece.mount?.(http)
    },
    [Symbol.dispose]: () => system[Symbol.dispose](),
  }
}

/** Whoever reaches the port is an administrator then, so it must be this machine alone, and by somebody's choice. */
function assertAnonymous({ config, dev }: Parts, warn: (line: string) => void): void {
  if (!config.runtime.anonymous) return
  if (!dev || !isLoopback(config.http.host)) {
    throw new VestryError('CONFIG_INVALID', 'runtime.anonymous works with --dev only', {
      hint: 'Start with --dev, or send a key: Authorization: Bearer <key>',
    })
  }
  warn('runtime.anonymous: requests without a key act as an administrator')
}
