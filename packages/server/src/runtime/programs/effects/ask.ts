/** `ask(agent, input)`: another agent, in the name of this one; what it answered. */
import type { EffectCall, Value } from '../../../dsl/host.ts'
import { plainArgument, textArgument } from '../arguments.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

export async function ask(run: ProgramRun, call: EffectCall, signal: AbortSignal): Promise<Value> {
  const agent = textArgument(call, 'agent', 0)
  const input = plainArgument(call, 'input', 1)
  const { doors } = run
  const operation = { op: 'delegate', name: agent, args: { agent, input } } as const
  // Whether it was started nobody knows after a crash in between; once it was, waiting does no harm.
  const started = await effectStep(
    run,
    call,
    { repeatable: false, part: 'start', operation },
    (caller) =>
      doors.ask.start({
        agent,
        input,
        caller,
        requestId: doors.newRequestId(),
        executionId: run.executionId,
      }),
  )
  run.onNote(`execution ${started}`)
  return effectStep(run, call, { repeatable: true }, () =>
    doors.ask.ended(started, run.caller.txn, signal),
  )
}
