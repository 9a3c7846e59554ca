/** `trigger_workflow([id], [params])`: starts it, waits for its end, and hands out its result. */
import { ERRORS, type ErrorCode, VestryError } from '@vestry/contract/errors'
import type { Json } from '../../../dsl/definition.ts'
import type { EffectCall, Value } from '../../../dsl/host.ts'
import { isRecord } from '../../../dsl/interpreter/values.ts'
import { argument, plain, wrong } from '../arguments.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

export async function triggerWorkflow(
  run: ProgramRun,
  call: EffectCall,
  signal: AbortSignal,
): Promise<Value> {
  const { workflowId, params } = read(run, call)
  const operation = {
    op: 'workflow',
    name: workflowId ?? '',
    args: { workflow_id: workflowId ?? null, params },
  } as const
  // The key starts it once, also after a crash between its start and its end.
  return effectStep(run, call, { repeatable: true, operation }, async (caller): Promise<Value> => {
    if (workflowId === undefined)
      throw new VestryError('NO_WORKFLOW', `Line ${call.line}: no workflow is named`, {
        hint: 'Name it in the call, as attribute "workflow", or as "workflow_id" of the deployment',
        context: { line: call.line },
      })
    const started = await run.doors.workflows().start({
      workflowId,
      params,
      caller,
      requestId: run.doors.newRequestId(),
      trigger: `agent:${run.executionId}`,
      key: `${run.executionId}:${call.index}`,
    })
    run.onNote(`execution ${started.executionId}`)
    const end = await within(started.ended, signal)
    if (end.status === 'completed') return end.result as Value // JSON is
    const { code = 'WORKFLOW_STEP_FAILED', message = `It ended as ${end.status}` } = end.error ?? {}
    throw new VestryError(known(code), `${workflowId}: ${message}`)
  })
}

function read(run: ProgramRun, call: EffectCall) {
  const [first] = call.args
  const isParams = first !== undefined && isRecord(first)
  const id = call.named['id'] ?? call.named['workflow_id'] ?? (isParams ? undefined : first)
  const given = isParams ? first : argument(call, 'params', 1)
  if (id !== undefined && id !== null && typeof id !== 'string')
    throw wrong(call, 'the workflow must be named by text')
  if (given !== undefined && given !== null && !isRecord(given))
    throw wrong(call, 'params must be a record')
  const named = [
    id,
    run.program.config?.['workflow_id'],
    run.checked.definition.attributes['workflow'],
  ].find((one): one is string => typeof one === 'string' && one !== '')
  const params = given === undefined || given === null ? defaults(run) : plain(call, given)
  return { workflowId: named, params: params as Readonly<Record<string, Json>> } // a record
}

/** What the run itself was asked with. */
function defaults({ input }: ProgramRun): Json {
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? input : {}
}

function known(code: string): ErrorCode {
  return Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'WORKFLOW_STEP_FAILED' // one of them
}

async function within<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, ended])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
