/** One execution of an agent: what it is, how it may end, and what clients are told of it. Pure. */
import { asVestryError, type ErrorCode, type VestryError } from '@vestry/contract/errors'
import type { AgentDefinition } from './definition.ts'
import type { Step } from './loop.ts'
import type { PinnedProgram } from './program-runner.ts'

export const STATUSES = [
  'pending',
  'running',
  'completed',
  'failed',
  'cancelled',
  'timeout',
] as const
export type ExecutionStatus = (typeof STATUSES)[number]

export interface Execution {
  /** Also its id in the journal, its run and its transaction. */
  readonly id: string
  readonly agentId: string
  readonly status: ExecutionStatus
  /** `api`, `cli`, `http_input:<id>` … */
  readonly trigger: string
  readonly facts: ExecutionFacts
  /** Epoch ms. */
  readonly createdAt: number
  readonly startedAt: number | undefined
  readonly finishedAt: number | undefined
}

/** Names and numbers; what was asked, done and answered is kept apart, sealed. */
export interface ExecutionFacts {
  /** `operator:ada`, `agent:scout` */
  readonly actor: string
  readonly requestId: string
  /** Of the request that started it, as `traceparent` has it. */
  readonly traceparent: string
  /** `provider:model`, once it was begun. */
  readonly model?: string
  /** Of a program. */
  readonly programVersion?: number
  readonly deploymentId?: string
  /** How many executions asked for one another to come to this one. */
  readonly depth?: number
  readonly iterations?: number
  readonly toolCalls?: number
  readonly denied?: number
  readonly promptTokens?: number
  readonly completionTokens?: number
  readonly finishReason?: string
  readonly error?: ExecutionError
}

export interface ExecutionError {
  readonly code: ErrorCode
  readonly message: string
}

export type DefinitionOverrides = Partial<Pick<AgentDefinition, 'model' | 'temperature'>>

export interface ExecutionContent {
  readonly input: string
  readonly output?: string
  readonly steps?: readonly Step[]
  /** Of a program: what was said of it when it was asked for. */
  readonly program?: PinnedProgram
  /** Of any other agent: what its deployment has in place of its definition's. */
  readonly overrides?: DefinitionOverrides
  /** What the program itself logged. */
  readonly log?: readonly string[]
}

export interface Ending {
  readonly status: Exclude<ExecutionStatus, 'pending' | 'running'>
  readonly error?: ExecutionError
}

export function hasEnded({ status }: Pick<Execution, 'status'>): boolean {
  return status !== 'pending' && status !== 'running'
}

/** What the end of an execution by `thrown` is called. */
export function endingOf(thrown: unknown): Ending {
  const error = asVestryError(thrown)
  switch (error.code) {
    case 'CANCELLED':
    case 'RUN_CLOSED':
    // The agent was disabled or revoked while it worked.
    case 'IDENTITY_INVALID':
      return { status: 'cancelled', error: told('CANCELLED', 'It was stopped') }
    case 'DEADLINE_EXCEEDED':
      return { status: 'timeout', error: told(error.code, error.message) }
    case 'SHUTTING_DOWN':
    case 'VAULT_LOCKED':
      return { status: 'failed', error: told('INTERRUPTED', 'The server stopped while it ran') }
    case 'PROVIDER_KEY_MISSING':
    case 'UNKNOWN_PROVIDER':
      return { status: 'failed', error: told('MODEL_PROVIDER_NOT_CONFIGURED', sentence(error)) }
    case 'INTERNAL_ERROR':
      return { status: 'failed', error: told(error.code, 'Unexpected failure') }
    default:
      return { status: 'failed', error: told(error.code, error.message) }
  }
}

/** What nobody works on any more, and never said how it ended. */
export const INTERRUPTED: Ending = {
  status: 'failed',
  error: { code: 'INTERRUPTED', message: 'The server stopped while it ran' },
}

/** @param steps So far, of one that runs here. */
export function executionBody(
  execution: Execution,
  agentName: string,
  content: ExecutionContent | undefined,
  steps: readonly Step[] = content?.steps ?? [],
): Record<string, unknown> {
  const { facts, createdAt, startedAt, finishedAt } = execution
  const output = content?.output
  return {
    execution_id: execution.id,
    agent_id: agentName,
    status: execution.status,
    trigger: execution.trigger,
    actor: facts.actor,
    created_at: iso(createdAt),
    started_at: iso(startedAt ?? createdAt),
    completed_at: finishedAt === undefined ? null : iso(finishedAt),
    duration_ms: startedAt === undefined ? 0 : (finishedAt ?? startedAt) - startedAt,
    result: output === undefined ? null : { output },
    error: facts.error ?? null,
    model: facts.model ?? null,
    iterations: facts.iterations ?? 0,
    tool_calls: facts.toolCalls ?? 0,
    denied: facts.denied ?? 0,
    usage: {
      prompt_tokens: facts.promptTokens ?? 0,
      completion_tokens: facts.completionTokens ?? 0,
    },
    finish_reason: facts.finishReason ?? null,
    ...(facts.programVersion !== undefined && {
      program_version: facts.programVersion,
      deployment_id: facts.deploymentId ?? null,
      log: content?.log ?? [],
    }),
    steps,
  }
}

/** A line of an agent's history. */
export function historyEntry(execution: Execution): Record<string, unknown> {
  const { id, status, trigger, facts, createdAt, startedAt, finishedAt } = execution
  return {
    execution_id: id,
    status,
    timestamp: iso(createdAt),
    trigger,
    started_at: startedAt === undefined ? null : iso(startedAt),
    completed_at: finishedAt === undefined ? null : iso(finishedAt),
    duration_ms: startedAt === undefined ? 0 : (finishedAt ?? startedAt) - startedAt,
    iterations: facts.iterations ?? 0,
    tool_calls: facts.toolCalls ?? 0,
    error: facts.error ?? null,
  }
}

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function told(code: ErrorCode, message: string): ExecutionError {
  return { code, message }
}

function sentence({ message, hint }: VestryError): string {
  return hint === undefined ? message : `${message}. ${hint}`
}
