/** Which model, of which provider: `provider:model` as a value, and the four categories of work. */
import { canonicalModel, parseModelRef } from '../llm/providers/table.ts'
import { ModelRefParseError } from './errors.ts'
import { inspectHook } from './mask.ts'

/** What a model is used for; a run's allowlist has one list for each. */
export const ModelCategory = {
  TRIAGE: 'triage',
  ANALYSIS: 'analysis',
  REASONING: 'reasoning',
  EMBEDDINGS: 'embeddings',
} as const

export type ModelCategory = (typeof ModelCategory)[keyof typeof ModelCategory]

export const MODEL_CATEGORIES: readonly ModelCategory[] = Object.values(ModelCategory)

/** An immutable reference; two are equal when provider and model are, the model's case included. */
export class ModelRef {
  /** In lower case. Not checked against any list. */
  readonly provider: string
  readonly model: string

  /** @throws ModelRefParseError when a part is blank or the provider has a colon. */
  constructor(provider: string, model: string) {
    this.provider = provider.trim().toLowerCase()
    this.model = model.trim()
    if (this.provider === '' || this.model === '' || this.provider.includes(':')) {
      throw new ModelRefParseError(`"${provider}:${model}" is no model reference`)
    }
    Object.freeze(this)
  }

  /**
   * Reads `provider:model`, split at the first colon, or a bare model name, whose provider follows
   * from its prefix.
   *
   * @throws ModelRefParseError
   */
  static parse(text: string): ModelRef {
    try {
      const { provider, model } = parseModelRef(text)
      return new ModelRef(provider, model)
    } catch (cause) {
      if (cause instanceof ModelRefParseError) throw cause
      throw new ModelRefParseError(cause instanceof Error ? cause.message : String(cause), {
        cause,
      })
    }
  }

  /** The name under which the LiteLLM library knows the model. */
  forLitellm(): string {
    const { provider, model } = this
    if (provider === 'anthropic') return `anthropic/${canonicalModel(provider, model)}`
    if (provider === 'google') return `gemini/${canonicalModel(provider, model)}`
    return model
  }

  equals(other: ModelRef): boolean {
    return this.provider === other.provider && this.model === other.model
  }

  toString(): string {
    return `${this.provider}:${this.model}`
  }

  toJSON(): string {
    return this.toString()
  }

  [inspectHook](): string {
    return `ModelRef(${this.toString()})`
  }
}
