/**
 * The one table of providers: which model names are whose, where each provider lives, and which
 * variables configure it. Detection reads the table and nothing else, so the two cannot diverge.
 */
import { ANTHROPIC_ROW } from './anthropic/row.ts'
import { GOOGLE_ROW } from './google/row.ts'
import { OPENAI_ROW } from './openai/row.ts'

export interface ProviderRow {
  readonly provider: string
  /** Lower case; a model name that begins with one, in any case, is this provider's. */
  readonly prefixes: readonly string[]
  /** Lower case names of the provider that may stand before a model as `alias/`. */
  readonly aliases: readonly string[]
  readonly apiKeyVariable: string
  readonly baseUrlVariable: string
  /** Base URL in gateway mode without a socket. */
  readonly gatewayBaseUrl: string
  readonly directBaseUrl: string
}

/** What a provider that is in nobody's row is treated as. */
export const DEFAULT_PROVIDER = OPENAI_ROW

export const PROVIDERS: readonly ProviderRow[] = [OPENAI_ROW, ANTHROPIC_ROW, GOOGLE_ROW]

export function rowOf(provider: string): ProviderRow | undefined {
  return PROVIDERS.find((row) => row.provider === provider)
}

/** The provider a bare model name belongs to, by prefix in any case; OpenAI's when nobody claims it. */
export function detectProvider(model: string): string {
  const name = model.toLowerCase()
  const row = PROVIDERS.find(({ prefixes }) => prefixes.some((prefix) => name.startsWith(prefix)))
  return (row ?? DEFAULT_PROVIDER).provider
}

/**
 * Reads `provider:model`, split at the first colon, or a bare model name, which keeps its prefix.
 *
 * @returns `provider` in lower case, not checked against the table; `model` with its case kept.
 * @throws RangeError when the text, or one side of the colon, is blank.
 */
export function parseModelRef(text: string): { provider: string; model: string } {
  const ref = text.trim()
  if (ref === '') throw new RangeError('Model reference is empty')
  const colon = ref.indexOf(':')
  if (colon === -1) return { provider: detectProvider(ref), model: ref }
  const provider = ref.slice(0, colon).trim().toLowerCase()
  const model = ref.slice(colon + 1).trim()
  if (provider === '') throw new RangeError(`Model reference "${ref}" names no provider`)
  if (model === '') throw new RangeError(`Model reference "${ref}" names no model`)
  return { provider, model }
}

/**
 * The name to compare with an allowlist and to send: without one leading `models/`, and then without
 * one leading alias of the same provider. Apply it once: it takes one segment each time.
 */
export function canonicalModel(provider: string, model: string): string {
  const name = withoutSegment(model, ['models'])
  return withoutSegment(name, rowOf(provider)?.aliases ?? [])
}

function withoutSegment(model: string, segments: readonly string[]): string {
  const slash = model.indexOf('/')
  if (slash === -1 || slash === model.length - 1) return model
  return segments.includes(model.slice(0, slash).toLowerCase()) ? model.slice(slash + 1) : model
}
