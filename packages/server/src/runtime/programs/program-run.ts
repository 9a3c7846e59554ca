/** One run of a program, as its effects see it: who acts, over which steps, through which doors. */
import { VestryError } from '@vestry/contract/errors'
import { newSpanId } from '@vestry/contract/ids'
import type { CheckedAgent, Json } from '../../dsl/definition.ts'
import type { EffectCall, Value } from '../../dsl/host.ts'
import { callablesOf } from '../../dsl/interpreter/program.ts'
import { declaredOf } from '../../dsl/permissions-of.ts'
import { evaluateRules } from '../../dsl/rules/evaluate-rules.ts'
import type { Operation } from '../../dsl/rules/operation.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'
import type { Steps } from '../../journal/step.ts'
import type { PinnedProgram } from '../agents/program-runner.ts'
import type { ProgramDoors } from './program-doors.ts'

export interface ProgramRun {
  readonly executionId: string
  readonly agent: Agent
  /** Holds the program and its version; conditions of rules come on top at each effect. */
  readonly caller: Caller
  readonly checked: CheckedAgent
  readonly program: Omit<PinnedProgram, 'version'>
  /** What it was asked with. */
  readonly input: Json
  /** What conditions of rules see: attributes, parameters, `input`. */
  readonly scope: Readonly<Record<string, Value>>
  readonly steps: Steps
  readonly doors: ProgramDoors
  readonly onLog: (line: string) => void
  /** More of the call under way, for the record of the run. */
  readonly onNote: (text: string) => void
}

/**
 * Once, whatever becomes of the process: what an earlier run of the execution kept is handed out again. The rules of
 * the program are asked within the step, so that a refusal is kept like any other answer.
 *
 * @param part Of an effect that takes several steps.
 * @throws VestryError DSL_POLICY_DENIED, and what `body` throws
 */
export function effectStep<T>(
  run: ProgramRun,
  call: EffectCall,
  asked: {
    readonly repeatable: boolean
    readonly operation?: Operation
    readonly part?: string
  },
  body: (caller: Caller) => Promise<T>,
): Promise<T> {
  const key = `effect:${call.index}${asked.part === undefined ? '' : `/${asked.part}`}`
  return run.steps.run({ key, kind: call.name, repeatable: asked.repeatable }, async () => {
    await run.doors.assertActive(run.caller)
    const caller =
      asked.operation === undefined ? run.caller : await gated(run, call, asked.operation)
    return body({ ...caller, trace: within(caller.trace) })
  })
}

/** In the trace, each effect stands below its run. */
function within({ traceId, spanId }: Caller['trace']): Caller['trace'] {
  return { traceId, spanId: newSpanId(), parentSpanId: spanId }
}

/** The caller with the rules that hold. @throws VestryError DSL_POLICY_DENIED */
export async function gated(
  run: ProgramRun,
  call: EffectCall,
  operation: Operation,
): Promise<Caller> {
  const { checked, caller, doors } = run
  const verdict = evaluateRules({
    policies: checked.code.policies,
    capabilities: declaredOf(checked),
    operation,
    scope: run.scope,
    functions: callablesOf(checked),
  })
  if (!verdict.allow) {
    const why = verdict.rule === undefined ? 'no rule of the program allows it' : verdict.rule
    await doors.recordDenial({
      caller,
      executionId: run.executionId,
      operation: operation.op,
      name: operation.name,
      rule: verdict.rule,
    })
    throw new VestryError(
      'DSL_POLICY_DENIED',
      `Line ${call.line}: ${operation.op} "${operation.name}" is denied: ${why}`,
      { context: { line: call.line, ...(verdict.rule !== undefined && { rule: verdict.rule }) } },
    )
  }
  return { ...caller, holds: [...(caller.holds ?? []), ...verdict.holds] }
}
