/** Puts deployments together: agents that serve, at an address of their own and by events of others. */
import { rowGuard } from '../identity/row-guard.ts'
import type { Journal } from '../journal/journal.ts'
import type { Buckets } from '../limits/bucket.ts'
import type { Agents } from '../runtime/agents/agents.ts'
import { DefinitionStore } from '../runtime/agents/definition-store.ts'
import type { Executions } from '../runtime/agents/executions.ts'
import type { ToolSources } from '../runtime/agents/tool-source.ts'
import { blockersOf } from '../runtime/deployments/blockers.ts'
import { DeliveryStore } from '../runtime/deployments/delivery-store.ts'
import { DeploymentRuns } from '../runtime/deployments/deployment-runs.ts'
import { DeploymentStore } from '../runtime/deployments/deployment-store.ts'
import { Deployments } from '../runtime/deployments/deployments.ts'
import { Hooks, type HooksDeps, type RunState } from '../runtime/deployments/hooks.ts'
import { Invocations } from '../runtime/deployments/invocation.ts'
import { Scheduled } from '../runtime/deployments/scheduled.ts'
import { deploymentVerbs } from '../runtime/deployments/verbs.ts'
import { approvedWidening, type Wanted } from '../runtime/deployments/widening.ts'
import type { AgentInvoker } from '../runtime/http-input/agent-invoker.ts'
import type { Programs } from '../runtime/programs/programs-api.ts'
import { deploymentRoutes } from '../runtime/routes/deployments.ts'
import type { DeploymentSchedules } from '../runtime/schedules/schedules-api.ts'
import { PREFIX } from '../runtime/wire/target.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { SecretResolver } from '../secrets/resolver.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface DeploymentsPieceDeps {
  readonly door: VerbDoor
  readonly agents: Pick<Agents, 'named'>
  readonly executions: Pick<Executions, 'get' | 'cancel'>
  readonly journal: Pick<Journal, 'get'>
  readonly invoker: AgentInvoker
  readonly tools: ToolSources
  readonly secrets: SecretResolver
  readonly buckets: Buckets
  readonly programs: () => Programs | undefined
  readonly schedules: () => DeploymentSchedules | undefined
  readonly warn: (line: string) => void
}

export interface DeploymentsPiece extends RuntimePiece {
  readonly deployments: Deployments
  readonly scheduled: Scheduled
}

/** Programs are interpreted within the server, and no host isolates that further. */
const SANDBOXES: ReadonlySet<string> = new Set()

export function assembleDeploymentsPiece(
  parts: Parts,
  deps: DeploymentsPieceDeps,
): DeploymentsPiece {
  const { config, store, seal, vault, audit, agents: records } = parts
  const { agents, invoker, secrets, buckets, warn } = deps
  const { now } = vault
  const guard = rowGuard(() => seal.keys)
  const definitions = new DefinitionStore({ store, guard, now })
  const cancel = async (id: string): Promise<void> => {
    const execution = await deps.executions.get(id)
    if (execution !== undefined) await deps.executions.cancel(execution)
  }
  const runs = new DeploymentRuns({ store, now })
  const rows = new DeploymentStore({ store, guard })
  const { approvals } = vault.stations
  const { programs } = deps
  const deployments = new Deployments({
    store: rows,
    runs,
    agents: { named: (name) => agents.named(name), byId: (id) => records.byId(id) },
    definitionOf: (id) => definitions.get(id),
    programs,
    schedules: deps.schedules,
    blockers: (candidate) =>
      blockersOf(
        {
          tools: deps.tools,
          parse: (version) => deps.programs()?.code(version),
          sandboxes: SANDBOXES,
        },
        candidate,
      ),
    approved: async (wanted: Wanted) =>
      config.runtime.require_widening_approval
        ? approvedWidening({ store: rows, programs, approvals }, wanted)
        : undefined,
    cancel,
    alone: store.engine === 'sqlite',
    now,
    warn,
  })
  const invocations = new Invocations({ deployments, runs, agents: invoker, cancel, warn, now })
  const deliveries = new DeliveryStore({ store, hashKey: () => seal.keys.hashKey, now })
  const runState = async (id: string): Promise<RunState> => {
    const run = await deps.executions.get(id)
    if (run === undefined) return 'none'
    if (run.startedAt === undefined && run.facts.error?.code === 'INTERRUPTED') return 'lost'
    if (run.status === 'pending' && (await deps.journal.get(id)) === undefined) return 'accepting'
    return 'accepted'
  }
  const record: HooksDeps['record'] = async ({ action, agent, requestId, txn, trace, data }) => {
    await audit.append(
      {
        action,
        phase: 'single',
        detail: `${action} ${agent}`,
        success: action === 'trigger.fire',
        actor: data['schedule'] === undefined ? 'anonymous' : 'system',
        source: 'runtime',
        agent,
        request_id: requestId,
        ...(txn !== undefined && { txn }),
        span: {
          trace_id: trace.traceId,
          span_id: trace.spanId,
          parent_span_id: trace.parentSpanId,
        },
        data: { agent, ...data },
      },
      'synced',
    )
  }
  const hooks = new Hooks({
    deployments,
    invocations,
    deliveries,
    secrets,
    buckets,
    runState,
    record,
    warn,
    refused: vault.stations.refused,
    now,
  })
  const { public_url: publicUrl } = config.runtime
  const base = () => {
    const root = publicUrl ?? `http://${config.http.host}:${config.http.port}`
    return root.replace(/\/+$/, '') + PREFIX
  }
  return {
    deployments,
    scheduled: new Scheduled({ deployments, invocations, record, warn }),
    routes: deploymentRoutes({
      deployments,
      invocations,
      hooks,
      verbs: deps.door,
      publicUrl,
      base,
    }),
    verbs: deploymentVerbs({ deployments, invocations, base }),
    open: () => deployments.open(),
    onChange: (tables) => deployments.onChange(tables),
    close: () => deployments.close(),
    prune: async () => {
      await deliveries.prune()
      await deployments.prune()
    },
  }
}
