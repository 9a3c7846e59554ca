/** From a source to what is stored and run: parse, check, and the normal form of each agent. Deterministic. */

import { type CheckOptions, check } from './check.ts'
import type { CheckedAgent } from './definition.ts'
import { definitionOf } from './definition-of.ts'
import type { Diagnostic } from './diagnostic.ts'
import { inOrder, MAX_DIAGNOSTICS, parse } from './parse.ts'

export interface Compiled {
  /** No errors; warnings may be there. */
  readonly success: boolean
  /** In the order of the source; empty where there are errors. */
  readonly agents: readonly CheckedAgent[]
  /** The one that was asked for; else the only one. */
  readonly agent: CheckedAgent | undefined
  readonly diagnostics: readonly Diagnostic[]
}

export function compileSource(source: string, options: CheckOptions = {}): Compiled {
  const parsed = parse(source)
  // Half a tree would be blamed for what only its missing half explains.
  const isWhole = !parsed.diagnostics.some(({ severity }) => severity === 'error')
  const isShort = parsed.diagnostics.some(({ code }) =>
    ['E_UNEXPECTED_EOF', 'E_TOO_DEEP', 'E_TOO_LARGE'].includes(code),
  )
  const checked = isShort
    ? []
    : check(parsed.program, options).filter(
        ({ severity, code }) => isWhole || (severity === 'error' && code !== 'E_NO_AGENT'),
      )
  const diagnostics = bounded(inOrder([...parsed.diagnostics, ...checked]))
  if (diagnostics.some(({ severity }) => severity === 'error')) {
    return { success: false, agents: [], agent: undefined, diagnostics }
  }
  const agents = definitionOf(source, parsed.program)
  const named = agents.find(({ definition }) => definition.name === options.agentName)
  const only = agents.length === 1 ? agents[0] : undefined
  return { success: true, agents, agent: named ?? only, diagnostics }
}

function bounded(all: readonly Diagnostic[]): readonly Diagnostic[] {
  const counts = { error: 0, warning: 0 }
  return all.filter(({ severity }) => ++counts[severity] <= MAX_DIAGNOSTICS)
}
