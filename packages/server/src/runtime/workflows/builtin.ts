/** Workflows that are always there. Each is one step, which is done by code of ours. */
import type { Definition } from './definition.ts'
import { readDefinition } from './definition.ts'

/** What the only step of a built-in is done by. */
export type BuiltinName = 'data-analysis-workflow' | 'knowledge-ingest' | 'echo'

const SOURCE_TYPES = ['document', 'code', 'api_reference', 'conversation']

/** Parameters as JSON Schema, and what it is for. */
const BUILTINS: Readonly<
  Record<BuiltinName, { step: string; description: string; parameters: Record<string, unknown> }>
> = {
  'data-analysis-workflow': {
    step: 'analyse',
    description: 'Statistics of a table: rows, or a CSV file of the data directory',
    parameters: {
      type: 'object',
      properties: {
        input_data: { type: ['string', 'array'], maxItems: 1_000_000 },
        analysis_type: { enum: ['statistical'], default: 'statistical' },
      },
      required: ['input_data'],
    },
  },
  'knowledge-ingest': {
    step: 'ingest',
    description: 'Puts items, or one text, into the knowledge',
    parameters: {
      type: 'object',
      properties: {
        items: { type: 'array', minItems: 1, maxItems: 100, items: { type: 'object' } },
        text: { type: 'string', minLength: 1, maxLength: 1_048_576 },
        source: { type: 'string', minLength: 1, maxLength: 1_024 },
        source_type: { enum: SOURCE_TYPES },
        agent_id: { type: ['string', 'null'] },
        timestamp: { type: ['string', 'number'] },
        labels: { type: 'array', maxItems: 32, items: { type: 'string', maxLength: 64 } },
      },
      anyOf: [{ required: ['items'] }, { required: ['text', 'source'] }],
    },
  },
  echo: {
    step: 'echo',
    description: 'Answers with its parameters',
    parameters: { type: 'object' },
  },
}

const DEFINITIONS: ReadonlyMap<string, Definition> = new Map(
  Object.entries(BUILTINS).map(([id, { step, description, parameters }]) => [
    id,
    readDefinition(
      {
        id,
        version: '1',
        description,
        parameters,
        // Items get ids of the run, so that doing it again puts nothing in twice.
        steps: [
          {
            id: step,
            kind: 'builtin',
            // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of workflows
            with: { name: id, parameters: '${params}' },
            idempotent: true,
          },
        ],
      },
      true,
    ),
  ]),
)

export function builtinDefinition(id: string): Definition | undefined {
  return DEFINITIONS.get(id)
}

export function builtinDefinitions(): readonly Definition[] {
  return [...DEFINITIONS.values()]
}
