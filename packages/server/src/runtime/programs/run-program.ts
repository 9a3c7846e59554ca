/** Runs one program as its agent, over the steps of its execution. */
import { VestryError } from '@vestry/contract/errors'
import { perform, type Stations } from '../../call/perform.ts'
import type { CheckedAgent, Json } from '../../dsl/definition.ts'
import type { Value } from '../../dsl/host.ts'
import { type Interpretation, interpret } from '../../dsl/interpreter/interpret.ts'
import { DEFAULT_RUN_LIMITS } from '../../dsl/interpreter/machine.ts'
import { callablesOf } from '../../dsl/interpreter/program.ts'
import { declaredOf } from '../../dsl/permissions-of.ts'
import { unmetRequirements } from '../../dsl/rules/evaluate-rules.ts'
import { scopeOf } from '../../dsl/scope.ts'
import { newCaller, type Peer } from '../../identity/caller.ts'
import { openSteps, type StepsDeps } from '../../journal/steps.ts'
import { readStrictJson } from '../../json/strict-json.ts'
import { AGENT_RUN } from '../../policy/actions.ts'
import type { LoopEnd } from '../agents/loop.ts'
import type { ProgramWork } from '../agents/program-runner.ts'
import { agentResource } from '../agents/runner.ts'
import { plainResult } from './arguments.ts'
import { programHost } from './host.ts'
import type { ProgramDoors } from './program-doors.ts'
import type { ProgramVersion } from './programs-api.ts'

export interface RunProgramDeps {
  readonly stations: Stations
  readonly journal: StepsDeps
  readonly doors: ProgramDoors
  /** Isolation that this host offers, in lower case. */
  readonly sandboxes: ReadonlySet<string>
}

export interface RunnableVersion {
  readonly version: ProgramVersion
  readonly checked: CheckedAgent
  /** For policies, of all that it does. */
  readonly holds: readonly string[]
}

/** Whoever works here does so from within. */
const OWN_PEER: Peer = { transport: 'unix' }
/** The execution's own deadline comes before. */
const WALL_CLOCK_MS = 86_400_000
const MAX_OUTPUT_CHARS = 1_048_576

/** @throws VestryError as the program failed */
export async function runProgram(
  deps: RunProgramDeps,
  work: ProgramWork,
  { version, checked, holds }: RunnableVersion,
): Promise<LoopEnd> {
  const { execution, agent, program } = work
  const caller = newCaller(
    {
      principal: { kind: 'agent', agent },
      peer: OWN_PEER,
      txn: execution.id,
      holds,
    },
    execution.facts.traceparent,
  )
  const steps = await openSteps(deps.journal, work.held)
  try {
    return await perform<LoopEnd>(deps.stations, {
      caller,
      requestId: deps.doors.newRequestId(),
      action: AGENT_RUN,
      event: 'agent.run',
      source: 'runtime',
      resource: agentResource(agent),
      context: { nowMs: deps.doors.now(), transport: OWN_PEER.transport },
      // Whoever asked for it was asked about when it was accepted.
      accepted: true,
      detail: `agent.run ${agent.name}`,
      data: {
        agent: agent.name,
        execution: execution.id,
        trigger: execution.trigger,
        actor: execution.facts.actor,
        program_version: version.version,
        ...(program.deploymentId !== undefined && { deployment: program.deploymentId }),
        ...(work.held.attempt > 1 && { attempt: work.held.attempt }),
      },
      settle: () => ({
        effect: async (note) => {
          const input = inputOf(work.input)
          const params = paramsOf(input)
          const scope = scopeOf(checked, params)
          assertMayStart(deps, work, checked, scope)
          let calls = 0
          const host = programHost(
            {
              executionId: execution.id,
              agent,
              caller,
              checked,
              program,
              input,
              scope,
              steps,
              doors: deps.doors,
              onLog: work.onLog,
            },
            (step) => {
              if (step.kind === 'program' && step.status !== 'running' && step.id.includes('/'))
                calls += 1
              work.onStep(step)
            },
          )
          const asked: Interpretation = {
            agent: checked,
            ...(program.actions !== undefined && { actions: program.actions }),
            params,
            host,
            limits: { ...DEFAULT_RUN_LIMITS, wallClockMs: WALL_CLOCK_MS },
            signal: work.signal,
          }
          try {
            const { value } = await interpret(asked)
            await steps.flush()
            return { output: outputText(value), finishReason: 'stop' }
          } finally {
            note({ calls })
          }
        },
      }),
    })
  } finally {
    steps.close()
  }
}

/** @throws VestryError SANDBOX_UNAVAILABLE, DSL_POLICY_DENIED */
function assertMayStart(
  { sandboxes }: RunProgramDeps,
  { program }: ProgramWork,
  checked: CheckedAgent,
  scope: Readonly<Record<string, Value>>,
): void {
  assertSandbox(sandboxes, checked, program.config)
  const unmet = unmetRequirements({
    policies: checked.code.policies,
    capabilities: declaredOf(checked),
    settings: settingsOf(checked, program.config),
    scope,
    functions: callablesOf(checked),
  })
  if (unmet.length > 0)
    throw new VestryError('DSL_POLICY_DENIED', `The run may not start: ${unmet.join(', ')}`, {
      context: { rules: unmet },
      hint: 'What "require" of the policy names does not hold',
    })
}

/** @throws VestryError SANDBOX_UNAVAILABLE */
export function assertSandbox(
  sandboxes: ReadonlySet<string>,
  { definition }: CheckedAgent,
  config: Readonly<Record<string, unknown>> = {},
): void {
  const set = config['sandbox']
  const wanted = [
    ...definition.with.flatMap(({ sandbox }) => sandbox ?? []),
    ...(typeof set === 'string' ? [set] : []),
  ]
  const missing = wanted.find((name) => !sandboxes.has(name.toLowerCase()))
  if (missing !== undefined)
    throw new VestryError(
      'SANDBOX_UNAVAILABLE',
      `Sandbox "${missing}" is not available on this host`,
      {
        hint: 'Run it where it is, or take "sandbox" out of the source: it is never run with less',
      },
    )
}

function settingsOf(
  { definition }: CheckedAgent,
  config: Readonly<Record<string, unknown>> = {},
): Record<string, Value> {
  const ofSource = definition.with.map(({ attributes, sandbox, timeout_seconds: timeout }) => ({
    ...attributes,
    ...(sandbox !== null && { sandbox }),
    ...(timeout !== null && { timeout_seconds: timeout }),
  }))
  // Both are JSON.
  return Object.assign({}, ...ofSource, config) as Record<string, Value>
}

/** Clients send objects; what is no JSON is text. */
export function inputOf(text: string): Json {
  if (!/^\s*[[{"]/.test(text)) return text
  try {
    return readStrictJson(Buffer.from(text)) as Json // JSON is
  } catch {
    return text
  }
}

/** The members of what it was asked with are its parameters. */
export function paramsOf(input: Json): Record<string, Value> {
  const members = typeof input === 'object' && input !== null && !Array.isArray(input) ? input : {}
  return { ...members, input, payload: input } as Record<string, Value> // JSON is
}

/** @throws VestryError RESPONSE_TOO_LARGE */
function outputText(value: Value): string {
  const plain = plainResult(value)
  const text = typeof plain === 'string' ? plain : JSON.stringify(plain)
  if (text.length > MAX_OUTPUT_CHARS)
    throw new VestryError('RESPONSE_TOO_LARGE', `A result may have ${MAX_OUTPUT_CHARS} characters`)
  return text.toWellFormed()
}
