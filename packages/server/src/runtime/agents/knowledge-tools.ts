/** Knowledge as a tool of agents that run here. Policy says what each of them finds. */
import { accept } from '@vestry/contract/accept'
import { KnowledgeSourceType } from '@vestry/contract/runtime'
import * as z from 'zod'
import type { SearchFor } from '../../knowledge/knowledge.ts'
import type { SourceTool } from './tool-source.ts'

const Arguments = z.strictObject({
  query: z.string().min(1).max(8_192),
  source_types: z.array(z.enum(KnowledgeSourceType)).max(16).optional(),
  limit: z.int().min(1).max(20).default(5),
  threshold: z.number().min(0).max(1).default(0.4),
})

const PARAMETERS = {
  type: 'object',
  additionalProperties: false,
  required: ['query'],
  properties: {
    query: { type: 'string', description: 'What to look for, as a question or in a few words' },
    source_types: {
      type: 'array',
      items: { type: 'string', enum: Object.values(KnowledgeSourceType) },
      description: 'Kinds of sources; all if absent',
    },
    limit: { type: 'integer', minimum: 1, maximum: 20, description: 'Default 5' },
    threshold: { type: 'number', minimum: 0, maximum: 1, description: 'Default 0.4' },
  },
} as const

export function knowledgeTools(search: SearchFor): readonly SourceTool[] {
  return [
    {
      id: 'knowledge:search',
      names: ['knowledge__search', 'knowledge:search'],
      bare: 'search_knowledge',
      group: 'knowledge',
      description: 'Finds passages in what this agent may know, best first, with their sources',
      parameters: PARAMETERS,
      call: async ({ caller, requestId, args, signal, timeoutMs }) => {
        const { query, source_types, limit, threshold } = accept(Arguments, args)
        const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
        const { hits, total } = await search({ caller, requestId, signal: within }, query, {
          limit,
          threshold,
          sourceTypes: source_types ?? [],
        })
        const results = hits.map(({ item, chunk, score }) => ({
          id: item.id,
          source: item.source,
          score: Math.round(score * 1_000) / 1_000,
          text: chunk.text,
        }))
        return { text: JSON.stringify({ results, total_results: total }), isError: false }
      },
    },
  ]
}
