/** PE-001: commands and code of the caller's making. */
import type { Param, Rule } from '../rule.ts'
import { isFreeText, named } from './purpose.ts'

const ARGUMENTS: ReadonlySet<string> = new Set(['args', 'argv', 'arguments'])
/** Expressions that nobody executes. */
const OTHER_EXPRESSIONS: ReadonlySet<string> = new Set([
  'cron',
  'regular',
  'facial',
  'gene',
  'idiomatic',
])

export const freeCommand: Rule = {
  id: 'PE-001',
  category: 'privilege_escalation',
  title: 'Takes any command or code',
  reason:
    'Whoever can write the command decides what runs. A model that was talked into something writes that something.',
  recommendation:
    'Offer a fixed set of operations as an enum, and take their parameters one by one.',
  *find({ params }) {
    for (const param of params) {
      if (!isFreeText(param)) continue
      const found = kindOf(param)
      if (found === undefined) continue
      const isCommand = found === 'command'
      yield {
        location: param.location,
        severity: isCommand ? 'critical' : 'high',
        confidence: isCommand ? 0.85 : 0.8,
        description: `"${param.name}" takes any ${found === 'arguments' ? 'arguments of a command' : found}.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'run',
        description: 'Runs a task.',
        schema: { properties: { cmd: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'run',
        description: 'Runs a task.',
        schema: {
          properties: {
            command: { type: 'string', enum: ['build', 'test', 'lint'] },
            country_code: { type: 'string' },
          },
        },
      },
    },
  },
}

function kindOf({ sinks, words }: Param): 'command' | 'arguments' | 'code' | undefined {
  if (words.at(-1) === 'cmdline') return 'command'
  if (sinks.has('command')) return ARGUMENTS.has(words.at(-1) ?? '') ? 'arguments' : 'command'
  return sinks.has('code') && !OTHER_EXPRESSIONS.has(words.at(-2) ?? '') ? 'code' : undefined
}
