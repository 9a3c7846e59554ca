/** `log`, `now` and `generate_id`: nothing leaves the daemon, but no two runs of them are alike, so they are kept too. */
import type { EffectCall, Value } from '../../../dsl/host.ts'
import { argument, plain } from '../arguments.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

const MAX_LINE_CHARS = 4_096

export function log(run: ProgramRun, call: EffectCall): Promise<Value> {
  const message = argument(call, 'msg', 1)
  const level = message === undefined ? 'info' : argument(call, 'level', 0)
  const said = plain(call, message ?? argument(call, 'level', 0) ?? null)
  const text = typeof said === 'string' ? said : JSON.stringify(said)
  // The log of a run that goes on after a crash begins anew, with what it went through again.
  run.onLog(`${String(level)}: ${text.slice(0, MAX_LINE_CHARS).toWellFormed()}`)
  return effectStep(run, call, { repeatable: true }, async () => null)
}

/** RFC 3339. */
export function now(run: ProgramRun, call: EffectCall): Promise<Value> {
  return effectStep(run, call, { repeatable: true }, async () =>
    new Date(run.doors.now()).toISOString(),
  )
}

export function generateId(run: ProgramRun, call: EffectCall): Promise<Value> {
  return effectStep(run, call, { repeatable: true }, async () => run.doors.newId())
}
