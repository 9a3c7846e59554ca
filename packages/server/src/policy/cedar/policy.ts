/** One policy, compiled: its scope as data (for the index), its conditions as closures. */
import { compileExpression } from './compile.ts'
import type { Entity, EvalContext } from './entity.ts'
import {
  type Json,
  Place,
  readArray,
  readObject,
  readString,
  readTypeName,
  readUid,
} from './est.ts'
import { type CedarError, type EntityUid, mistyped, type Value } from './value.ts'

export type Effect = 'permit' | 'forbid'

export type EntityScope =
  | { op: 'all' }
  | { op: 'eq'; entity: EntityUid }
  | { op: 'in'; entity: EntityUid }
  | { op: 'is'; type: string }
  | { op: 'isIn'; type: string; entity: EntityUid }

export type ActionScope =
  | { op: 'all' }
  | { op: 'eq'; entity: EntityUid }
  | { op: 'in'; entities: readonly EntityUid[] }

export interface Scope {
  readonly principal: EntityScope
  readonly action: ActionScope
  readonly resource: EntityScope
}

export interface Condition {
  readonly kind: 'when' | 'unless'
  /** The body in Cedar's JSON form. */
  readonly json: unknown
  /** The value of the body itself, not negated for `unless`. */
  evaluate(context: EvalContext): Value | CedarError
  /** Whether the condition is met: the body is true (`when`) or false (`unless`). */
  holds(context: EvalContext): boolean | CedarError
}

export interface CompiledPolicy {
  readonly id: string
  readonly effect: Effect
  /** Without a prototype. Null for an annotation that has no value. */
  readonly annotations: Readonly<Record<string, string | null>>
  readonly scope: Scope
  /** In source order. Cedar joins them with `&&`: the first that is not met ends it. */
  readonly conditions: readonly Condition[]
  /** Place in the list the set was compiled from. */
  readonly ordinal: number
}

/**
 * @param json The policy in Cedar's JSON form, as `policyToJson` of Cedar 4 gives it.
 * @throws VestryError `POLICY_INVALID` for a template and for anything not understood.
 */
export function compilePolicy(id: string, json: unknown, ordinal = 0): CompiledPolicy {
  const root = new Place(id)
  const policy = readObject(json, root)
  const known = ['effect', 'principal', 'action', 'resource', 'conditions', 'annotations']
  for (const name of Object.keys(policy)) {
    if (!known.includes(name)) throw root.refuse(`unknown member "${name}"`)
  }
  const conditions = readArray(policy['conditions'] ?? [], root.at('conditions'))
  return {
    id,
    effect: readEffect(policy['effect'], root),
    annotations: readAnnotations(policy['annotations'] ?? {}, root.at('annotations')),
    scope: {
      principal: readScope(policy['principal'], root.at('principal')),
      action: readActionScope(policy['action'], root.at('action')),
      resource: readScope(policy['resource'], root.at('resource')),
    },
    conditions: conditions.map((one, index) =>
      compileCondition(one, root.at(`conditions/${index}`)),
    ),
    ordinal,
  }
}

/** Evaluates the conditions in order; the scope is taken to match. */
export function satisfied(policy: CompiledPolicy, context: EvalContext): boolean | CedarError {
  for (const condition of policy.conditions) {
    const met = condition.holds(context)
    if (met !== true) return met
  }
  return true
}

/** What the index does with many policies at once, for one. */
export function scopeCovers(scope: EntityScope, entity: Entity): boolean {
  const { uid } = entity
  switch (scope.op) {
    case 'all':
      return true
    case 'eq':
      return uid.key === scope.entity.key
    case 'in':
      return uid.key === scope.entity.key || entity.isUnder(scope.entity)
    case 'is':
      return uid.type === scope.type
    case 'isIn':
      return (
        uid.type === scope.type && (uid.key === scope.entity.key || entity.isUnder(scope.entity))
      )
  }
}

function readEffect(json: unknown, place: Place): Effect {
  if (json === 'permit' || json === 'forbid') return json
  throw place.refuse('effect is neither permit nor forbid')
}

function readAnnotations(json: unknown, place: Place): Record<string, string | null> {
  const annotations: Record<string, string | null> = Object.create(null)
  for (const [name, value] of Object.entries(readObject(json, place))) {
    annotations[name] = value === null ? null : readString(value, place.at(name))
  }
  return annotations
}

function readScope(json: unknown, place: Place): EntityScope {
  const scope = readObject(json, place)
  refuseSlot(scope, place)
  switch (scope['op']) {
    case 'All':
      return { op: 'all' }
    case '==':
      return { op: 'eq', entity: readUid(scope['entity'], place) }
    case 'in':
      return { op: 'in', entity: readUid(scope['entity'], place) }
    case 'is': {
      const type = readTypeName(scope['entity_type'], place)
      if (scope['in'] === undefined) return { op: 'is', type }
      const within = readObject(scope['in'], place)
      refuseSlot(within, place)
      return { op: 'isIn', type, entity: readUid(within['entity'], place) }
    }
    default:
      throw place.refuse('unknown scope')
  }
}

function readActionScope(json: unknown, place: Place): ActionScope {
  const scope = readObject(json, place)
  switch (scope['op']) {
    case 'All':
      return { op: 'all' }
    case '==':
      return { op: 'eq', entity: readUid(scope['entity'], place) }
    case 'in': {
      if (scope['entities'] === undefined) {
        return { op: 'in', entities: [readUid(scope['entity'], place)] }
      }
      const entities = readArray(scope['entities'], place)
      return { op: 'in', entities: entities.map((uid) => readUid(uid, place)) }
    }
    default:
      throw place.refuse('unknown scope')
  }
}

function refuseSlot(scope: Json, place: Place): void {
  if (scope['slot'] === undefined) return
  throw place.refuse('templates are not supported', 'Write one policy for each case.')
}

function compileCondition(json: unknown, place: Place): Condition {
  const clause = readObject(json, place)
  const { kind, body } = clause
  if (kind !== 'when' && kind !== 'unless') throw place.refuse('neither when nor unless')
  const evaluate = compileExpression(body, place).run
  const wanted = kind === 'when'
  return {
    kind,
    json: body,
    evaluate,
    holds: (context) => {
      const value = evaluate(context)
      return typeof value === 'boolean' ? value === wanted : mistyped(value, 'bool')
    },
  }
}
