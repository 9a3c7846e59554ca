/** Whether the target of a rule means an operation, and the names it gives to arguments. */
import type { Expression } from '../ast.ts'
import type { Value } from '../host.ts'
import { isNamed, kindNamed, type Operation } from './operation.ts'

/** `unreadable`: nobody can tell what it means. */
export type TargetMatch =
  | { readonly kind: 'match'; readonly bound: Readonly<Record<string, Value>> }
  | { readonly kind: 'none' | 'unreadable' }

const NONE: TargetMatch = { kind: 'none' }
const UNREADABLE: TargetMatch = { kind: 'unreadable' }
const PLAIN: TargetMatch = { kind: 'match', bound: {} }

export function matchTarget(target: Expression, operation: Operation): TargetMatch {
  const word = wordOf(target)
  if (word !== undefined) return meansOperation(word, operation) ? PLAIN : NONE
  if (target.kind === 'array') {
    const found = target.items.map((item) => matchTarget(item, operation))
    const hit = found.find(({ kind }) => kind === 'match')
    return hit ?? (found.some(({ kind }) => kind === 'unreadable') ? UNREADABLE : NONE)
  }
  return target.kind === 'call' ? matchCall(target, operation) : UNREADABLE
}

/** A name, a text, or `notes.append`, which means `notes:append`. */
export function wordOf(target: Expression): string | undefined {
  if (target.kind === 'name') return target.text
  if (target.kind === 'string') return target.value
  if (target.kind !== 'member') return undefined
  const object = wordOf(target.object)
  return object === undefined ? undefined : `${object}:${target.name.text}`
}

function matchCall(
  { callee, args }: Extract<Expression, { kind: 'call' }>,
  operation: Operation,
): TargetMatch {
  const word = wordOf(callee)
  if (word === undefined) return UNREADABLE
  if (!meansOperation(word, operation)) return NONE
  const bound = Object.create(null) as Record<string, Value>
  for (const [i, { value }] of args.entries()) {
    if (value.kind === 'string') {
      if (i > 0) return UNREADABLE
      if (!isNamed(value.value, operation)) return NONE
      continue
    }
    if (value.kind !== 'name') return UNREADABLE
    if (value.text === 'any' || value.text === '_') continue
    const argument = argumentNamed(operation, value.text, i)
    // Bound to nothing, a condition that asks for it cannot be evaluated.
    if (argument !== undefined) bound[value.text] = argument
  }
  return { kind: 'match', bound }
}

function argumentNamed(
  { args, name }: Operation,
  wanted: string,
  index: number,
): Value | undefined {
  if (Object.hasOwn(args, wanted)) return args[wanted]
  return index === 0 ? name : undefined
}

function meansOperation(word: string, operation: Operation): boolean {
  return word === 'any' || kindNamed(word) === operation.op || isNamed(word, operation)
}
