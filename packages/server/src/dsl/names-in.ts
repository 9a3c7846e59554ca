/** Which functions and attributes an expression or a body can reach: by name, since there is no other way. */
import type { Expression } from './ast.ts'
import type { ProgramCode } from './definition.ts'
import { callableOf } from './interpreter/program.ts'

type Declared = ProgramCode['functions'][number]

/** Every expression below, in the order of the source. */
export function* expressionsOf(node: unknown): Iterable<Expression> {
  if (typeof node !== 'object' || node === null) return
  if (Array.isArray(node)) {
    for (const part of node) yield* expressionsOf(part)
    return
  }
  if ('kind' in node && typeof node.kind === 'string' && EXPRESSIONS.has(node.kind))
    yield node as Expression
  for (const [name, part] of Object.entries(node)) if (name !== 'span') yield* expressionsOf(part)
}

/** Kinds that no statement has. */
const EXPRESSIONS: ReadonlySet<string> = new Set(['call', 'secret', 'name'])

/** All names that stand below. */
export function namesIn(node: unknown): ReadonlySet<string> {
  const found = [...expressionsOf(node)].flatMap((one) =>
    one.kind === 'name' && 'text' in one ? [one.text] : [],
  )
  return new Set(found)
}

/** Those of the functions that can be reached from there, in the order of the source. */
export function reachable(from: unknown, functions: readonly Declared[]): readonly Declared[] {
  const found = new Set<Declared>()
  const queue: unknown[] = [from]
  while (queue.length > 0) {
    const names = namesIn(queue.pop())
    for (const one of functions) {
      if (found.has(one) || !names.has(one.name.text)) continue
      found.add(one)
      queue.push(callableOf(one))
    }
  }
  return functions.filter((one) => found.has(one))
}
