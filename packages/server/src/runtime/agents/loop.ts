/**
 * The work of an agent: a model is asked, the tools it asks for are called, what they answer goes back, until it has
 * nothing more to ask. Every way on is bounded. Models and tools are doors that are handed in.
 */
import { VestryError } from '@vestry/contract/errors'
import type { AgentDefinition } from './definition.ts'
import { argumentsOf, callAll, clipped, Denials } from './tool-calls.ts'
import type { SourceTool, ToolAnswer } from './tool-source.ts'

export interface ModelAnswer {
  readonly text: string
  readonly toolCalls: readonly ProposedCall[]
  readonly finishReason: string
  readonly usage: { readonly prompt: number; readonly completion: number }
}

export interface ProposedCall {
  readonly id: string
  readonly name: string
  /** JSON, as the model wrote it. */
  readonly arguments: string
}

/** A body of a chat completion. @throws VestryError in the codes of model calls; the signal's reason */
export type ModelDoor = (
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => Promise<ModelAnswer>

export interface LoopLimits {
  readonly maxIterations: number
  readonly toolTimeoutMs: number
}

export interface Loop {
  readonly definition: AgentDefinition
  readonly input: string
  readonly model: ModelDoor
  /** By the names that the model gets. */
  readonly tools: ReadonlyMap<string, SourceTool>
  readonly callTool: (
    tool: SourceTool,
    args: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ) => Promise<ToolAnswer>
  readonly limits: LoopLimits
  readonly signal: AbortSignal
  readonly onStep: (step: Step) => void
  /** Monotonic ms. */
  readonly now: () => number
}

/** What was done, in names and numbers. */
export type Step =
  | {
      readonly kind: 'model'
      readonly duration_ms: number
      readonly prompt_tokens: number
      readonly completion_tokens: number
      readonly finish_reason: string
      readonly tool_calls: number
    }
  | {
      readonly kind: 'tool'
      readonly tool: string
      readonly status: 'ok' | 'error' | 'denied' | 'invalid'
      readonly code?: string
      readonly duration_ms: number
    }
  | {
      /** Of a program: an action, or a call in one. */
      readonly kind: 'program'
      /** `process_webhook`, `process_webhook/call_tool` */
      readonly id: string
      readonly status: 'running' | 'completed' | 'failed'
      /** Of the source. */
      readonly line: number
      readonly duration_ms: number
      readonly code?: string
      readonly message?: string
      /** What else is to be said of it, such as that there was nothing to check. */
      readonly note?: string
    }

export interface LoopEnd {
  readonly output: string
  readonly finishReason: string
}

/** Calls of one answer; what is beyond is not even answered. Providers take no more. */
const MAX_CALLS_HEARD = 128
const MAX_ID_CHARS = 256
const MAX_CONVERSATION_CHARS = 2_097_152
const MAX_OUTPUT_CHARS = 1_048_576

/**
 * @throws VestryError ITERATION_LIMIT, POLICY_DENIAL_LOOP, CONVERSATION_TOO_LARGE; what the model's door throws; what
 *   ends everything, such as VAULT_LOCKED; the signal's reason
 */
export async function runLoop(loop: Loop): Promise<LoopEnd> {
  const { definition, tools, limits, signal } = loop
  const messages: Message[] = [
    ...(definition.systemPrompt === ''
      ? []
      : [{ role: 'system' as const, content: definition.systemPrompt }]),
    { role: 'user', content: loop.input },
  ]
  const declared = [...tools].map(([name, tool]) => ({
    type: 'function',
    function: { name, description: tool.description, parameters: tool.parameters },
  }))
  const denials = new Denials()
  const ids = new Set<string>()
  for (let turn = 1; turn <= limits.maxIterations; turn += 1) {
    signal.throwIfAborted()
    assertSize(messages)
    const answer = await ask(loop, {
      model: definition.model,
      messages,
      temperature: definition.temperature,
      top_p: definition.topP,
      max_tokens: definition.maxTokens,
      ...(declared.length > 0 && { tools: declared }),
    })
    if (answer.toolCalls.length === 0)
      return { output: clipped(answer.text, MAX_OUTPUT_CHARS), finishReason: answer.finishReason }
    if (turn === limits.maxIterations) break
    const heard = answer.toolCalls.slice(0, MAX_CALLS_HEARD)
    const calls = heard.map((call, at) => withOwnId(call, `call_${turn}_${at + 1}`, ids))
    messages.push({
      role: 'assistant',
      content: answer.text,
      tool_calls: calls.map(({ id, name, arguments: args }) => ({
        id,
        type: 'function',
        function: { name: sendable(name), arguments: isJson(args) ? args : '{}' },
      })),
    })
    const results = await callAll(loop, calls)
    for (const { call, text } of results)
      messages.push({ role: 'tool', tool_call_id: call.id, content: text })
    denials.count(results)
  }
  throw new VestryError('ITERATION_LIMIT', `No answer within ${limits.maxIterations} model calls`, {
    hint: 'Raise runtime.agent_max_iterations, or ask for less at once',
  })
}

type Message = Readonly<Record<string, unknown>> & { readonly role: string }

async function ask(loop: Loop, body: Readonly<Record<string, unknown>>): Promise<ModelAnswer> {
  const startedMs = loop.now()
  const answer = await loop.model(body, loop.signal)
  loop.onStep({
    kind: 'model',
    duration_ms: Math.round(loop.now() - startedMs),
    prompt_tokens: answer.usage.prompt,
    completion_tokens: answer.usage.completion,
    finish_reason: answer.finishReason,
    tool_calls: answer.toolCalls.length,
  })
  return answer
}

/** A name that the model made up goes back in a form that its provider takes. */
function sendable(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) || 'unknown'
}

/** Some models leave ids out, or use one twice; then nobody could tell which answer is to which call. */
function withOwnId(call: ProposedCall, other: string, taken: Set<string>): ProposedCall {
  let { id } = call
  if (id === '' || id.length > MAX_ID_CHARS || taken.has(id)) id = other
  while (taken.has(id)) id += '_'
  taken.add(id)
  return { ...call, id }
}

function assertSize(messages: readonly Message[]): void {
  let chars = 0
  for (const message of messages) chars += JSON.stringify(message).length
  if (chars > MAX_CONVERSATION_CHARS) throw new VestryError('CONVERSATION_TOO_LARGE')
}

function isJson(text: string): boolean {
  return text.trim() !== '' && argumentsOf(text) !== undefined
}
