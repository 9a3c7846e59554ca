/** Embedding and reranking models of the AI SDK, wrapped. */
import { type AdapterOptions, captureChoice } from '../adapters/options.ts'
import { failure } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { fields, figure, list, present, text } from '../adapters/shapes.ts'
import { usageOf } from '../adapters/usage.ts'
import { wrapped } from '../adapters/wrapped.ts'
import { type SpanEnd, type SpanStart, startSpan } from '../span.ts'
import { aiSdk } from './framework.ts'
import { providerOf } from './generations.ts'
import { activeSteps } from './open-steps.ts'

/** Calls are told as model calls with `operation: "embeddings"`. */
export function coatEmbeddingModel<Model extends object>(
  model: Model,
  options: AdapterOptions = {},
): Model {
  return watching(model, 'doEmbed', options, {
    begin: (params, { provider, modelId }) => {
      const values = list(fields(params)?.['values'])
      return {
        op: 'embedding',
        fn: 'doEmbed',
        payload: present({
          operation: 'embeddings',
          provider,
          model: modelId,
          messages: { count: values.length, roles: [], chars: values.map(length) },
        }),
        captured: { preview: { args: [values] } },
      }
    },
    end: (result) => {
      const told = fields(result)
      const tokens = figure(fields(told?.['usage'])?.['tokens'])
      return {
        payload: present({
          count: list(told?.['embeddings']).length,
          usage: usageOf({ input: tokens, output: tokens === undefined ? undefined : 0 }),
        }),
      }
    },
  })
}

/** Calls are told as reads of memory: what was ranked highest, by place and score. */
export function coatRerankingModel<Model extends object>(
  model: Model,
  options: AdapterOptions = {},
): Model {
  return watching(model, 'doRerank', options, {
    begin: (params, { provider, modelId }) => {
      const asked = fields(params)
      return {
        op: 'retriever',
        fn: 'doRerank',
        payload: present({
          source: 'retriever',
          provider,
          model: modelId,
          top_k: figure(asked?.['topN']),
          documents: list(fields(asked?.['documents'])?.['values']).length,
        }),
        captured: { query: asked?.['query'] },
      }
    },
    end: (result) => {
      const ranking = list(fields(result)?.['ranking']).map(fields)
      return {
        payload: {
          count: ranking.length,
          ids: ranking.map((each) => String(each?.['index'] ?? '')),
          scores: ranking.flatMap((each) => figure(each?.['relevanceScore']) ?? []),
        },
      }
    },
  })
}

interface Telling {
  begin(
    params: unknown,
    name: { provider: string | undefined; modelId: string | undefined },
  ): SpanStart
  end(result: unknown): Pick<SpanEnd, 'payload' | 'captured'>
}

function watching<Model extends object>(
  model: Model,
  method: 'doEmbed' | 'doRerank',
  options: AdapterOptions,
  telling: Telling,
): Model {
  const own = model as Record<string, unknown>
  const call = typeof model === 'object' && model !== null ? own[method] : undefined
  if (typeof call !== 'function') {
    throw new TypeError(`This wrapper takes a model of the AI SDK that has ${method}`)
  }
  // Finds the version now, not while a model is being called.
  aiSdk()
  const provider = providerOf({ provider: String(own['provider'] ?? ''), modelId: '' })
  const modelId = text(own['modelId'])
  const watched = async (params: unknown): Promise<unknown> => {
    const span = quietly(() =>
      startSpan({
        ...telling.begin(params, { provider, modelId }),
        parent: activeSteps()?.parentOfTool(),
        framework: aiSdk(),
        capture: captureChoice(options),
      }),
    )
    if (span === undefined) return call.call(model, params)
    try {
      const result: unknown = await span.run(() => call.call(model, params))
      quietly(() => span.end({ status: 'ok', ...telling.end(result) }))
      return result
    } catch (error) {
      quietly(() => span.end({ status: failure(error, fields(params)?.['abortSignal']), error }))
      throw error
    }
  }
  return wrapped(model, new Map([[method, watched]]))
}

function length(value: unknown): number {
  return typeof value === 'string' ? value.length : 0
}
