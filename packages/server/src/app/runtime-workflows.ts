/** Puts workflows together: their definitions, their runs, and what their steps reach. */
import { mkdir } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import type { Operator } from '../identity/operator.ts'
import { rowGuard } from '../identity/row-guard.ts'
import type { Knowledge } from '../knowledge/knowledge.ts'
import type { Agents } from '../runtime/agents/agents.ts'
import type { Executions } from '../runtime/agents/executions.ts'
import { endOf } from '../runtime/agents/invoker.ts'
import type { ToolSources } from '../runtime/agents/tool-source.ts'
import type { HttpEffectDeps } from '../runtime/effects/http.ts'
import type { Programs } from '../runtime/programs/programs-api.ts'
import { itemFrom } from '../runtime/routes/knowledge.ts'
import { workflowRoutes } from '../runtime/routes/workflows.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import { WorkflowDefinitions } from '../runtime/workflows/definition-store.ts'
import { RunStore } from '../runtime/workflows/run-store.ts'
import type { WorkflowAgents, WorkflowKnowledge } from '../runtime/workflows/step-bodies.ts'
import { workflowVerbs } from '../runtime/workflows/verbs.ts'
import { APPROVE, runOfApproval } from '../runtime/workflows/waits.ts'
import { Workflows } from '../runtime/workflows/workflows.ts'
import type { SecretResolver } from '../secrets/resolver.ts'
import type { Parts } from './assemble.ts'
import type { GatewayPart } from './gateway-parts.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface WorkflowsPieceDeps {
  readonly door: VerbDoor
  readonly gateway: GatewayPart
  readonly secrets: SecretResolver
  readonly tools: ToolSources
  readonly agents: Pick<Agents, 'named'>
  readonly executions: Executions
  readonly knowledge: Knowledge
  /** Come later than workflows do; undefined: not served. */
  readonly programs: () => Pick<Programs, 'runSource'> | undefined
  readonly warn: (line: string) => void
}

export interface WorkflowsPiece extends RuntimePiece {
  readonly workflows: Workflows
}

export function assembleWorkflowsPiece(parts: Parts, deps: WorkflowsPieceDeps): WorkflowsPiece {
  const { config, home, store, seal, vault, agents: records, credentials } = parts
  const { gateway } = deps.gateway
  const { now, stations } = vault
  const { warn } = deps
  const keys = () => seal.keys
  const root = config.runtime.data_root
  const dataRoot = isAbsolute(root) ? root : join(home.dir, root)
  const definitions = new WorkflowDefinitions({ store, guard: rowGuard(keys), now })
  const runs = new RunStore({ store, keys, now })
  const http: HttpEffectDeps = {
    stations,
    egress: vault.egress.deps,
    secrets: deps.secrets,
    credentials,
    vault,
  }
  const workflows = new Workflows({
    stations,
    journal: gateway.journal,
    steps: { store, keys, now },
    definitions,
    runs,
    bodies: {
      http,
      tools: deps.tools,
      agents: agentsOf(deps, stations.taint),
      knowledge: knowledgeOf(deps.knowledge),
      programs: deps.programs,
      approvals: stations.approvals,
      signalled: (id, name) => runs.signalled(id, name),
      now,
      dataRoot,
    },
    agents: records,
    operators: { standing: (operator) => standing(parts, operator) },
    timeoutSeconds: config.runtime.workflow_timeout_seconds,
    settings: {
      concurrency: config.runtime.workflow_concurrency,
      queueMax: config.runtime.workflow_queue_max,
      openMax: config.runtime.workflow_open_max,
    },
    warn,
    now,
  })
  stations.approvals.onDecided(({ action, resource }) => {
    if (action === APPROVE)
      workflows
        .poke(runOfApproval(resource))
        .catch((error: unknown) => warn(`workflows: ${String(error)}`))
  })
  return {
    workflows,
    routes: workflowRoutes({
      workflows,
      verbs: deps.door,
      agentNamed: (name) => deps.agents.named(name),
    }),
    verbs: workflowVerbs({ workflows, definitions }),
    open: async () => {
      await mkdir(dataRoot, { recursive: true, mode: 0o700 }).catch((error: unknown) =>
        warn(`runtime.data_root: ${String(error)}`),
      )
      await workflows.open()
    },
    close: async () => workflows.close(),
    onChange: (tables) => definitions.onChange(tables),
    prune: async () => {
      await workflows.prune()
      await workflows.settle()
    },
  }
}

function agentsOf(
  { agents, executions }: WorkflowsPieceDeps,
  taint: Parts['vault']['stations']['taint'],
): WorkflowAgents {
  return {
    run: async ({ agentName, input, trigger, caller, requestId, signal }) => {
      const agent = await agents.named(agentName)
      const text = typeof input === 'string' ? input : JSON.stringify(input)
      const execution = await executions.start({ agent, input: text, trigger, caller, requestId })
      // What the workflow has read may stand in the input, and what the agent has read in its answer.
      await taint.inherit(caller.txn, execution.id)
      const stop = () => void executions.cancel(execution).catch(() => undefined)
      signal.addEventListener('abort', stop, { once: true })
      try {
        return await endOf(executions, execution.id)
      } finally {
        signal.removeEventListener('abort', stop)
        await taint.inherit(execution.id, caller.txn)
      }
    },
  }
}

/** Who is no row, such as the holder of the environment's token, stands as long as the daemon does. */
async function standing(
  { operators, apiKeys }: Parts,
  operator: Operator,
): Promise<Operator | undefined> {
  if (operator.createdAt === 0) return operator
  const principal = operator.id.startsWith('key_')
    ? await apiKeys.standing(operator.id)
    : { kind: 'operator' as const, operator: await operators.byId(operator.id) }
  if (principal?.kind !== 'operator') return undefined
  return principal.operator?.status === 'enabled' ? principal.operator : undefined
}

function knowledgeOf(knowledge: Knowledge): WorkflowKnowledge {
  return {
    search: async (asking, query, { limit }) => {
      const { hits, total } = await knowledge.searchFor(asking, query, { limit })
      return { results: hits, total_results: total }
    },
    add: (asking, item) => knowledge.writing.add(asking, itemFrom(item)),
  }
}
