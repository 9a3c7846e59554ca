/**
 * A stand-in for the Claude Agent SDK, which is too large to install: it plays messages that were written
 * after the SDK's public types, calls the hooks and the permission callback of its options between them, and
 * has the methods of the real query.
 */

export interface Message {
  readonly type: string
  readonly subtype?: string
  readonly session_id?: string
  readonly parent_tool_use_id?: string | null
  readonly message?: unknown
  readonly event?: unknown
  readonly [of: `${string}_${string}`]: unknown
  readonly model?: string
  readonly permissionMode?: string
  readonly tools?: readonly string[]
  readonly result?: string
  readonly usage?: unknown
  readonly errors?: readonly string[]
}
type HookFunction = (
  input: unknown,
  toolUseId: string | undefined,
  context: { signal: AbortSignal },
) => Promise<Record<string, unknown>>

export interface Options {
  model?: string
  resume?: string
  abortController?: AbortController
  canUseTool?: (
    toolName: string,
    input: Record<string, unknown>,
    context: { signal: AbortSignal; toolUseID: string },
  ) => Promise<{ behavior: 'allow' | 'deny'; message?: string }>
  hooks?: Record<string, { matcher?: string; hooks: HookFunction[] }[]>
}

/** What happens next. */
export type Scene =
  | Message
  | { readonly hook: string; readonly input?: Record<string, unknown>; readonly id?: string }
  | { readonly permission: string; readonly input: Record<string, unknown>; readonly id: string }
  | { readonly fails: Error }
  | { readonly waits: true }

export const METHODS = [
  'interrupt',
  'setPermissionMode',
  'setModel',
  'setMaxThinkingTokens',
  'supportedCommands',
  'supportedModels',
  'mcpServerStatus',
  'accountInfo',
  'rewindFiles',
  'streamInput',
] as const

/** What hooks and the callback answered, in order. */
export interface Played {
  readonly answers: unknown[]
  readonly called: string[]
}

export function recordedQuery(
  scenes: readonly Scene[],
  played: Played = { answers: [], called: [] },
) {
  return ({ options = {} }: { prompt: string | AsyncIterable<unknown>; options?: Options }) =>
    new RecordedQuery(scenes, options, played)
}

export class RecordedQuery implements AsyncGenerator<Message, void, unknown> {
  readonly #play: AsyncGenerator<Message, void, unknown>
  readonly #called: string[]

  constructor(scenes: readonly Scene[], options: Options, played: Played) {
    this.#play = play(scenes, options, played)
    this.#called = played.called
    for (const name of METHODS) {
      Object.defineProperty(this, name, {
        value: async (...args: unknown[]) => {
          this.#called.push(name)
          return args
        },
      })
    }
  }

  next() {
    return this.#play.next()
  }

  return() {
    return this.#play.return()
  }

  throw(error: unknown) {
    return this.#play.throw(error)
  }

  close(): void {
    this.#called.push('close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#called.push('dispose')
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

async function* play(
  scenes: readonly Scene[],
  options: Options,
  { answers }: Played,
): AsyncGenerator<Message, void, unknown> {
  const { signal } = options.abortController ?? new AbortController()
  const session = { session_id: 'native-1', transcript_path: '/t', cwd: '/w' }
  for (const scene of scenes) {
    if ('fails' in scene) throw scene.fails
    if ('waits' in scene) {
      await new Promise((_, reject) => {
        const abort = () => reject(Object.assign(new Error('stopped'), { name: 'AbortError' }))
        if (signal.aborted) abort()
        signal.addEventListener('abort', abort)
      })
    } else if ('hook' in scene) {
      const input = { ...session, hook_event_name: scene.hook, ...scene.input }
      for (const matcher of options.hooks?.[scene.hook] ?? []) {
        for (const hook of matcher.hooks) answers.push(await hook(input, scene.id, { signal }))
      }
    } else if ('permission' in scene) {
      const context = { signal, toolUseID: scene.id }
      answers.push(await options.canUseTool?.(scene.permission, { ...scene.input }, context))
    } else yield { ...scene, session_id: scene.session_id ?? session.session_id }
  }
}

export function init(sessionId: string): Message {
  return {
    type: 'system',
    subtype: 'init',
    session_id: sessionId,
    model: 'claude-sonnet-4-6',
    permissionMode: 'default',
    tools: ['Bash', 'Read', 'Task'],
    mcp_servers: [{ name: 'files', status: 'connected' }],
  }
}

export type Used = readonly [input: number, output: number, read?: number, written?: number]

function usage([input, output, read = 0, written = 0]: Used) {
  return {
    input_tokens: input,
    output_tokens: output,
    cache_read_input_tokens: read,
    cache_creation_input_tokens: written,
  }
}

export function assistant(
  id: string,
  used: Used,
  content: unknown[],
  parent: string | null = null,
): Message {
  const message = {
    id,
    role: 'assistant',
    model: 'claude-sonnet-4-6',
    content,
    stop_reason: content.some((each) => (each as { type: string }).type === 'tool_use')
      ? 'tool_use'
      : 'end_turn',
    usage: usage(used),
  }
  return { type: 'assistant', message, parent_tool_use_id: parent }
}

export const text = (said: string) => ({ type: 'text', text: said })

export function use(id: string, name: string, input: Record<string, unknown> = {}) {
  return { type: 'tool_use', id, name, input }
}

export function results(
  ...each: [id: string, content: string, isError?: boolean, parent?: string | null][]
): Message {
  return {
    type: 'user',
    parent_tool_use_id: each[0]?.[3] ?? null,
    message: {
      role: 'user',
      content: each.map(([id, content, isError = false]) => ({
        type: 'tool_result',
        tool_use_id: id,
        content,
        is_error: isError,
      })),
    },
  }
}

export function result(used: Used, more: Record<string, unknown> = {}): Message {
  return {
    type: 'result',
    subtype: 'success',
    is_error: false,
    num_turns: 2,
    total_cost_usd: 0.0125,
    result: 'done',
    permission_denials: [],
    usage: usage(used),
    ...more,
  }
}
