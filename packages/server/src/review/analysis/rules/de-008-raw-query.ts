/** DE-008: a whole language in one parameter. */
import type { Rule } from '../rule.ts'
import { isFreeText, named, purposeOf, purposeOfParam } from './purpose.ts'

const LANGUAGE =
  /\b(?:sql|graphql|cypher|ldap|xpath|xquery|sparql|gremlin|jql|cql|kql|soql|promql|influxql|mongodb? (?:query|filter)|jsonpath|jmespath|regexp?|regular expressions?|lucene)\b/
const OWN: ReadonlySet<string> = new Set(
  'sql graphql cypher ldap xpath xquery sparql gremlin jql cql kql soql promql regex regexp jsonpath jmespath'.split(
    ' ',
  ),
)

export const rawQuery: Rule = {
  id: 'DE-008',
  category: 'data_exposure',
  title: 'Takes a raw query language',
  reason:
    'A free query reaches every table, node or entry that the connection of the server may see, and often more than reading.',
  recommendation:
    'Offer the few queries that are needed as an enum, and take their values as parameters.',
  *find(subject) {
    const purpose = purposeOf(subject)
    for (const param of subject.params) {
      if (!isFreeText(param)) continue
      const isOne = param.words.some((word) => OWN.has(word))
      const isSaid =
        param.sinks.has('query') && LANGUAGE.test(`${purposeOfParam(param)} ${purpose}`)
      if (!isOne && !isSaid) continue
      yield {
        location: param.location,
        severity: 'medium',
        confidence: 0.7,
        description: `"${param.name}" takes any statement of a query language.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'query',
        description: 'Runs a read-only SQL query.',
        schema: { properties: { sql: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'web_search',
        description: 'Searches the web.',
        schema: { properties: { query: { type: 'string', description: 'What to search for.' } } },
      },
    },
  },
}
