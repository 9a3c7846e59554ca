/** Puts the agents of the runtime together: their definitions, their executions, and what they reach. */
import { newSpanId } from '@vestry/contract/ids'
import { actorOf } from '../identity/caller.ts'
import { rowGuard } from '../identity/row-guard.ts'
import type { SearchFor } from '../knowledge/knowledge.ts'
import { chatInProcess } from '../llm/call/in-process.ts'
import { Agents, type AgentsDeps } from '../runtime/agents/agents.ts'
import { DefinitionStore } from '../runtime/agents/definition-store.ts'
import { ExecutionStore } from '../runtime/agents/execution-store.ts'
import { Executions } from '../runtime/agents/executions.ts'
import { gatewayTools } from '../runtime/agents/gateway-tools.ts'
import { agentInvoker } from '../runtime/agents/invoker.ts'
import { knowledgeTools } from '../runtime/agents/knowledge-tools.ts'
import { Mailbox } from '../runtime/agents/mailbox.ts'
import { type McpToolDeps, mcpTools } from '../runtime/agents/mcp-tools.ts'
import { modelProblem } from '../runtime/agents/model-problem.ts'
import { ownRun } from '../runtime/agents/own-run.ts'
import type { ProgramRunner } from '../runtime/agents/program-runner.ts'
import { ReportStore } from '../runtime/agents/report-store.ts'
import type { ToolSources } from '../runtime/agents/tool-source.ts'
import { agentVerbs } from '../runtime/agents/verbs.ts'
import type { AgentInvoker } from '../runtime/http-input/agent-invoker.ts'
import { agentReportRoutes } from '../runtime/routes/agent-reports.ts'
import { agentRoutes } from '../runtime/routes/agents.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { Parts } from './assemble.ts'
import type { GatewayPart } from './gateway-parts.ts'
import type { LlmPart } from './llm-parts.ts'
import type { RunsPart } from './runs-part.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface AgentsPiece extends RuntimePiece {
  readonly agents: Agents
  readonly executions: Executions
  readonly invoker: AgentInvoker
  readonly mailbox: Mailbox
  readonly tools: ToolSources
  /** For the metrics of the system. */
  tasks(): Promise<Tasks>
}

export interface Tasks {
  readonly tasks_active: number
  readonly tasks_queued: number
  readonly tasks_completed: number
  readonly tasks_failed: number
}

export interface AgentsPieceDeps {
  readonly door: VerbDoor
  readonly gateway: GatewayPart
  readonly llm: LlmPart
  readonly runs: RunsPart
  /** Tools of MCP servers, and how they are called through the stations. */
  readonly mcp: McpToolDeps
  readonly searchKnowledge: SearchFor
  /** What serves of them. */
  readonly deployed: AgentsDeps['deployed']
  /** Of agents that are programs; they come to be later. */
  readonly programs: () => ProgramRunner | undefined
  readonly warn: (line: string) => void
}

export function assembleAgentsPiece(parts: Parts, deps: AgentsPieceDeps): AgentsPiece {
  const { config, store, seal, audit, vault, agents: records } = parts
  const { now } = vault
  const settings = config.runtime
  const { runs } = deps.runs
  const { llm } = deps.llm
  const { gateway } = deps.gateway
  const keys = () => seal.keys
  const heartbeatMs = settings.agent_heartbeat_seconds * 1_000
  const definitions = new DefinitionStore({ store, guard: rowGuard(keys), now })
  const executionStore = new ExecutionStore({ store, keys, now })
  const reports = new ReportStore({ store, now })
  const mailbox = new Mailbox({ store, keys, now })
  const { mcp } = deps
  const tools: ToolSources = () => [
    ...gatewayTools(gateway),
    ...mcpTools(mcp),
    ...knowledgeTools(deps.searchKnowledge),
  ]
  const place = {
    trustDomain: config.identity.trust_domain,
    runPathPrefix: config.identity.run_path_prefix,
    tratTtlSeconds: config.identity.trat_ttl_seconds,
    scope: config.llm.required_scope,
    now,
  }
  const executions = new Executions({
    stations: vault.stations,
    journal: gateway.journal,
    agents: records,
    definitions,
    store: executionStore,
    runner: {
      stations: vault.stations,
      tools,
      chat: (call, signal) => chatInProcess(llm, call, signal),
      registerRun: async (asked) => (await runs.add(ownRun(asked, place))).value,
      closeRun: async (id) => void (await runs.close(id)),
      proofOf: (id) => deps.runs.gate.ownProof(id),
      limits: {
        maxIterations: settings.agent_max_iterations,
        toolTimeoutMs: settings.agent_tool_timeout_seconds * 1_000,
      },
      now,
    },
    programs: deps.programs,
    settings,
    alone: store.engine === 'sqlite',
    warn: deps.warn,
    now,
  })
  const agents = new Agents({
    records,
    definitions,
    store: executionStore,
    executions,
    reports,
    mailbox,
    tools,
    modelProblem: (model) => modelProblem(llm, model),
    isProgram: async (id) => (await deps.programs()?.isProgram(id)) === true,
    deployed: deps.deployed,
    heartbeatMs,
    now,
  })

  /** Whoever is revoked or disabled, here or on another node, works no longer. */
  const endInactive = async (): Promise<void> => {
    const open = await executionStore.open()
    for (const agentId of new Set(open.map((execution) => execution.agentId))) {
      if ((await records.byId(agentId))?.status !== 'enabled') await executions.cancelAll(agentId)
    }
  }

  return {
    agents,
    executions,
    mailbox,
    invoker: agentInvoker(agents, executions),
    tools,
    tasks: async () => {
      const [open, { completed, failed }] = await Promise.all([
        executionStore.open(),
        executionStore.allTotals(),
      ])
      const running = open.filter(({ status }) => status === 'running').length
      return {
        tasks_active: running,
        tasks_queued: open.length - running,
        tasks_completed: completed,
        tasks_failed: failed,
      }
    },
    routes: [
      ...agentRoutes({
        agents,
        executions,
        verbs: deps.door,
        record: async ({ caller, requestId }, agent, { action, data }) => {
          await audit.append(
            {
              action,
              phase: 'single',
              detail: `${action} ${agent.name}`,
              success: true,
              actor: actorOf(caller.principal),
              source: 'runtime',
              agent: agent.name,
              request_id: requestId,
              txn: caller.txn,
              span: {
                trace_id: caller.trace.traceId,
                span_id: newSpanId(),
                parent_span_id: caller.trace.parentSpanId,
              },
              data: { agent: agent.name, ...data },
            },
            'synced',
          )
        },
      }),
      ...agentReportRoutes({
        agents,
        reports,
        mailbox,
        taint: vault.stations.taint,
        heartbeatMs,
        now,
      }),
    ],
    verbs: agentVerbs({ agents, executions }),
    open: () => executions.open(),
    onChange: (tables) => {
      if (tables.includes('agent'))
        endInactive().catch((error: unknown) => deps.warn(`agents: ${String(error)}`))
    },
    close: async () => executions.close(),
    prune: async () => {
      await executions.recover()
      await executionStore.prune()
      await mailbox.prune()
      await reports.prune()
      await definitions.prune()
    },
  }
}
