/** Knowledge over HTTP: items in and out, search, and context for prompts. */
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import { KnowledgeSourceType } from '@vestry/contract/runtime'
import * as z from 'zod'
import { type DocumentSource, MEDIA_TYPES } from '../../knowledge/document.ts'
import { MAX_FILE_BYTES } from '../../knowledge/documents/limits.ts'
import { mediaTypeOf } from '../../knowledge/documents/media-type.ts'
import {
  type KnowledgeItem,
  LABEL,
  MAX_CONTENT_BYTES,
  MAX_LABELS,
  MAX_QUERY_CHARS,
} from '../../knowledge/item.ts'
import type { Knowledge } from '../../knowledge/knowledge.ts'
import type { Added, NewItem } from '../../knowledge/requests.ts'
import type { Hit } from '../../knowledge/search/search.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'

const MAX_METADATA_BYTES = 16_384
const MAX_DIMENSION = 4_096
const MAX_PAGE = 1_000_000
const PAGE_LIMIT = 100
/** The largest document in base64, and what stands around it. */
const MAX_DOCUMENT_BODY_BYTES = Math.ceil((MAX_FILE_BYTES * 4) / 3) + 65_536

const Id = z.string().regex(/^[^\p{C}]{1,256}$/u, 'must be 1 to 256 visible characters')
const AgentId = z.string().min(1).max(128).nullish()
const SourceType = z.enum(KnowledgeSourceType)
const Labels = z
  .array(z.string().regex(LABEL, 'must be 1 to 64 of a-z, 0-9, "_", "." and "-"'))
  .max(MAX_LABELS)
const Time = z.union([z.string().max(64), z.number()]).nullish()

const Metadata = z.looseObject({
  source: z.string().min(1).max(1_024),
  source_type: SourceType,
  chunk_index: z.int().min(0).nullish(),
  timestamp: Time,
  agent_id: AgentId,
  labels: Labels.nullish(),
})

const Item = z.looseObject({
  id: Id,
  content: z
    .string()
    .refine((text) => text.trim() !== '', 'must not be empty')
    .refine(
      (text) => Buffer.byteLength(text) <= MAX_CONTENT_BYTES,
      `must be at most ${MAX_CONTENT_BYTES} bytes`,
    ),
  embedding: z.array(z.number()).max(MAX_DIMENSION).nullish(),
  metadata: Metadata,
})

const DocumentBody = z.strictObject({
  id: Id.optional(),
  name: z.string().min(1).max(1_024),
  media_type: z.enum(MEDIA_TYPES).optional(),
  text: z.string().min(1).optional(),
  base64: z.base64().min(1).optional(),
  source_type: SourceType.default('document'),
  agent_id: AgentId,
  labels: Labels.default([]),
  timestamp: Time,
})

const Search = z.looseObject({
  query: z.string().max(MAX_QUERY_CHARS),
  agent_id: AgentId,
  source_types: z.array(SourceType).max(16).nullish(),
  limit: z.int().min(1).max(100).default(10),
  similarity_threshold: z.number().min(0).max(1).default(0.7),
})

const ContextBody = z.looseObject({
  query: z.string().max(MAX_QUERY_CHARS),
  agent_id: AgentId,
  source_types: z.array(SourceType).max(16).nullish(),
  max_context_items: z.int().min(1).max(50).default(5),
  max_tokens: z.int().min(1).max(1_000_000).nullish(),
  include_conversation_history: z.boolean().default(true),
})

export function knowledgeRoutes(knowledge: Knowledge): RuntimeRoute[] {
  const { reading, writing } = knowledge
  return [
    {
      method: 'POST',
      path: 'knowledge',
      access: 'key',
      handle: async (request) =>
        addedReply(await writing.add(request, newItem(read(Item, request)))),
    },
    {
      method: 'POST',
      path: 'knowledge/documents',
      access: 'key',
      maxBodyBytes: MAX_DOCUMENT_BODY_BYTES,
      handle: async (request) => {
        const body = read(DocumentBody, request)
        const document = documentOf(body)
        const added = await writing.addDocument(request, {
          id: body.id ?? body.name,
          document,
          source: body.name,
          sourceType: body.source_type,
          agentId: body.agent_id ?? undefined,
          labels: body.labels,
          timestamp: timeOf(body.timestamp),
        })
        return addedReply(added)
      },
    },
    {
      method: 'POST',
      path: 'knowledge/search',
      access: 'key',
      handle: async (request) => {
        const body = read(Search, request)
        const { hits, total } = await reading.search(request, body.query, {
          agentId: body.agent_id ?? undefined,
          sourceTypes: body.source_types ?? [],
          limit: body.limit,
          threshold: body.similarity_threshold,
        })
        const withVector = request.query['include_embedding'] === 'true'
        return {
          body: {
            results: hits.map((hit) => hitView(hit, withVector)),
            query: body.query,
            total_results: total,
          },
        }
      },
    },
    {
      method: 'POST',
      path: 'rag/context',
      access: 'key',
      handle: (request) => context(knowledge, request),
    },
    {
      method: 'GET',
      path: 'knowledge',
      access: 'key',
      handle: (request) => list(knowledge, request),
    },
    {
      method: 'GET',
      path: 'knowledge/:id',
      access: 'key',
      handle: async (request) => ({
        body: itemView(await reading.get(request, request.params['id'] ?? '')),
      }),
    },
    {
      method: 'DELETE',
      path: 'knowledge/:id',
      access: 'key',
      handle: async (request) => {
        const id = request.params['id'] ?? ''
        await writing.remove(request, id)
        return { body: { id, status: 'deleted' } }
      },
    },
  ]
}

async function context({ reading }: Knowledge, request: RuntimeRequest): Promise<RuntimeReply> {
  const body = read(ContextBody, request)
  const { passages, warnings } = await reading.context(request, body.query, {
    agentId: body.agent_id ?? undefined,
    sourceTypes: body.source_types ?? [],
    maxItems: body.max_context_items,
    maxTokens: body.max_tokens ?? undefined,
    includeConversation: body.include_conversation_history,
  })
  return {
    body: {
      context_items: passages.map(({ text }) => text),
      sources: passages.map(({ source }) => source),
      query: body.query,
      relevance_scores: passages.map(({ score }) => score),
      ...(warnings.length > 0 && { warnings }),
    },
  }
}

async function list({ reading }: Knowledge, request: RuntimeRequest): Promise<RuntimeReply> {
  const page = wholeNumber(request, 'page', 1, MAX_PAGE)
  const limit = wholeNumber(request, 'limit', 20, PAGE_LIMIT)
  const { agent_id: agentId, source_type: sourceType } = request.query
  const sourceTypes =
    sourceType === undefined ? [] : [accept(SourceType, sourceType, 'VALIDATION_ERROR')]
  const { items, total } = await reading.list(
    request,
    { agentId, sourceTypes },
    { offset: (page - 1) * limit, limit },
  )
  return { body: { items: items.map(itemView), total, page, limit } }
}

function read<S extends z.ZodType>(schema: S, request: RuntimeRequest): z.output<S> {
  return accept(schema, request.json(), 'VALIDATION_ERROR')
}

function addedReply(added: Added): RuntimeReply {
  return {
    status: added.replaced ? 200 : 201,
    body: {
      id: added.id,
      status: 'stored',
      chunks: added.chunks,
      embedding_model: added.embeddingModel,
      dimension: added.dimension,
      embedded: added.embedded,
      ...(added.warnings.length > 0 && { warnings: added.warnings }),
    },
  }
}

/** Also of the built-in workflow that takes items in. @throws VestryError VALIDATION_ERROR */
export function itemFrom(given: unknown): NewItem {
  return newItem(accept(Item, given, 'VALIDATION_ERROR'))
}

function newItem({ id, content, embedding, metadata }: z.output<typeof Item>): NewItem {
  const {
    source,
    source_type: sourceType,
    chunk_index: chunkIndex,
    timestamp,
    agent_id: agentId,
    labels,
    ...more
  } = metadata
  if (Buffer.byteLength(JSON.stringify(more)) > MAX_METADATA_BYTES)
    throw new VestryError(
      'VALIDATION_ERROR',
      `metadata: at most ${MAX_METADATA_BYTES} bytes beside the known members`,
    )
  return {
    id,
    content,
    embedding: embedding ?? undefined,
    source,
    sourceType,
    agentId: agentId ?? undefined,
    labels: labels ?? [],
    timestamp: timeOf(timestamp),
    chunkIndex: chunkIndex ?? undefined,
    metadata: more,
  }
}

const DATE =
  /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?$/
/** Seconds of the year 5138, and milliseconds of 1973: an epoch below is in seconds. */
const SECONDS_BELOW = 100_000_000_000
const LATEST_MS = 253_402_300_799_999

/** RFC 3339, a date alone, or an epoch in seconds or milliseconds. @returns Epoch ms. */
function timeOf(given: string | number | null | undefined): number | undefined {
  if (given === null || given === undefined || given === '') return undefined
  const ms = typeof given === 'number' ? epoch(given) : textTime(given)
  if (Number.isFinite(ms) && ms >= 0 && ms <= LATEST_MS) return Math.trunc(ms)
  throw new VestryError('VALIDATION_ERROR', 'timestamp: must be RFC 3339, a date, or an epoch')
}

function textTime(text: string): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return epoch(Number(text))
  if (!DATE.test(text)) return Number.NaN
  // A time without a zone is UTC, whatever this machine's is.
  const zoned = /(?:[Zz]|[+-]\d{2}:?\d{2})$/.test(text.slice(10)) || text.length === 10
  return Date.parse(zoned ? text.replace(' ', 'T') : `${text.replace(' ', 'T')}Z`)
}

function epoch(value: number): number {
  return value < SECONDS_BELOW ? value * 1_000 : value
}

function documentOf({
  name,
  media_type,
  text,
  base64,
}: z.output<typeof DocumentBody>): DocumentSource {
  if ((text === undefined) === (base64 === undefined))
    throw new VestryError('VALIDATION_ERROR', 'text, base64: give one of them')
  const bytes = text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text, 'utf8')
  const mediaType = media_type ?? mediaTypeOf(name, bytes)
  if (mediaType !== undefined) return { bytes, mediaType }
  throw new VestryError(
    'UNSUPPORTED_VALUE',
    `${name.slice(0, 64)} is no kind of document that is read`,
    {
      hint: `Give media_type: one of ${MEDIA_TYPES.join(', ')}`,
    },
  )
}

function itemView(item: KnowledgeItem): Record<string, unknown> {
  const { labels, owner, sourceType } = item.class
  return {
    id: item.id,
    content: item.content,
    embedding: null,
    metadata: {
      chunk_index: null,
      ...item.metadata,
      source: item.source,
      source_type: sourceType,
      timestamp: new Date(item.timestamp).toISOString(),
      agent_id: owner ?? null,
      ...(labels.length > 0 && { labels }),
    },
  }
}

function hitView({ item, chunk, score }: Hit, withVector: boolean): Record<string, unknown> {
  const vector = withVector && chunk.vector !== undefined ? [...chunk.vector] : null
  return {
    item: { ...itemView(item), embedding: vector },
    similarity_score: score,
    matched_text: chunk.text,
  }
}

function wholeNumber(
  { query }: RuntimeRequest,
  name: string,
  fallback: number,
  most: number,
): number {
  const given = query[name]
  if (given === undefined) return fallback
  const value = /^\d{1,9}$/.test(given) ? Number(given) : 0
  if (value >= 1 && value <= most) return value
  throw new VestryError('VALIDATION_ERROR', `${name}: must be from 1 to ${most}`)
}
