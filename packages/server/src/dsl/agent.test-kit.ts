/** Checked agents for tests, from the parts of a source, and a host that remembers what it was asked. */
import type { FunctionItem, PolicyItem, Rule } from './ast.ts'
import type { CheckedAgent, Json } from './definition.ts'
import type { EffectCall, Host, ProgramStep, Value } from './host.ts'
import { interpret } from './interpreter/interpret.ts'
import { DEFAULT_RUN_LIMITS, type RunLimits } from './interpreter/machine.ts'
import { lex } from './lexer.ts'
import { Cursor } from './parser/cursor.ts'
import { expression } from './parser/expression.ts'
import { block, newlineBlock, params } from './parser/statement.ts'
import { SourceText } from './place.ts'
import { T } from './token.ts'

interface Parts {
  /** Of the only action, `run`. */
  readonly body?: string
  readonly params?: string
  /** Name and parameters → body: `add(a: int)`. */
  readonly functions?: Readonly<Record<string, string>>
  /** Name → rules: `allow: "x" if true`. */
  readonly policies?: Readonly<Record<string, readonly string[]>>
  readonly attributes?: Readonly<Record<string, Json>>
  readonly capabilities?: readonly string[]
  readonly parameters?: readonly string[]
  readonly withBody?: string
}

export function agentOf(parts: Parts): CheckedAgent {
  const policies = Object.entries(parts.policies ?? {})
  const span = cursorOn('x').span(0)
  const functions = Object.entries(parts.functions ?? {}).map(([head, body]) => {
    const [, name = '', given = ''] = /^(\w+)\((.*)\)$/.exec(head) ?? []
    return callable('function', name, given, body) as FunctionItem
  })
  const actions =
    parts.body === undefined ? [] : [callable('action', 'run', parts.params ?? '', parts.body)]
  const bodies =
    parts.withBody === undefined
      ? []
      : [{ kind: 'with' as const, properties: [], block: blockOf(parts.withBody), span }]
  return {
    definition: {
      name: 'scout',
      version: '1',
      source_hash: '',
      dialect: 'S',
      metadata: {},
      attributes: parts.attributes ?? {},
      parameters: (parts.parameters ?? []).map((name) => ({ name, type: 'any' })),
      return_type: null,
      capabilities: parts.capabilities ?? [],
      policies: policies.map(([name, rules]) => ({
        name,
        rules: rules.map((rule) => {
          const [head = '', condition = null] = rule.split(' if ')
          const [effect = '', target = ''] = head.split(/: (.*)/s)
          return { effect, target, condition }
        }),
      })),
      triggers: [],
      actions: [],
      functions: [],
      with: [],
      schedules: [],
      channels: [],
      memories: [],
      webhooks: [],
    },
    code: {
      actions: actions as CheckedAgent['code']['actions'],
      functions,
      policies: policies.map(([name, rules]): PolicyItem => {
        return { kind: 'policy', name: { text: name, span }, rules: rules.map(ruleOf), span }
      }),
      bodies,
    },
  }
}

function callable(kind: 'action' | 'function', name: string, given: string, body: string) {
  const cursor = cursorOn(`${given})`)
  const block = blockOf(body)
  const { span } = block
  const list = params(cursor, T.parenClose, '")"')
  return { kind, name: { text: name, span }, params: list, returns: undefined, block, span }
}

function blockOf(body: string) {
  return newlineBlock(cursorOn(`{\n${body}\n}`), 'test')
}

function ruleOf(text: string): Rule {
  const [, effect = '', rest = ''] = /^(\w+): (.*)$/s.exec(text) ?? []
  const cursor = cursorOn(rest)
  const target = expression(cursor)
  const asked = cursor.word() === 'if'
  if (asked) cursor.advance()
  const condition = asked ? expression(cursor) : undefined
  return { effect: effect as Rule['effect'], target, condition, span: target.span }
}

function cursorOn(text: string): Cursor {
  const source = new SourceText(text)
  const refuse = (problem: { message: string }): never => {
    throw new Error(`${problem.message}: ${text}`)
  }
  return new Cursor(source, lex(source, refuse), refuse, block)
}

export class TestHost implements Host {
  readonly calls: EffectCall[] = []
  readonly steps: ProgramStep[] = []
  readonly #answer: (call: EffectCall, signal: AbortSignal) => unknown

  constructor(answer: (call: EffectCall, signal: AbortSignal) => unknown = () => null) {
    this.#answer = answer
  }

  async effect(call: EffectCall, signal: AbortSignal): Promise<Value> {
    this.calls.push(call)
    return (await this.#answer(call, signal)) as Value // also what no host should answer
  }

  progress(step: ProgramStep): void {
    this.steps.push(step)
  }
}

interface RunOptions {
  readonly host?: Host
  readonly params?: Readonly<Record<string, Value>>
  readonly limits?: Partial<RunLimits>
  readonly signal?: AbortSignal
  readonly actions?: readonly string[]
}

export function runAgent(agent: CheckedAgent, options: RunOptions = {}) {
  const { host = new TestHost(), params = {}, actions } = options
  return interpret({
    agent,
    host,
    params,
    limits: { ...DEFAULT_RUN_LIMITS, ...options.limits },
    signal: options.signal ?? new AbortController().signal,
    ...(actions !== undefined && { actions }),
  })
}

/** The value of the body of one action. */
export async function resultOf(
  body: string,
  options: Omit<RunOptions, 'params'> &
    Omit<Parts, 'body' | 'params'> & {
      readonly given?: Readonly<Record<string, Value>>
    } = {},
): Promise<Value> {
  const { host, limits, signal, actions, given: params = {}, ...parts } = options
  const { value } = await runAgent(agentOf({ ...parts, body }), {
    params,
    ...(host !== undefined && { host }),
    ...(limits !== undefined && { limits }),
    ...(signal !== undefined && { signal }),
    ...(actions !== undefined && { actions }),
  })
  return value
}
