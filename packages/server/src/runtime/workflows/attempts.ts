/** One step that does something: how often it is tried, how long it may take, and whether it may be done twice. */
import { setTimeout as sleep } from 'node:timers/promises'
import { asVestryError, type ErrorCode, VestryError } from '@vestry/contract/errors'
import type { Step } from './definition.ts'
import { evaluate, filled, type Scope } from './evaluate.ts'
import { isSecret } from './expression-values.ts'
import { plain, revived } from './step-values.ts'
import type { StepCall, Walk } from './walk.ts'

const STEP_TIMEOUT_MS = 900_000
/** They would end the same way again. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'OUTCOME_UNKNOWN',
  'ACCESS_DENIED',
  'CANCELLED',
  'INVALID_PARAMS',
  'VALIDATION_ERROR',
  'WORKFLOW_INVALID',
  'WORKFLOW_NOT_FOUND',
  'PATH_REFUSED',
])

export type Given = Readonly<Record<string, unknown>>
/** What needs no walk of its own. */
export type Leaf = Pick<Step, 'kind' | 'with'> &
  Partial<Pick<Step, 'retry' | 'timeout_seconds' | 'idempotent'>>

/** Does it, again where that is asked for. @returns JSON, or a reference to a secret. @throws what the last attempt threw */
export async function attempts(run: Walk, step: Leaf, scope: Scope, key: string): Promise<unknown> {
  const given = givenOf(step, scope)
  const plan = { key, kind: step.kind, repeatable: isRepeatable(step, given) }
  const timeoutMs = (step.timeout_seconds ?? STEP_TIMEOUT_MS / 1_000) * 1_000
  for (;;) {
    run.signal.throwIfAborted()
    try {
      // A step that has no place yet was not begun: a stop before then leaves nothing in doubt.
      using _place = await run.places.enter(run.signal)
      const output = await run.steps.run(plan, async () =>
        plain(await timed(run, { kind: step.kind, key, given, timeoutMs })),
      )
      return revived(step.kind, output)
    } catch (error) {
      if (run.signal.aborted) throw run.signal.reason
      const named = asVestryError(error)
      const { retry } = step
      const done = run.steps.find(key)?.attempts ?? 1
      if (retry === undefined || done >= retry.max_attempts || FINAL.has(named.code)) throw named
      const factor = retry.backoff === 'fixed' ? 1 : 2 ** (done - 1)
      const delayMs = Math.min(retry.delay_ms * factor, 86_400_000)
      await run.steps.retry(key, run.now() + delayMs)
      await sleep(delayMs, undefined, { signal: run.signal }).catch(() => undefined)
    }
  }
}

function givenOf({ kind, with: given }: Leaf, scope: Scope): Given {
  if (kind !== 'transform') return filled(given, scope) as Given
  const { expression } = given
  // The expression itself is the work; it has no text to fill in.
  const value =
    typeof expression === 'string' ? evaluate(expression, scope) : filled(given['value'], scope)
  if (isSecret(value)) throw new VestryError('INVALID_PARAMS', 'a secret can only be sent')
  return { value }
}

function isRepeatable({ kind, idempotent }: Leaf, given: Given): boolean {
  if (idempotent === true) return true
  if (kind === 'http')
    return ['GET', 'HEAD'].includes(String(given['method'] ?? 'GET').toUpperCase())
  return kind === 'transform' || kind === 'knowledge.search' || kind === 'secret.get'
}

async function timed(run: Walk, call: Omit<StepCall, 'signal'>): Promise<unknown> {
  if (call.kind === 'transform') return call.given['value']
  const late = new AbortController()
  const timer = setTimeout(
    () =>
      late.abort(
        new VestryError(
          'DEADLINE_EXCEEDED',
          `The step took longer than ${call.timeoutMs / 1_000} s`,
        ),
      ),
    Math.min(call.timeoutMs, 2_147_483_647),
  )
  const signal = AbortSignal.any([run.signal, late.signal])
  try {
    return await orAborted(run.body({ ...call, signal }), signal)
  } finally {
    clearTimeout(timer)
  }
}

/** What does not heed its signal is left to itself. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, promise])
  } catch (error) {
    // Whoever was stopped does not always know why.
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
