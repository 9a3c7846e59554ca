/** Puts programs together: agents that are written in the language, and everything that they reach. */
import { randomUUID } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId, newSpanId } from '@vestry/contract/ids'
import { actorOf, type Caller } from '../identity/caller.ts'
import { rowGuard } from '../identity/row-guard.ts'
import type { SearchFor } from '../knowledge/knowledge.ts'
import type { Memory } from '../knowledge/memory/memory.ts'
import type { Agents } from '../runtime/agents/agents.ts'
import { DefinitionStore } from '../runtime/agents/definition-store.ts'
import type { Executions } from '../runtime/agents/executions.ts'
import type { Mailbox } from '../runtime/agents/mailbox.ts'
import type { ToolSources } from '../runtime/agents/tool-source.ts'
import type { Deployments } from '../runtime/deployments/deployments.ts'
import { httpRequest } from '../runtime/effects/http.ts'
import { askDoor } from '../runtime/programs/ask-door.ts'
import { Compiler } from '../runtime/programs/compile.ts'
import { httpDoor } from '../runtime/programs/http-door.ts'
import { knowledgeDoor } from '../runtime/programs/knowledge-door.ts'
import type { ProgramDoors } from '../runtime/programs/program-doors.ts'
import { ProgramStore } from '../runtime/programs/program-store.ts'
import { OwnPrograms } from '../runtime/programs/programs.ts'
import { publishDoor } from '../runtime/programs/publish-door.ts'
import { secretDoor } from '../runtime/programs/secret-door.ts'
import { programVerbs } from '../runtime/programs/verbs.ts'
import { programRoutes } from '../runtime/routes/programs.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { WorkflowStarter } from '../runtime/workflows/workflow-starter.ts'
import type { SecretResolver } from '../secrets/resolver.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface ProgramsPieceDeps {
  readonly door: VerbDoor
  readonly agents: Pick<Agents, 'named'>
  readonly executions: Pick<Executions, 'start' | 'ended'>
  readonly mailbox: Mailbox
  readonly tools: ToolSources
  readonly secrets: SecretResolver
  readonly searchKnowledge: SearchFor
  /** These come to be later. */
  readonly memory: () => Memory | undefined
  readonly workflows: () => WorkflowStarter | undefined
  readonly deployments: () => Pick<Deployments, 'get' | 'serving'> | undefined
  /** Resolves when the policies in force are those on disk. */
  readonly reloadPolicies: () => Promise<void>
}

export interface ProgramsPiece extends RuntimePiece {
  readonly programs: OwnPrograms
}

/** Programs are interpreted within the server, and no host isolates that further. */
const SANDBOXES: ReadonlySet<string> = new Set()

export function assembleProgramsPiece(parts: Parts, deps: ProgramsPieceDeps): ProgramsPiece {
  const { config, store, seal, audit, vault, policies, credentials, agents: records } = parts
  const { now, stations } = vault
  const keys = () => seal.keys
  const guard = rowGuard(keys)
  const programs = new ProgramStore({ store, guard, now })
  const definitions = new DefinitionStore({ store, guard, now })
  const compiler = new Compiler({ records, definitions, programs, tools: deps.tools })
  const doors: ProgramDoors = {
    tools: deps.tools,
    toolTimeoutMs: config.runtime.agent_tool_timeout_seconds * 1_000,
    newRequestId,
    newId: randomUUID,
    now,
    assertActive: async ({ principal }) => {
      if (principal.kind !== 'agent') return
      const agent = await records.byId(principal.agent.id)
      if (agent?.status !== 'enabled') throw new VestryError('IDENTITY_INVALID')
    },
    recordDenial: async ({ caller, executionId, operation, name, rule }) => {
      await audit.append(
        {
          ...recordOf(caller),
          action: 'policy.deny',
          phase: 'single',
          detail: `${operation} ${name}`.slice(0, 160).toWellFormed(),
          success: false,
          outcome: { code: 'DSL_POLICY_DENIED', duration_ms: 0 },
          data: { execution: executionId, operation, name, ...(rule !== undefined && { rule }) },
        },
        'written',
      )
    },
    ask: askDoor({ agents: deps.agents, executions: deps.executions, taint: stations.taint }),
    publish: publishDoor({
      agents: deps.agents,
      mailbox: deps.mailbox,
      labelsOf: (txn) => stations.taint.of(txn),
      record: async (caller, data) => {
        await audit.append(
          {
            ...recordOf(caller),
            action: 'agent.publish',
            phase: 'single',
            detail: `agent.publish ${String(data['topic'])}`.slice(0, 160).toWellFormed(),
            success: true,
            data: { ...data, taint: stations.taint.of(caller.txn) },
          },
          'synced',
        )
      },
    }),
    openSecret: secretDoor({ stations, secrets: deps.secrets, credentials }),
    workflows: () => there(deps.workflows(), 'Workflows'),
    knowledge: () =>
      knowledgeDoor({ search: deps.searchKnowledge, memory: () => there(deps.memory(), 'Memory') }),
    http: () =>
      httpDoor((request) =>
        httpRequest(
          { stations, egress: vault.egress.deps, secrets: deps.secrets, credentials, vault },
          request,
        ),
      ),
  }
  const own = new OwnPrograms({
    store: programs,
    agents: records,
    policies,
    reloadPolicies: deps.reloadPolicies,
    run: { stations, journal: { store, keys, now }, doors, sandboxes: SANDBOXES },
    servingOf: async ({ agentId, version }) =>
      (await serving(agentId)).find(({ programVersion }) => programVersion === version)?.id,
    configOf: async (id) => (await deps.deployments()?.get(id))?.config,
  })
  const deployed = async (agentName: string) => {
    const agent = await records.byName(agentName)
    const [newest] = agent === undefined ? [] : await serving(agent.id)
    return newest && programs.get(newest.agentId, newest.programVersion)
  }
  return {
    programs: own,
    routes: programRoutes({ compiler, verbs: deps.door, now }),
    verbs: programVerbs({ compiler, deployed, now }),
    prune: () => programs.prune(),
  }

  /** Deployments of a program that serve, the newest first. */
  async function serving(agentId: string) {
    const all = (await deps.deployments()?.serving(agentId)) ?? []
    return all.filter(({ programVersion }) => programVersion !== undefined)
  }

  function recordOf(caller: Caller) {
    const { principal, txn, trace } = caller
    return {
      actor: actorOf(principal),
      source: 'runtime' as const,
      ...(principal.kind === 'agent' && { agent: principal.agent.name }),
      request_id: newRequestId(),
      txn,
      span: {
        trace_id: trace.traceId,
        span_id: newSpanId(),
        parent_span_id: trace.parentSpanId,
      },
    }
  }
}

function there<T>(part: T | undefined, what: string): T {
  if (part !== undefined) return part
  throw new VestryError('NOT_READY', `${what} cannot be asked yet`, { hint: 'Try again' })
}
