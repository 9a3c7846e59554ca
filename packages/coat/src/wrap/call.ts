/** One call of a wrapped function: what its start and its end tell. */
import { types } from 'node:util'
import { active } from '../active.ts'
import type { Status } from '../aot.ts'
import type { EventCapture, Json } from '../capture/capturer.ts'
import {
  captureItems,
  capturePreviewOfArguments,
  captureValue,
  HOOK_THREW,
  HOOK_THREW_TEXT,
  isCapturedMember,
} from '../captured.ts'
import { fault } from '../counters.ts'
import { recogniseRequest, recogniseResponse } from '../recognise/index.ts'
import type { Runtime } from '../runtime.ts'
import { LiveSpan, type SpanEnd } from '../span.ts'
import { VERSION } from '../version.ts'
import { isAbort } from './abort.ts'
import { callHook } from './hook.ts'
import { MAX_ATTRIBUTE_TEXT, type Plan } from './options.ts'
import { dataFields } from './own-data.ts'

/** What is known at the end, beside how it ended. */
export interface Outcome {
  readonly result?: unknown
  /** Whether there is a result: `undefined` is one. */
  readonly hasResult?: boolean
  readonly error?: unknown
  readonly payload?: Record<string, unknown> | undefined
  readonly yields?: readonly unknown[] | undefined
}

export class Call {
  readonly span: LiveSpan
  readonly plan: Plan
  readonly args: readonly unknown[]
  /** Members of the start that the end says again. */
  readonly #repeated: Readonly<Record<string, unknown>> | undefined

  constructor(
    span: LiveSpan,
    plan: Plan,
    args: readonly unknown[],
    repeated: Readonly<Record<string, unknown>> | undefined,
  ) {
    this.span = span
    this.plan = plan
    this.args = args
    this.#repeated = repeated
  }

  /** Emits the start event. @param name Of the span: a method's is known when it is called. */
  static begin(
    runtime: Runtime,
    plan: Plan,
    name: string,
    self: unknown,
    args: readonly unknown[],
  ): Call {
    const span = new LiveSpan(runtime, plan.operation, name, active()?.ids, plan.choice)
    const capture = span.capture()
    const payload = span.startPayload()
    payload['preview'] = previewOfStart(span, plan, self, args, capture)
    addStartFacts(payload, plan, span.fn, args, capture)
    if (plan.attributes !== undefined)
      payload['attributes'] = span.facts(plan.attributes, MAX_ATTRIBUTE_TEXT)
    const describe = plan.options.describe?.start
    if (describe !== undefined) addDescribed(payload, callHook(describe, args), capture, span)
    const call = new Call(span, plan, args, repeatedFacts(plan, payload))
    span.emitStart(payload, capture)
    return call
  }

  /** The same call without its arguments, for those who must not hold on to them. */
  withoutArguments(): Call {
    return new Call(this.span, this.plan, [], this.#repeated)
  }

  /** The function returned, or what it returned was settled, or ran out. */
  succeed(result: unknown, seen?: Pick<Outcome, 'payload' | 'yields'>): void {
    if (!this.span.ended) this.finish('ok', { ...seen, result, hasResult: true })
  }

  fail(error: unknown, seen?: Pick<Outcome, 'payload' | 'yields'>): void {
    if (this.span.ended) return
    this.finish(this.isAborted(error) ? 'cancelled' : 'error', { ...seen, error })
  }

  /** @param error Why, when something was thrown. */
  isAborted(error?: unknown): boolean {
    try {
      return isAbort(error, this.args)
    } catch {
      return false
    }
  }

  finish(status: Status, outcome: Outcome): void {
    if (this.span.ended) return
    try {
      this.span.end(this.#end(status, outcome))
    } catch {
      fault()
      this.span.end({ status })
    }
  }

  #end(status: Status, outcome: Outcome): SpanEnd {
    const { plan, span } = this
    const { family } = plan.operation
    const capture = span.capture()
    const payload: Record<string, unknown> = { ...this.#repeated }
    const preview: Record<string, Json> = {}
    const shown = outcome.hasResult === true ? this.#shownResult(outcome) : undefined
    if (outcome.hasResult === true) preview['result'] = captureValue(capture, shown)
    if (outcome.yields !== undefined) preview['yields'] = captureItems(capture, outcome.yields)
    payload['preview'] = preview
    if (family === 'llm' && outcome.hasResult === true)
      Object.assign(payload, recogniseResponse(outcome.result))
    addEndFacts(payload, this, status, outcome)
    if (family === 'human' && outcome.hasResult === true)
      payload['answer'] = captureValue(capture, shown)
    if (outcome.payload !== undefined) Object.assign(payload, outcome.payload)
    const describe = plan.options.describe?.end
    if (describe !== undefined && outcome.hasResult === true) {
      const described = callHook(describe, outcome.result, this.args)
      addDescribed(payload, described, capture, span)
    }
    return { status, payload, error: 'error' in outcome ? outcome.error : undefined }
  }

  #shownResult({ result }: Outcome): unknown {
    const { output } = this.plan.options
    return output === undefined ? result : callHook(output, result)
  }
}

function previewOfStart(
  { tellsKeys }: LiveSpan,
  { options }: Plan,
  self: unknown,
  args: readonly unknown[],
  capture: EventCapture,
): Record<string, Json> {
  const { input, argNames, captureThis } = options
  let preview: Record<string, Json>
  if (input !== undefined) {
    const chosen = callHook(input, args, self)
    const shown = Array.isArray(chosen) ? chosen : [chosen]
    preview = capturePreviewOfArguments(capture, shown, undefined, tellsKeys)
  } else if (tellsKeys && Array.isArray(argNames)) preview = namedPreview(capture, args, argNames)
  else preview = capturePreviewOfArguments(capture, args, undefined, tellsKeys)
  if (captureThis !== undefined && captureThis !== false) {
    const fields = dataFields(self, captureThis)
    if (fields !== undefined) preview['this'] = captureValue(capture, fields)
  }
  return preview
}

function namedPreview(
  capture: EventCapture,
  args: readonly unknown[],
  names: readonly unknown[],
): Record<string, Json> {
  const named: Record<string, unknown> = Object.create(null)
  const rest: unknown[] = []
  args.forEach((argument, at) => {
    const name = names[at]
    if (typeof name === 'string' && name !== '') named[name] = argument
    else rest.push(argument)
  })
  return capturePreviewOfArguments(capture, rest, named, true)
}

const OPERATIONS: Readonly<Record<string, string>> = {
  completion: 'text_completion',
  embedding: 'embeddings',
}

function addStartFacts(
  payload: Record<string, unknown>,
  { operation }: Plan,
  name: string,
  args: readonly unknown[],
  capture: EventCapture,
): void {
  switch (operation.family) {
    case 'session':
      payload['versions'] = { node: process.versions.node, sdk: VERSION }
      return
    case 'llm':
      payload['operation'] = OPERATIONS[operation.tag] ?? 'chat'
      Object.assign(payload, recogniseRequest(args))
      return
    case 'tool':
      payload['tool'] = { name }
      return
    case 'memory.read':
      payload['source'] = operation.tag.startsWith('retriev') ? 'retriever' : 'store'
      if (args.length > 0) payload['query'] = captureValue(capture, args[0])
      return
    case 'subagent':
      payload['name'] = name
      payload['via'] = 'in-process'
      if (args.length > 0) payload['task'] = captureValue(capture, args[0])
      return
    case 'human':
      payload['request'] = 'input'
      if (args.length > 0) payload['prompt'] = captureValue(capture, args[0])
      return
    default:
  }
}

/** By kind: which operation it was, for a reader who has the end alone. */
const REPEATED: Readonly<Record<string, readonly string[]>> = {
  tool: ['tool'],
  subagent: ['name'],
  human: ['request'],
  'memory.read': ['source', 'store'],
  'memory.write': ['store', 'operation'],
  'memory.delete': ['store'],
}

function repeatedFacts(
  { operation }: Plan,
  payload: Record<string, unknown>,
): Readonly<Record<string, unknown>> | undefined {
  const names = REPEATED[operation.family]
  if (names === undefined) return undefined
  const facts: Record<string, unknown> = {}
  for (const name of names) if (payload[name] !== undefined) facts[name] = payload[name]
  return facts
}

function addEndFacts(
  payload: Record<string, unknown>,
  { plan, span }: Call,
  status: Status,
  { result, hasResult }: Outcome,
): void {
  const { family } = plan.operation
  if (family === 'memory.read' && hasResult === true) payload['count'] = countOf(result)
  if (family !== 'human') return
  payload['outcome'] = status === 'ok' ? 'answered' : 'cancelled'
  payload['waited_ms'] = span.elapsedMs
}

/** How many things were found. */
function countOf(result: unknown): number {
  if (result === undefined || result === null) return 0
  if (types.isMap(result) || types.isSet(result)) return result.size
  return !types.isProxy(result) && Array.isArray(result) ? result.length : 1
}

/** What says how the operation went, or is about values that are captured elsewhere. */
const OURS: ReadonlySet<string> = new Set([
  'fn',
  'op',
  'op_invalid',
  'phase',
  'status',
  'duration_ms',
  'preview',
  'error',
  'locals',
])

/** More members than this are left out. */
const MAX_DESCRIBED = 32

/**
 * Members that are values obey the mode. The rest is metadata, which is told in every mode: but safely
 * written out, and without secrets.
 */
function addDescribed(
  payload: Record<string, unknown>,
  described: unknown,
  capture: EventCapture,
  span: LiveSpan,
): void {
  if (described === HOOK_THREW) {
    payload['described'] = HOOK_THREW_TEXT
    return
  }
  const members = Object.entries(dataFields(described, true) ?? {})
  const wanted = members.filter(([name]) => !OURS.has(name)).slice(0, MAX_DESCRIBED)
  const told = span
    .captureFacts()
    .value(Object.fromEntries(wanted.filter(([name]) => !isCapturedMember(name))))
  if (typeof told === 'object') Object.assign(payload, told)
  for (const [name, value] of wanted) {
    if (isCapturedMember(name)) payload[name] = captureValue(capture, value)
  }
}
