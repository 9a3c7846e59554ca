/**
 * Carries one execution out: a run is registered for it, so that models and tools are asked in its name and within
 * its bounds; the loop is walked; and the run is closed, however it ended.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { asVestryError, type ErrorCode, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import type { ChatCompletion } from '@vestry/sdk/llm/providers'
import { perform, type Stations } from '../../call/perform.ts'
import type { Agent } from '../../identity/agent.ts'
import { type Caller, newCaller, type Peer } from '../../identity/caller.ts'
import type { Run } from '../../identity/runs/run.ts'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import { formatTraceparent } from '../../identity/traceparent.ts'
import { AGENT_RUN } from '../../policy/actions.ts'
import type { AgentResource } from '../../policy/policy-request.ts'
import type { AgentDefinition } from './definition.ts'
import type { Execution, ExecutionFacts } from './execution.ts'
import { type LoopEnd, type LoopLimits, type ModelAnswer, runLoop, type Step } from './loop.ts'
import { offeredTools, type ResolvedTools, type UnresolvedTool } from './tool-names.ts'
import type { ToolSources } from './tool-source.ts'

export interface ChatCall {
  readonly proof: RunProof
  readonly requestId: string
  readonly peer: Peer
  readonly traceparent: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface RunnerDeps {
  readonly stations: Stations
  readonly tools: ToolSources
  /** A chat completion through all stations of model calls. */
  readonly chat: (call: ChatCall, signal: AbortSignal) => Promise<ChatCompletion>
  /** Registers a run of an agent that may use one model, until then. @throws VestryError */
  readonly registerRun: (asked: AskedRun) => Promise<Run>
  readonly closeRun: (id: string) => Promise<void>
  /** What an open run of ours may do. @throws VestryError RUN_CLOSED, IDENTITY_INVALID */
  readonly proofOf: (runId: string) => Promise<RunProof>
  readonly limits: LoopLimits
  /** Epoch ms. */
  readonly now: () => number
}

export interface AskedRun {
  readonly id: string
  readonly agent: Agent
  readonly model: string
  /** Ids of tools by the server, or the tool, that they are of. */
  readonly tools: Readonly<Record<string, readonly string[]>>
  readonly trigger: string
  readonly actor: string
  /** Epoch ms. */
  readonly expiresAtMs: number
}

export interface Work {
  readonly execution: Execution
  readonly agent: Agent
  readonly definition: AgentDefinition
  readonly input: string
  /** Aborted with the reason. */
  readonly signal: AbortSignal
  readonly expiresAtMs: number
  readonly onStep: (step: Step) => void
}

/** Whoever works here does so from within. */
const OWN_PEER: Peer = { transport: 'unix' }
/** A run outlives its last call by this, so that the call ends for its own reason. */
const GRACE_MS = 5_000
/** Of the list of unresolved names, for the record. */
const MAX_NAMED = 16

/** @throws VestryError as the loop does. */
export async function carryOut(deps: RunnerDeps, work: Work): Promise<LoopEnd> {
  const { execution, agent, definition } = work
  const { tools, unresolved } = await offeredTools(definition.tools, deps.tools())
  const run = await deps.registerRun({
    id: execution.id,
    agent,
    model: definition.model,
    tools: Object.groupBy(
      [...tools.values()].map(({ id }) => id),
      serverOf,
    ) as AskedRun['tools'],
    trigger: execution.trigger,
    actor: execution.facts.actor,
    expiresAtMs: work.expiresAtMs + GRACE_MS,
  })
  try {
    const caller = newCaller(
      { principal: { kind: 'agent', agent }, peer: OWN_PEER, txn: run.id },
      execution.facts.traceparent,
    )
    const count = new StepCount()
    return await perform<LoopEnd>(deps.stations, {
      caller,
      requestId: newRequestId(),
      action: AGENT_RUN,
      event: 'agent.run',
      source: 'runtime',
      resource: agentResource(agent),
      context: { nowMs: deps.now(), transport: OWN_PEER.transport },
      // Whoever asked for it was asked about when it was accepted.
      accepted: true,
      detail: `agent.run ${agent.name}`,
      data: {
        agent: agent.name,
        execution: execution.id,
        trigger: execution.trigger,
        actor: execution.facts.actor,
        model: definition.model,
        tools: tools.size,
        ...(unresolved.length > 0 && { unresolved: unresolved.slice(0, MAX_NAMED).map(told) }),
      },
      settle: () => ({
        effect: async (note) => {
          try {
            return await walked(deps, { ...work, caller, tools, count })
          } finally {
            note(count.recorded)
          }
        },
      }),
    })
  } finally {
    await deps.closeRun(run.id).catch(() => undefined) // it expires
  }
}

export function agentResource({ id, name, role, meta }: Agent): AgentResource {
  return { kind: 'agent', id, name, role, meta: { ...meta } }
}

/** What the steps so far add up to. */
export class StepCount {
  readonly #steps: Step[] = []
  #iterations = 0
  #toolCalls = 0
  #denied = 0
  #promptTokens = 0
  #completionTokens = 0

  add(step: Step): void {
    if (step.kind === 'program') {
      this.#addProgramStep(step)
      return
    }
    // Of a long work the beginning is kept; the counts go on.
    if (this.#steps.length < MAX_STEPS) this.#steps.push(step)
    if (step.kind === 'model') {
      this.#iterations += 1
      this.#promptTokens += step.prompt_tokens
      this.#completionTokens += step.completion_tokens
      return
    }
    this.#toolCalls += 1
    if (step.status === 'denied') this.#denied += 1
  }

  get steps(): readonly Step[] {
    return this.#steps
  }

  /** The end of what was begun takes the place of its beginning. */
  #addProgramStep(step: Extract<Step, { kind: 'program' }>): void {
    const begun = this.#steps.findLastIndex(
      (one) => one.kind === 'program' && one.id === step.id && one.status === 'running',
    )
    if (step.status !== 'running' && begun >= 0) this.#steps[begun] = step
    else if (this.#steps.length < MAX_STEPS) this.#steps.push(step)
    // An action is no call.
    if (step.status === 'running' || !step.id.includes('/')) return
    this.#toolCalls += 1
    if (step.code === 'ACCESS_DENIED' || step.code === 'APPROVAL_REQUIRED') this.#denied += 1
  }

  /** In the words of the record. */
  get recorded(): Record<string, number> {
    return {
      iterations: this.#iterations,
      tool_calls: this.#toolCalls,
      refused: this.#denied,
      prompt_tokens: this.#promptTokens,
      completion_tokens: this.#completionTokens,
    }
  }

  get facts() {
    return {
      iterations: this.#iterations,
      toolCalls: this.#toolCalls,
      denied: this.#denied,
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
    } satisfies Partial<ExecutionFacts>
  }
}

const MAX_STEPS = 500

async function walked(
  deps: RunnerDeps,
  work: Work & {
    readonly caller: Caller
    readonly tools: ResolvedTools['tools']
    readonly count: StepCount
  },
): Promise<LoopEnd> {
  const { execution, caller, count } = work
  const traceparent = formatTraceparent(caller.trace)
  return runLoop({
    definition: work.definition,
    input: work.input,
    tools: work.tools,
    limits: deps.limits,
    signal: work.signal,
    onStep: (step) => {
      count.add(step)
      work.onStep(step)
    },
    now: () => performance.now(),
    model: (body, signal) =>
      patiently(signal, async () => {
        // Asked each time: what closes the run, or ends its agent, ends this too.
        const proof = await deps.proofOf(execution.id)
        const call = { proof, requestId: newRequestId(), peer: OWN_PEER, traceparent, body }
        return modelAnswer(await deps.chat(call, signal))
      }),
    callTool: async (tool, args, signal) => {
      await deps.proofOf(execution.id)
      const { principal, peer, txn } = caller
      return tool.call({
        caller: newCaller({ principal, peer, txn }, traceparent),
        requestId: newRequestId(),
        args,
        signal,
        timeoutMs: deps.limits.toolTimeoutMs,
      })
    },
  })
}

const ATTEMPTS = 4
const LONGEST_WAIT_MS = 30_000
/** It was not answered, and may be a little later. */
const LATER: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'RATE_LIMITED',
  'PROVIDER_RATE_LIMITED',
  'PROVIDER_OVERLOADED',
  'GATEWAY_OVERLOADED',
])

/** Nobody else is there to ask again: an agent that is told to wait waits. */
async function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (thrown) {
      const { code, context } = asVestryError(thrown)
      if (attempt === ATTEMPTS || !LATER.has(code)) throw thrown
      const told = Number(context['retry_after_ms'] ?? 1_000 * 2 ** (attempt - 1))
      await delay(Math.min(Math.max(told, 1), LONGEST_WAIT_MS), undefined, { signal }).catch(
        () => undefined,
      )
      signal.throwIfAborted()
    }
  }
}

/** @throws VestryError PROVIDER_ERROR for an answer without an answer in it. */
function modelAnswer({ choices, usage }: ChatCompletion): ModelAnswer {
  const [choice] = choices
  if (choice === undefined) throw new VestryError('PROVIDER_ERROR', 'The model gave no answer')
  const { message, finish_reason: finishReason } = choice
  return {
    text: typeof message.content === 'string' ? message.content : '',
    toolCalls: (message.tool_calls ?? []).map(({ id, function: called }) => ({
      id: id ?? '',
      name: called.name,
      arguments: called.arguments,
    })),
    finishReason,
    usage: { prompt: usage?.prompt_tokens ?? 0, completion: usage?.completion_tokens ?? 0 },
  }
}

/** `mcp/notes:append` is of `mcp/notes`. */
function serverOf(id: string): string {
  return id.slice(0, Math.max(0, id.lastIndexOf(':'))) || id
}

function told({ name, why }: UnresolvedTool): string {
  return `${name}: ${why}`
}
