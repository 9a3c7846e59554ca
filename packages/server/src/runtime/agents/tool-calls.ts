/**
 * The tool calls of one answer of a model: carried out side by side within bounds, and answered in words also where
 * they were refused, failed or took too long.
 */
import { asVestryError, type ErrorCode, VestryError } from '@vestry/contract/errors'
import { ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'
import type { Loop, ProposedCall, Step } from './loop.ts'
import type { SourceTool, ToolAnswer } from './tool-source.ts'

export interface Result {
  readonly call: ProposedCall
  readonly text: string
  readonly denied: boolean
}

/** Calls of one answer of the model; more are told that they were too many. */
const MAX_CALLS_PER_ANSWER = 32
const CALLS_AT_ONCE = 8
/** Answers in a row of which every call was refused. */
const MAX_DENIED_ROUNDS = 3
/** Times that one and the same call may be refused. */
const MAX_SAME_DENIALS = 3
const MAX_RESULT_CHARS = 65_536
/** As over the gateway's own wire. */
const MAX_ARGUMENT_CHARS = 1_048_576

/** Side by side, answered in the order asked. The first failure that ends everything ends the others too. */
export async function callAll(
  loop: Loop,
  calls: readonly ProposedCall[],
): Promise<readonly Result[]> {
  const scope = new AbortController()
  const signal = AbortSignal.any([loop.signal, scope.signal])
  const results: Result[] = []
  const waiting = calls.entries()
  const worker = async (): Promise<void> => {
    for (const [at, call] of waiting) {
      results[at] =
        at < MAX_CALLS_PER_ANSWER
          ? await callOne(loop, call, signal)
          : refused(call, `Not called: one answer may ask for ${MAX_CALLS_PER_ANSWER} calls`)
    }
  }
  const workers = Array.from({ length: Math.min(CALLS_AT_ONCE, calls.length) }, worker)
  const all = Promise.all(workers)
  await all.catch((reason: unknown) => scope.abort(reason))
  await Promise.allSettled(workers)
  await all
  return results
}

async function callOne(loop: Loop, call: ProposedCall, signal: AbortSignal): Promise<Result> {
  const startedMs = loop.now()
  const step = (status: (Step & { kind: 'tool' })['status'], tool: string, code?: string) =>
    loop.onStep({
      kind: 'tool',
      tool,
      status,
      ...(code !== undefined && { code }),
      duration_ms: Math.round(loop.now() - startedMs),
    })
  const tool = loop.tools.get(call.name)
  if (tool === undefined) {
    // The name is the model's own text, so the record does not get it.
    step('invalid', 'unknown', 'UNKNOWN_TOOL')
    return refused(call, `Error UNKNOWN_TOOL: there is no tool "${clipped(call.name, 64)}"`)
  }
  const args = argumentsOf(call.arguments)
  if (args === undefined) {
    step('invalid', tool.id, 'INVALID_PARAMS')
    return refused(call, 'Error INVALID_PARAMS: the arguments are not one well-formed JSON object')
  }
  try {
    const { text, isError } = await withinTime(loop, tool, args, signal)
    step(isError ? 'error' : 'ok', tool.id)
    return { call, text: clipped(text, MAX_RESULT_CHARS), denied: false }
  } catch (thrown) {
    signal.throwIfAborted()
    const { code, message } = asVestryError(thrown)
    if (ENDS_ALL.has(code)) throw thrown
    const denied = DENIALS.has(code)
    step(denied ? 'denied' : 'error', tool.id, code)
    return { call, text: clipped(`Error ${code}: ${message}`, MAX_RESULT_CHARS), denied }
  }
}

const DENIALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ACCESS_DENIED',
  'APPROVAL_REQUIRED',
  'TOOL_NOT_VERIFIED',
])
/** After these nothing that follows can go well. */
const ENDS_ALL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_LOCKED',
  'SHUTTING_DOWN',
  'RUN_CLOSED',
  'IDENTITY_INVALID',
  'AUDIT_UNAVAILABLE',
  'STORE_UNAVAILABLE',
])

/** A tool that does not heed its signal is not waited for. */
async function withinTime(
  { callTool, limits: { toolTimeoutMs } }: Loop,
  tool: SourceTool,
  args: Readonly<Record<string, unknown>>,
  outer: AbortSignal,
): Promise<ToolAnswer> {
  outer.throwIfAborted()
  const own = new AbortController()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const end = (reason: unknown): void => {
    own.abort(reason)
    reject(reason)
  }
  const onOuter = () => end(outer.reason)
  const timer = setTimeout(
    () => end(new VestryError('TIMEOUT', `No answer within ${toolTimeoutMs / 1_000} seconds`)),
    toolTimeoutMs,
  )
  outer.addEventListener('abort', onOuter, { once: true })
  try {
    return await Promise.race([callTool(tool, args, own.signal), ended])
  } finally {
    clearTimeout(timer)
    outer.removeEventListener('abort', onOuter)
  }
}

/** An agent that only asks for what it may not have will not come to an end by itself. */
export class Denials {
  #rounds = 0
  readonly #same = new Map<string, number>()

  /** @throws VestryError POLICY_DENIAL_LOOP */
  count(results: readonly Result[]): void {
    this.#rounds = results.every(({ denied }) => denied) ? this.#rounds + 1 : 0
    let most = 0
    for (const { call, denied } of results) {
      if (!denied) continue
      const key = `${call.name} ${call.arguments}`
      const times = (this.#same.get(key) ?? 0) + 1
      this.#same.set(key, times)
      most = Math.max(most, times)
    }
    if (this.#rounds < MAX_DENIED_ROUNDS && most < MAX_SAME_DENIALS) return
    throw new VestryError('POLICY_DENIAL_LOOP', undefined, {
      hint: 'See "vestry trace" for what was refused, and why',
    })
  }
}

/** Read as bodies are: what is checked and what is called must be the same to everybody who reads it. */
export function argumentsOf(text: string): Record<string, unknown> | undefined {
  if (text.length > MAX_ARGUMENT_CHARS) return undefined
  if (text.trim() === '') return {}
  try {
    const value = readStrictJson(Buffer.from(text), ONLY_PROTO)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function refused(call: ProposedCall, text: string): Result {
  return { call, text, denied: false }
}

export function clipped(text: string, max: number): string {
  if (text.length <= max) return text.toWellFormed()
  return `${text.slice(0, max).toWellFormed()}\n[cut after ${max} characters]`
}
