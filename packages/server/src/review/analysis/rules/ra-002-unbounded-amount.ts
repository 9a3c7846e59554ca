/** RA-002: numbers that decide how much work is done. */
import type { Param, Rule } from '../rule.ts'
import { named } from './purpose.ts'

const AMOUNTS: ReadonlySet<string> = new Set(
  'count limit size timeout iterations iteration concurrency parallelism depth retries attempts repeat repetitions workers threads replicas'.split(
    ' ',
  ),
)
/** `max_results` is an amount, `max_price` a filter. */
const MANY =
  /(?:^| )(?:max|maximum|num|number of|top|n) (?:results?|items?|tokens?|length|pages?|rows?|records?|entries|lines?|bytes|chars|characters|steps|calls|requests|agents|k)$|(?:^| )(?:per page|page size|batch size)$/
const OTHER = /(?:^| )(?:shoe|font|ring|paper|clothing) size$/

export const unboundedAmount: Rule = {
  id: 'RA-002',
  category: 'resource_abuse',
  title: 'Takes amounts without a maximum',
  reason: 'A count, limit or timeout without a maximum lets one call take all there is.',
  recommendation: 'Give the number a maximum that an honest caller will not reach.',
  *find({ params }) {
    for (const param of params) {
      if (!isAmount(param) || hasMaximum(param)) continue
      yield {
        location: param.location,
        severity: 'medium',
        confidence: 0.6,
        description: `"${param.name}" has no maximum.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'list',
        description: 'Lists items.',
        schema: { properties: { limit: { type: 'integer', minimum: 1 } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'list',
        description: 'Lists items.',
        schema: {
          properties: {
            limit: { type: 'integer', maximum: 100 },
            max_price: { type: 'number' },
            depth: { type: 'integer', enum: [1, 2] },
          },
        },
      },
    },
  },
}

function isAmount({ types, words }: Param): boolean {
  if (!types.includes('integer') && !types.includes('number')) return false
  const says = words.join(' ')
  return (words.some((word) => AMOUNTS.has(word)) || MANY.test(says)) && !OTHER.test(says)
}

function hasMaximum({ schema, hasEnum }: Param): boolean {
  const { maximum, exclusiveMaximum } = schema
  return (
    hasEnum ||
    maximum !== undefined ||
    (exclusiveMaximum !== undefined && exclusiveMaximum !== false)
  )
}
