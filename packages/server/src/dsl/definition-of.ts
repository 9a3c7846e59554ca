/** The normal form of the agents of a checked tree. */
import { createHash } from 'node:crypto'
import type {
  ActionPart,
  AgentItem,
  BehaviorItem,
  Block,
  Expression,
  FunctionItem,
  Item,
  Param,
  PolicyItem,
  Program,
  Property,
  Type,
  WithPart,
} from './ast.ts'
import { propertyNamed, textOf } from './check/report.ts'
import type {
  CallableDefinition,
  CheckedAgent,
  Json,
  NamedType,
  ProgramDefinition,
  ScheduleDefinition,
  TriggerDefinition,
  WebhookDefinition,
  WebhookProvider,
} from './definition.ts'
import { expressionText, typeText } from './expression-text.ts'
import { Printer } from './printer.ts'

type Kind<Of extends { kind: string }, K extends string> = Extract<Of, { kind: K }>
const PROVIDERS = ['github', 'gitlab', 'slack', 'stripe'] as const
const DEFAULT_VERSION = '1.0.0'

export function definitionOf(source: string, program: Program): readonly CheckedAgent[] {
  const { items } = program
  const hash = createHash('sha256').update(source).digest('hex')
  const dialect = program.dialects.join('') || 'S'
  const shared = sharedOf(items)
  return items
    .filter((item) => item.kind === 'agent')
    .map((agent) => ({
      definition: {
        ...agentDefinition(agent, items),
        ...shared,
        source_hash: hash,
        dialect,
      },
      code: codeOf(agent, items),
    }))
}

function codeOf({ body }: AgentItem, items: readonly Item[]): CheckedAgent['code'] {
  const both = [...items, ...body]
  return {
    actions: body.filter((one) => one.kind === 'action' || one.kind === 'behavior'),
    functions: [
      ...items.filter((one) => one.kind === 'function' || one.kind === 'behavior'),
      ...body.filter((one) => one.kind === 'function'),
    ],
    policies: both.filter((one) => one.kind === 'policy'),
    bodies: body.filter((one) => one.kind === 'with'),
  }
}

type Shared = Pick<ProgramDefinition, 'schedules' | 'channels' | 'memories' | 'webhooks'>

function sharedOf(items: readonly Item[]): Shared {
  const agents = items.filter((item) => item.kind === 'agent')
  const only = agents[0]?.name.text ?? ''
  const of = <K extends Item['kind']>(kind: K): Kind<Item, K>[] =>
    items.filter((item): item is Kind<Item, K> => item.kind === kind)
  return {
    schedules: of('schedule').map((one) => scheduleOf(one, only)),
    channels: of('channel').map((one) => ({
      name: one.name.text,
      ...recordOf(one.properties),
      policies: one.policies.map(policyOf),
      data_classification: recordOf(one.classification),
    })),
    memories: of('memory').map((one) => ({
      name: one.name.text,
      store: 'markdown',
      path: 'data/agents',
      retention: '90d',
      ...recordOf(one.properties),
      search: { vector_weight: 0.7, keyword_weight: 0.3, ...recordOf(one.search) },
    })),
    webhooks: of('webhook').map(webhookOf),
  }
}

type OfAgent = Omit<ProgramDefinition, keyof Shared | 'source_hash' | 'dialect'>

function agentDefinition(agent: AgentItem, items: readonly Item[]): OfAgent {
  const { body } = agent
  const metadata: Readonly<Record<string, Json>> = Object.fromEntries(
    items.flatMap((item) =>
      item.kind === 'metadata' ? Object.entries(recordOf(item.properties)) : [],
    ),
  )
  const attributes = attributesOf(agent)
  const code = codeOf(agent, items)
  const version = attributes['version'] ?? metadata['version']
  return {
    name: agent.name.text,
    version: typeof version === 'string' ? version : DEFAULT_VERSION,
    metadata,
    attributes: withDefaults(attributes, metadata),
    parameters: agent.params.map(namedType),
    return_type: typeOrNull(agent.returns),
    capabilities: capabilitiesOf(agent),
    policies: code.policies.map(policyOf),
    triggers: body.flatMap((part) =>
      part.kind === 'trigger'
        ? [
            triggerOf(
              agent.name.text,
              part,
              code.actions.map(({ name }) => name.text),
            ),
          ]
        : [],
    ),
    actions: code.actions.map(callableOf),
    functions: code.functions.map(callableOf),
    with: code.bodies.map(withOf),
  }
}

/** What the file says for all of its agents holds where an agent says nothing itself. */
function withDefaults(
  attributes: Readonly<Record<string, Json>>,
  metadata: Readonly<Record<string, Json>>,
) {
  const found = { ...attributes }
  for (const name of ['version', 'author', 'description', 'model', 'system_prompt']) {
    const value = Object.hasOwn(metadata, name) ? metadata[name] : undefined
    if (value !== undefined && !Object.hasOwn(found, name)) found[name] = value
  }
  return found
}

function attributesOf({ body }: AgentItem): Record<string, Json> {
  const found: [string, Json][] = []
  for (const part of body) {
    if (part.kind === 'attribute')
      found.push([part.property.name.text, jsonOf(part.property.value)])
    else if (part.kind === 'resources' || part.kind === 'security' || part.kind === 'policies') {
      found.push([part.kind, recordOf(part.properties)])
    }
    if (part.kind !== 'policies') continue
    const timeout = propertyNamed(part.properties, 'timeout')
    if (timeout !== undefined) found.unshift(['timeout', jsonOf(timeout.value)])
  }
  return Object.fromEntries(found)
}

function capabilitiesOf({ body }: AgentItem): readonly string[] {
  const lists = body.flatMap((part) => {
    if (part.kind === 'capabilities') return [part.value]
    const inner =
      part.kind === 'security' ? propertyNamed(part.properties, 'capabilities') : undefined
    return inner === undefined ? [] : [inner.value]
  })
  const names = lists
    .flatMap((list) => (list.kind === 'array' ? list.items : [list]))
    .map((item) => textOf(item) ?? expressionText(item))
  return [...new Set(names)].sort()
}

function policyOf({ name, rules }: PolicyItem) {
  return {
    name: name.text,
    rules: rules.map(({ effect, target, condition }) => ({
      effect,
      target: expressionText(target),
      condition: condition === undefined ? null : expressionText(condition),
    })),
  }
}

function triggerOf(
  agent: string,
  { name, properties }: Kind<AgentItem['body'][number], 'trigger'>,
  actions: readonly string[],
): TriggerDefinition {
  const value = (key: string): Expression | undefined => propertyNamed(properties, key)?.value
  const run = value('run')
  const filter = value('filter')
  return {
    name: name.text,
    provider: providerOf(textOf(value('provider')), name.text),
    path: trimmed(textOf(value('path')) ?? `hooks/${agent}/${name.text}`),
    events: properties
      .filter((one) => one.name.text.startsWith('on_'))
      .map((one) => ({ event: one.name.text.slice('on_'.length), filter: filterOf(one.value) })),
    run: run === undefined ? actions : namesIn(run),
    secret_ref: secretRef(value('secret'), `webhook/${name.text}`),
    filter: filter === undefined ? null : jsonOf(filter),
  }
}

/** `*` asks for all of them. */
function filterOf(value: Expression): Json {
  const plain = jsonOf(value)
  return plain === '*' || plain === 'any' || plain === true ? null : plain
}

function namesIn(value: Expression): readonly string[] {
  const all = value.kind === 'array' ? value.items : [value]
  return all.flatMap((one) => textOf(one) ?? [])
}

function providerOf(given: string | undefined, name: string): WebhookProvider {
  if (given !== undefined) return PROVIDERS.find((known) => known === given) ?? 'custom'
  return PROVIDERS.find((known) => name === known || name.startsWith(`${known}_`)) ?? 'custom'
}

function secretRef(value: Expression | undefined, fallback: string): string {
  if (value?.kind === 'secret') return `vault://${value.path}`
  if (value?.kind === 'call') {
    const [first] = value.args
    return textOf(first?.value) ?? fallback
  }
  return textOf(value) ?? fallback
}

function scheduleOf(
  { name, properties }: Kind<Item, 'schedule'>,
  only: string,
): ScheduleDefinition {
  const text = (key: string): string | undefined => textOf(propertyNamed(properties, key)?.value)
  const once = propertyNamed(properties, 'one_shot')?.value
  const deliver = propertyNamed(properties, 'deliver')?.value
  return {
    name: name.text,
    cron: text('cron') ?? null,
    at: text('at') ?? null,
    timezone: text('timezone') ?? 'UTC',
    agent: text('agent') ?? only,
    one_shot: once?.kind === 'boolean' ? once.value : text('at') !== undefined,
    audit: text('audit') ?? 'all_operations',
    policy: text('policy') ?? null,
    deliver: deliver === undefined ? null : jsonOf(deliver),
  }
}

function webhookOf({ name, properties, filter }: Kind<Item, 'webhook'>): WebhookDefinition {
  const value = (key: string): Expression | undefined => propertyNamed(properties, key)?.value
  const equals = propertyNamed(filter, 'equals')?.value
  const path = textOf(propertyNamed(filter, 'json_path')?.value)
  return {
    name: name.text,
    path: trimmed(textOf(value('path')) ?? ''),
    provider: providerOf(textOf(value('provider')) ?? 'custom', name.text),
    secret_ref: secretRef(value('secret'), `webhook/${name.text}`),
    agent: textOf(value('agent')) ?? null,
    filter:
      path === undefined
        ? null
        : {
            json_path: path,
            equals: equals === undefined ? null : jsonOf(equals),
            contains: textOf(propertyNamed(filter, 'contains')?.value) ?? null,
          },
  }
}

function trimmed(path: string): string {
  return path.replace(/^\/|\/$/g, '')
}

function withOf({ properties }: WithPart): ProgramDefinition['with'][number] {
  const sandbox = textOf(propertyNamed(properties, 'sandbox')?.value)
  const timeout = propertyNamed(properties, 'timeout')?.value
  return {
    attributes: recordOf(properties),
    sandbox: sandbox?.toLowerCase() ?? null,
    timeout_seconds: timeout === undefined ? null : secondsOf(timeout),
  }
}

const SECONDS: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
  months: 2_592_000,
  y: 31_536_000,
  '.seconds': 1,
  '.minutes': 60,
  '.hours': 3600,
}

/** A bare number counts seconds. */
function secondsOf(value: Expression): number | null {
  if (value.kind === 'duration') return value.ms / 1000
  if (value.kind === 'number') return value.value
  const match = /^(\d+)(\D+)$/.exec(textOf(value) ?? '')
  const unit = SECONDS[match?.[2] ?? '']
  return unit === undefined ? null : Number(match?.[1]) * unit
}

function callableOf(code: ActionPart | FunctionItem | BehaviorItem): CallableDefinition {
  if (code.kind === 'behavior') {
    const output = code.output.map(({ name, type }) => `${name.text}: ${typeText(type)}`).join(', ')
    return {
      name: code.name.text,
      parameters: code.input.map(namedType),
      return_type: output === '' ? null : `{ ${output} }`,
      statements: statementsOf(code.steps),
    }
  }
  return {
    name: code.name.text,
    parameters: code.params.map(namedType),
    return_type: typeOrNull(code.returns),
    statements: statementsOf(code.block),
  }
}

function statementsOf({ statements, value }: Block): readonly string[] {
  const printer = new Printer()
  const found = statements.map((one) => printer.statement(one).replace(/;$/, ''))
  return value === undefined ? found : [...found, printer.expression(value)]
}

function namedType({ name, type }: Param): NamedType {
  return { name: name.text, type: typeText(type) }
}

function typeOrNull(type: Type | undefined): string | null {
  return type === undefined ? null : typeText(type)
}

function recordOf(properties: readonly Property[]): Readonly<Record<string, Json>> {
  return Object.fromEntries(properties.map(({ name, value }) => [name.text, jsonOf(value)]))
}

/** Literals as they are; everything else as its text. */
function jsonOf(value: Expression): Json {
  switch (value.kind) {
    case 'string':
    case 'number':
    case 'boolean':
      return value.value
    case 'array':
      return value.items.map(jsonOf)
    case 'record':
      return Object.fromEntries(
        value.entries.map(({ name, value: one }) => [name.text, jsonOf(one)]),
      )
    case 'name':
      return value.text === 'null' || value.text === 'None' ? null : value.text
    default:
      return expressionText(value)
  }
}
