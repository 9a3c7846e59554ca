/** SI-016: a text that names a file, a machine or a query, and can be anything. */
import type { Hit, Param, Rule, Sink, Subject } from '../rule.ts'

const SINKS: readonly Sink[] = ['path', 'url', 'host', 'query', 'template']

export const unconstrainedSink: Rule = {
  id: 'SI-016',
  category: 'schema_injection',
  title: 'Takes any text where it matters what it is',
  reason: 'Who controls a path, an address, a query or a template controls what the tool does.',
  recommendation:
    'Give the parameter an enum, or an anchored pattern and a maxLength of at most 4096.',
  find: unconstrained,
  examples: {
    hit: {
      tool: {
        name: 'show',
        description: 'Shows a page.',
        schema: { properties: { page_url: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'show',
        description: 'Shows a page.',
        schema: {
          properties: {
            page_url: {
              type: 'string',
              pattern: '^https://docs\\.example\\.com/[a-z/]*$',
              maxLength: 200,
            },
            path_count: { type: 'integer' },
          },
        },
      },
    },
  },
}

function* unconstrained({ params }: Subject): Iterable<Hit> {
  for (const param of params) {
    const sink = SINKS.find((one) => param.sinks.has(one))
    if (sink === undefined || param.constrained || !takesText(param)) continue
    yield {
      location: param.location,
      severity: 'medium',
      confidence: 0.7,
      description: `${param.name} is used as a ${sink} and can be any text.`,
      evidence: JSON.stringify(param.schema).slice(0, 200),
    }
  }
}

/** Also where nothing is said of the type. */
function takesText({ types }: Param): boolean {
  return types.length === 0 || types.includes('string') || types.includes('array')
}
