/** What a workflow is: read from JSON, checked as a whole, and put in the order in which its steps may run. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { paramCheck } from '../../gateway/tools/param-schema.ts'
import type { JsonObject } from '../../gateway/tools/tool.ts'
import { partsOf } from './evaluate.ts'
import { namesIn, parseExpression } from './expression.ts'
import { FUNCTIONS } from './expression-functions.ts'

export const MAX_STEPS = 200
export const MAX_DEFINITION_BYTES = 262_144

export const STEP_KINDS = [
  'agent',
  'tool',
  'dsl_action',
  'knowledge.search',
  'knowledge.add',
  'secret.get',
  'transform',
  'http',
  'foreach',
  'subworkflow',
  'delay',
  'wait_for_approval',
  'wait_for_signal',
  /** Done by code of ours; only definitions of ours have it. */
  'builtin',
] as const
export type StepKind = (typeof STEP_KINDS)[number]

const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/
const StepId = z.string().regex(IDENTIFIER)
const With = z.record(z.string(), z.unknown())
const Retry = z.strictObject({
  max_attempts: z.int().min(1).max(20),
  backoff: z.enum(['fixed', 'exponential']).default('fixed'),
  delay_ms: z.int().min(0).max(86_400_000).default(1_000),
})

export const Step = z.strictObject({
  id: StepId,
  kind: z.enum(STEP_KINDS),
  needs: z.array(StepId).max(MAX_STEPS).default([]),
  with: With.default({}),
  when: z.string().min(1).optional(),
  retry: Retry.optional(),
  timeout_seconds: z.number().positive().max(604_800).optional(),
  on_error: z.enum(['fail', 'continue']).default('fail'),
  /** Doing it twice does no harm. */
  idempotent: z.boolean().optional(),
})
export type Step = z.output<typeof Step>

/** What a `foreach` does with each item. */
export const InnerStep = z.strictObject({
  kind: z
    .enum(STEP_KINDS)
    .exclude(['foreach', 'wait_for_approval', 'wait_for_signal', 'delay', 'builtin']),
  with: With.default({}),
  idempotent: z.boolean().optional(),
})
export type InnerStep = z.output<typeof InnerStep>

export const Definition = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/),
  version: z.string().min(1).max(64).default('1'),
  description: z.string().max(4_096).optional(),
  parameters: z.record(z.string(), z.unknown()).default({ type: 'object' }),
  steps: z.array(Step).min(1).max(MAX_STEPS),
  outputs: z.record(z.string().min(1).max(128), z.string().min(1)).default({}),
  /** Of the whole run. */
  timeout_seconds: z.number().positive().max(2_592_000).optional(),
})
export type Definition = z.output<typeof Definition>

/** @throws VestryError WORKFLOW_INVALID with a path for each problem. */
export function readDefinition(given: unknown, isOurs = false): Definition {
  if (Buffer.byteLength(JSON.stringify(given) ?? '') > MAX_DEFINITION_BYTES)
    throw invalid([`definition: must take at most ${MAX_DEFINITION_BYTES} bytes`])
  const read = Definition.safeParse(given)
  if (!read.success)
    throw invalid(read.error.issues.map(({ path, message }) => `${pathText(path)}: ${message}`))
  const problems = problemsOf(read.data)
  if (!isOurs)
    for (const [at, { kind }] of read.data.steps.entries())
      if (kind === 'builtin')
        problems.push(`steps[${at}].kind: "builtin" belongs to built-in workflows`)
  if (problems.length > 0) throw invalid(problems)
  return read.data
}

/** Steps that must be over before this one: those it names, and those whose output it reads. */
export function needsOf(step: Step): Set<string> {
  const needs = new Set(step.needs)
  for (const source of expressionsOf(step))
    for (const id of namesIn(parseExpression(source)).steps) needs.add(id)
  return needs
}

/** @throws VestryError VALIDATION_ERROR with a path for each problem. */
export function checkedParams(
  { parameters }: Definition,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const copy = structuredClone(given) as JsonObject // parsed from JSON; defaults are filled in
  const { params, problems } = paramCheck(schemaOf(parameters))(copy)
  if (problems.length === 0) return params
  throw new VestryError('VALIDATION_ERROR', problems[0], {
    context: { details: problems.map((problem) => `parameters.${problem}`) },
  })
}

function schemaOf(parameters: Readonly<Record<string, unknown>>): JsonObject {
  return { type: 'object', ...parameters } as JsonObject
}

function problemsOf(definition: Definition): string[] {
  const { steps, outputs, parameters } = definition
  const problems: string[] = []
  const ids = new Set<string>()
  for (const [at, { id }] of steps.entries()) {
    if (ids.has(id)) problems.push(`steps[${at}].id: "${id}" is there twice`)
    ids.add(id)
  }
  try {
    paramCheck(schemaOf(parameters))
  } catch (error) {
    problems.push(`parameters: ${error instanceof Error ? error.message : 'is no JSON Schema'}`)
  }
  for (const [at, step] of steps.entries())
    problems.push(...stepProblems(step, `steps[${at}]`, ids))
  for (const [name, source] of Object.entries(outputs))
    problems.push(...expressionProblems(source, `outputs.${name}`, ids))
  if (problems.length === 0) {
    const cycle = cycleOf(steps)
    if (cycle !== undefined) problems.push(`steps: they wait for each other: ${cycle.join(' → ')}`)
  }
  return problems
}

function stepProblems(step: Step, path: string, ids: ReadonlySet<string>): string[] {
  const problems: string[] = []
  for (const [n, need] of step.needs.entries())
    if (!ids.has(need)) problems.push(`${path}.needs[${n}]: there is no step "${need}"`)
  if (step.when !== undefined) problems.push(...expressionProblems(step.when, `${path}.when`, ids))
  const inLoop = step.kind === 'foreach'
  for (const [name, value] of Object.entries(step.with)) {
    if (step.kind === 'transform' && name === 'expression' && typeof value === 'string')
      problems.push(...expressionProblems(value, `${path}.with.expression`, ids))
    else problems.push(...valueProblems(value, `${path}.with.${name}`, ids, inLoop))
  }
  problems.push(...kindProblems(step.kind, step.with, path))
  return problems
}

const NEEDED: Readonly<Record<StepKind, readonly string[]>> = {
  agent: ['agent'],
  tool: ['tool'],
  dsl_action: ['source'],
  'knowledge.search': ['query'],
  'knowledge.add': [],
  'secret.get': ['reference'],
  transform: [],
  http: ['url'],
  foreach: ['items', 'step'],
  subworkflow: ['workflow_id'],
  delay: ['seconds'],
  wait_for_approval: ['summary'],
  wait_for_signal: ['name'],
  builtin: [],
}

function kindProblems(
  kind: StepKind,
  given: Readonly<Record<string, unknown>>,
  path: string,
): string[] {
  const problems = NEEDED[kind]
    .filter((name) => given[name] === undefined)
    .map((name) => `${path}.with.${name}: is missing`)
  if (kind === 'transform' && given['expression'] === undefined && given['value'] === undefined)
    problems.push(`${path}.with.expression: is missing`)
  if (kind === 'foreach' && given['step'] !== undefined) {
    const inner = InnerStep.safeParse(given['step'])
    if (inner.success)
      problems.push(...kindProblems(inner.data.kind, inner.data.with, `${path}.with.step`))
    else
      problems.push(
        ...inner.error.issues.map(
          ({ path: at, message }) => `${path}.with.step.${pathText(at)}: ${message}`,
        ),
      )
  }
  return problems
}

function valueProblems(
  value: unknown,
  path: string,
  ids: ReadonlySet<string>,
  inLoop: boolean,
): string[] {
  if (typeof value === 'string') {
    if (!value.includes('${')) return []
    try {
      return partsOf(value).flatMap((part) =>
        'text' in part ? [] : expressionProblems(part.expression, path, ids, inLoop),
      )
    } catch (error) {
      return [`${path}: ${messageOf(error)}`]
    }
  }
  if (Array.isArray(value))
    return value.flatMap((item, at) => valueProblems(item, `${path}[${at}]`, ids, inLoop))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) =>
    name === 'expression' && inLoop && typeof member === 'string'
      ? expressionProblems(member, `${path}.${name}`, ids, inLoop)
      : valueProblems(member, `${path}.${name}`, ids, inLoop),
  )
}

const ROOTS: ReadonlySet<string> = new Set(['params', 'steps', 'run', 'null', 'None'])
const LOOP_ROOTS: ReadonlySet<string> = new Set(['item', 'index'])

function expressionProblems(
  source: string,
  path: string,
  ids: ReadonlySet<string>,
  inLoop = false,
): string[] {
  try {
    const { steps, roots } = namesIn(parseExpression(source))
    const unknown = [...roots].filter(
      (name) =>
        !ROOTS.has(name) && !(inLoop && LOOP_ROOTS.has(name)) && !Object.hasOwn(FUNCTIONS, name),
    )
    return [
      ...[...steps].filter((id) => !ids.has(id)).map((id) => `${path}: there is no step "${id}"`),
      ...unknown.map((name) => `${path}: "${name}" is not known`),
    ]
  } catch (error) {
    return [`${path}: ${messageOf(error)}`]
  }
}

function expressionsOf(step: Step): string[] {
  const found: string[] = step.when === undefined ? [] : [step.when]
  const look = (value: unknown, name?: string): void => {
    if (typeof value === 'string') {
      if (name === 'expression') found.push(value)
      else if (value.includes('${'))
        for (const part of partsOf(value)) if ('expression' in part) found.push(part.expression)
    } else if (Array.isArray(value)) for (const item of value) look(item)
    else if (typeof value === 'object' && value !== null)
      for (const [key, member] of Object.entries(value)) look(member, key)
  }
  for (const [name, value] of Object.entries(step.with))
    look(value, step.kind === 'transform' || name === 'step' ? name : undefined)
  return found
}

/** Ids along one circle; undefined where there is none. */
function cycleOf(steps: readonly Step[]): string[] | undefined {
  const needs = new Map(steps.map((step) => [step.id, needsOf(step)]))
  const over = new Set<string>()
  for (const { id } of steps) {
    // An own stack: as deep as the longest chain.
    const path: { id: string; left: string[] }[] = [{ id, left: [...(needs.get(id) ?? [])] }]
    while (path.length > 0) {
      const top = path.at(-1)
      if (top === undefined) break
      const next = top.left.pop()
      if (next === undefined) {
        over.add(top.id)
        path.pop()
        continue
      }
      const at = path.findIndex((one) => one.id === next)
      if (at >= 0) return [...path.slice(at).map((one) => one.id), next]
      if (!over.has(next)) path.push({ id: next, left: [...(needs.get(next) ?? [])] })
    }
  }
  return undefined
}

function invalid(problems: readonly string[]): VestryError {
  const shown = problems.slice(0, 20)
  return new VestryError('WORKFLOW_INVALID', shown[0], { context: { details: shown } })
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
  return text.join('').replace(/^\./, '') || 'definition'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
