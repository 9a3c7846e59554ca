/** What is wrong with a program that can be read: everything that is certain before it runs. */
import type {
  ActionPart,
  AgentItem,
  BehaviorItem,
  FunctionItem,
  Item,
  Param,
  PolicyItem,
  Program,
  Property,
  WithPart,
} from './ast.ts'
import { type Callable, CodeCheck } from './check/code.ts'
import {
  checkChannel,
  checkCron,
  checkMemory,
  checkSchedule,
  checkWebhook,
  isPath,
} from './check/items.ts'
import {
  Checker,
  type CheckOptions,
  noDuplicates,
  propertyNamed,
  quoted,
  textOf,
} from './check/report.ts'
import { checkSecret } from './check/secret-literal.ts'
import type { Diagnostic } from './diagnostic.ts'
import { nearest } from './nearest.ts'

export type { CheckOptions } from './check/report.ts'

const ATTRIBUTES = new Set([
  ...['name', 'description', 'version', 'author', 'model', 'system_prompt', 'tools', 'temperature'],
  ...['top_p', 'max_tokens', 'memory', 'privacy', 'timeout', 'workflow', 'schedule'],
  // What the permissions of a program are read from.
  ...['models', 'credentials', 'secrets', 'hosts', 'knowledge', 'agents', 'workflows'],
  ...['budget', 'rate', 'quota', 'max_cost'],
])
const SANDBOXES = /^(docker|tier1|gvisor|tier2|firecracker|tier3|e2b)$/i
const MAX_BARE_TIMEOUT = 3600

type Code = ActionPart | FunctionItem | BehaviorItem

export function check(program: Program, options: CheckOptions = {}): readonly Diagnostic[] {
  const found: Diagnostic[] = []
  const checker = new Checker(options, (one) => found.push(one))
  const { items } = program
  const agents = items.filter((item) => item.kind === 'agent')
  checkNames(checker, program, agents)
  for (const group of ['policy', 'function', 'schedule', 'channel', 'memory', 'webhook'] as const) {
    const named = items.flatMap((item) => (item.kind === group ? [item.name] : []))
    noDuplicates(checker, named, group)
  }
  const known = new Set(agents.map(({ name }) => name.text))
  for (const item of items) checkItem(checker, item, known, items)
  return found
}

function checkNames(checker: Checker, program: Program, agents: readonly AgentItem[]): void {
  const { agentName, registered } = checker.options
  noDuplicates(
    checker,
    agents.map(({ name }) => name),
    'agent',
  )
  if (agents.length === 0) {
    const at = { span: { start: program.span.start, end: program.span.start } }
    checker.add('E_NO_AGENT', at, 'there is no agent in this source', 'Write agent NAME { … }.')
  }
  const isThere = agents.some(({ name }) => name.text === agentName)
  const [first] = agents
  if (agentName !== undefined && first !== undefined && !isThere) {
    const names = agents
      .map(({ name }) => quoted(name.text))
      .slice(0, 5)
      .join(', ')
    if (agents.length === 1)
      checker.add('W_AGENT_NAME', first.name, `the agent is ${names}, not ${quoted(agentName)}`)
    else
      checker.add(
        'E_AGENT_NAME',
        first.name,
        `there is no agent ${quoted(agentName)}`,
        `There are ${names}.`,
      )
  }
  if (registered?.(agentName ?? first?.name.text ?? '') === true && first !== undefined) {
    const { name } = agents.find((one) => one.name.text === agentName) ?? first
    checker.add(
      'E_AGENT_EXISTS',
      name,
      'an agent of this name was made without a source',
      'Choose another name.',
    )
  }
  if (program.dialects.includes('S') && program.dialects.includes('R')) {
    const at = { span: { start: program.span.start, end: program.span.start } }
    checker.add(
      'W_DIALECT',
      at,
      'forms of two dialects are mixed',
      'Other runtimes read only one of them.',
    )
  }
}

function checkItem(
  checker: Checker,
  item: Item,
  agents: ReadonlySet<string>,
  items: readonly Item[],
): void {
  switch (item.kind) {
    case 'metadata':
      noDuplicates(
        checker,
        item.properties.map((one) => one.name),
        'property',
      )
      for (const { name, value } of item.properties) checkSecret(checker, value, name.text)
      return
    case 'agent':
      checkAgent(checker, item, items)
      return
    case 'policy':
      checkPolicy(checker, item)
      return
    case 'type':
    case 'struct':
      noDuplicates(
        checker,
        item.fields.map((one) => one.name),
        'field',
      )
      return
    case 'function':
    case 'behavior':
      checkCode(checker, item, callablesOf(items, undefined))
      return
    case 'schedule':
      checkSchedule(checker, item, agents)
      return
    case 'channel':
      checkChannel(checker, item, agents)
      for (const policy of item.policies) checkPolicy(checker, policy)
      return
    case 'memory':
      checkMemory(checker, item)
      return
    case 'webhook':
      checkWebhook(checker, item, agents)
  }
}

function checkAgent(checker: Checker, agent: AgentItem, items: readonly Item[]): void {
  const { body } = agent
  const attributes = body.flatMap((one) => (one.kind === 'attribute' ? [one.property] : []))
  const names = (kinds: readonly string[]) =>
    body.flatMap((one) => (kinds.includes(one.kind) && 'name' in one ? [one.name] : []))
  noDuplicates(
    checker,
    agent.params.map(({ name }) => name),
    'parameter',
  )
  noDuplicates(
    checker,
    attributes.map(({ name }) => name),
    'attribute',
  )
  noDuplicates(checker, names(['trigger']), 'trigger')
  noDuplicates(checker, names(['policy']), 'policy')
  noDuplicates(checker, names(['action', 'function', 'behavior']), 'action or function')
  const capabilities = body.filter(({ kind }) => kind === 'capabilities')
  if (capabilities[1] !== undefined) {
    checker.add(
      'E_DUPLICATE',
      capabilities[1],
      'capabilities are written twice',
      'Put both into one.',
    )
  }
  for (const one of attributes) checkAttribute(checker, one)
  const actions = names(['action', 'behavior']).map(({ text }) => text)
  const callables = callablesOf(items, agent)
  for (const part of body) {
    if (part.kind === 'trigger') checkTrigger(checker, part.properties, actions)
    else if (part.kind === 'policy') checkPolicy(checker, part)
    else if (part.kind === 'with') checkWith(checker, part, agent.params, callables)
    else if (part.kind === 'action' || part.kind === 'function' || part.kind === 'behavior') {
      checkCode(checker, part, callables)
    } else if (part.kind === 'resources' || part.kind === 'security' || part.kind === 'policies') {
      checkSettings(checker, part.kind, part.properties)
    }
  }
  const hasPolicy = [...items, ...body].some(({ kind }) => kind === 'policy')
  const hasCode = body.some(({ kind }) => ['action', 'with', 'behavior'].includes(kind))
  if (!hasPolicy && hasCode && capabilities.length === 0) {
    checker.add(
      'W_NO_POLICY',
      agent.name,
      `agent ${quoted(agent.name.text)} has no policy`,
      'It may do only what its attributes name.',
    )
  }
}

function checkAttribute(checker: Checker, { name, value }: Property): void {
  checkSecret(checker, value, name.text)
  if (!ATTRIBUTES.has(name.text)) {
    const near = nearest(name.text, ATTRIBUTES)
    const hint = near === undefined ? 'It is kept, and means nothing.' : `Did you mean "${near}"?`
    checker.add('W_UNKNOWN_ATTRIBUTE', name, `${quoted(name.text)} is no known attribute`, hint)
  }
  if (name.text === 'schedule') checkCron(checker, value)
  if (name.text === 'timeout') checkTimeout(checker, value)
  const isNumber = ['temperature', 'top_p', 'max_tokens'].includes(name.text)
  if (isNumber && value.kind !== 'number') {
    checker.add('E_TYPE', value, `${quoted(name.text)} is a number`)
  }
  if (name.text !== 'tools') return
  if (value.kind !== 'array')
    checker.add('E_TYPE', value, '"tools" is a list', 'For example ["notes:append"].')
  else {
    for (const item of value.items) {
      const tool = textOf(item)
      if (tool !== undefined && checker.options.tools?.(tool) === false) {
        checker.add('W_UNRESOLVED_TOOL', item, `there is no tool ${quoted(tool)}`)
      }
    }
  }
}

function checkTimeout(checker: Checker, value: Property['value']): void {
  if (value.kind === 'number') {
    if (value.value > MAX_BARE_TIMEOUT) {
      checker.add(
        'W_NUMERIC_TIMEOUT',
        value,
        'a bare number counts seconds',
        'With a unit it is plain: 30s, 500ms.',
      )
    }
    if (value.value > 0) return
  }
  if (value.kind === 'duration' && value.ms > 0) return
  const text = textOf(value)
  if (
    text !== undefined &&
    /^[1-9]\d{0,8}(ms|s|m|h|d|w|months|y|\.seconds|\.minutes|\.hours)$/.test(text)
  )
    return
  checker.add('E_TIMEOUT', value, 'a timeout is a duration', 'For example 20s.')
}

function checkTrigger(
  checker: Checker,
  properties: readonly Property[],
  actions: readonly string[],
): void {
  noDuplicates(
    checker,
    properties.map((one) => one.name),
    'property',
  )
  for (const { name, value } of properties) {
    if (name.text.startsWith('on_')) continue
    if (!['provider', 'path', 'secret', 'filter', 'run'].includes(name.text)) {
      const near = nearest(name.text, ['provider', 'path', 'secret', 'filter', 'run', 'on_push'])
      checker.add(
        'W_UNKNOWN_ATTRIBUTE',
        name,
        `a trigger has no ${quoted(name.text)}`,
        near && `Did you mean "${near}"?`,
      )
    }
    checkSecret(checker, value, name.text)
  }
  const path = propertyNamed(properties, 'path')
  if (path !== undefined && !isPath(textOf(path.value) ?? '')) {
    checker.add(
      'E_WEBHOOK',
      path.value,
      '"path" is a path of plain parts',
      'For example "hooks/orders".',
    )
  }
  const run = propertyNamed(properties, 'run')?.value
  for (const one of run?.kind === 'array' ? run.items : run === undefined ? [] : [run]) {
    const name = textOf(one)
    if (name === undefined || !actions.includes(name)) {
      checker.add('E_TYPE', one, `there is no action ${quoted(name ?? '')}`)
    }
  }
}

function checkSettings(checker: Checker, kind: string, properties: readonly Property[]): void {
  noDuplicates(
    checker,
    properties.map((one) => one.name),
    'property',
  )
  for (const { name, value } of properties) {
    checkSecret(checker, value, name.text)
    if (kind === 'policies' && name.text === 'timeout') checkTimeout(checker, value)
    const isSandbox = kind === 'security' && name.text === 'sandbox'
    if (
      isSandbox &&
      value.kind !== 'boolean' &&
      !['strict', 'moderate', 'permissive'].includes(textOf(value) ?? '')
    ) {
      checker.add('E_SANDBOX', value, '"sandbox" is strict, moderate or permissive')
    }
    if (kind === 'security' && name.text === 'tier' && !/^Tier[1-4]$/.test(textOf(value) ?? '')) {
      checker.add('E_SANDBOX', value, '"tier" is Tier1, Tier2, Tier3 or Tier4')
    }
  }
}

function checkWith(
  checker: Checker,
  part: WithPart,
  params: readonly Param[],
  callables: readonly Callable[],
): void {
  noDuplicates(
    checker,
    part.properties.map((one) => one.name),
    'property',
  )
  for (const { name, value } of part.properties) {
    checkSecret(checker, value, name.text)
    if (name.text === 'timeout') checkTimeout(checker, value)
    if (name.text === 'sandbox' && !SANDBOXES.test(textOf(value) ?? '')) {
      checker.add(
        'E_SANDBOX',
        value,
        'there is no such sandbox',
        'One of docker, tier1, gvisor, tier2, firecracker, tier3, e2b.',
      )
    }
  }
  new CodeCheck(checker, callables).body(part.block, params)
}

function checkPolicy(checker: Checker, policy: PolicyItem): void {
  for (const { effect, target, condition } of policy.rules) {
    if (effect !== 'allow' || condition !== undefined) continue
    const all = target.kind === 'array' ? target.items : [target]
    const any = all.find((one) => ['any', '*'].includes(textOf(one) ?? ''))
    if (any !== undefined) {
      checker.add(
        'W_PERMISSIVE_POLICY',
        any,
        'this allows everything',
        'Name what is allowed, or add a condition.',
      )
    }
  }
}

function checkCode(checker: Checker, code: Code, callables: readonly Callable[]): void {
  const params = code.kind === 'behavior' ? code.input : code.params
  noDuplicates(
    checker,
    params.map(({ name }) => name),
    'parameter',
  )
  new CodeCheck(checker, callables).body(code.kind === 'behavior' ? code.steps : code.block, params)
}

function callablesOf(items: readonly Item[], agent: AgentItem | undefined): readonly Callable[] {
  return [...items, ...(agent?.body ?? [])].flatMap((one) => {
    if (one.kind !== 'function' && one.kind !== 'behavior' && one.kind !== 'action') return []
    const params = one.kind === 'behavior' ? one.input : one.params
    const least = params.filter(({ fallback }) => fallback === undefined).length
    return [{ name: one.name.text, takes: [least, params.length] as const }]
  })
}
