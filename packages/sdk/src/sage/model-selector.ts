/** Which model a category of work gets: the first that the transaction token lists, or one fixed model. */
import { ModelNotAuthorizedError, ModelNotAvailableError } from './errors.ts'
import { MODEL_CATEGORIES, type ModelCategory, ModelRef } from './model-ref.ts'

/** Model references per category, in order of preference. */
export type AllowedModels = Readonly<Record<ModelCategory, readonly string[]>>

export interface ModelSelection {
  /** @throws ModelNotAvailableError when the category lists no model. */
  select(category: ModelCategory): ModelRef
  /** A copy, in order of preference. */
  selectAll(category: ModelCategory): ModelRef[]
  isAllowed(model: ModelRef, category: ModelCategory): boolean
  /** @throws ModelNotAuthorizedError when the category does not list the model. */
  validateModel(model: ModelRef, category: ModelCategory): void
}

export interface ModelSelectorOptions {
  /** Used for every category while no category lists any model. */
  fallback?: ModelRef | undefined
}

type Lists = Readonly<Record<ModelCategory, readonly ModelRef[]>>

/** Follows the lists it is given: pass a function to follow a token that is replaced over time. */
export class ModelSelector implements ModelSelection {
  readonly #source: () => AllowedModels
  readonly #fallback: ModelRef | undefined
  #read: { from: AllowedModels; lists: Lists }

  /** @throws ModelRefParseError when any reference of any category cannot be read. */
  constructor(source: AllowedModels | (() => AllowedModels), options: ModelSelectorOptions = {}) {
    this.#source = typeof source === 'function' ? source : () => source
    this.#fallback = options.fallback
    const from = this.#source()
    this.#read = { from, lists: readLists(from) }
  }

  /** Whether the lists name no model at all. */
  get isEmpty(): boolean {
    const lists = this.#lists()
    return MODEL_CATEGORIES.every((category) => lists[category].length === 0)
  }

  select(category: ModelCategory): ModelRef {
    const [first] = this.selectAll(category)
    if (first !== undefined) return first
    throw new ModelNotAvailableError(`The run has no model for ${category}`)
  }

  selectAll(category: ModelCategory): ModelRef[] {
    if (this.#fallback !== undefined && this.isEmpty) return [this.#fallback]
    return [...(this.#lists()[category] ?? [])]
  }

  isAllowed(model: ModelRef, category: ModelCategory): boolean {
    return this.selectAll(category).some((allowed) => allowed.equals(model))
  }

  validateModel(model: ModelRef, category: ModelCategory): void {
    if (this.isAllowed(model, category)) return
    throw new ModelNotAuthorizedError(`Model ${model} is not allowed for ${category}`)
  }

  #lists(): Lists {
    const from = this.#source()
    if (from !== this.#read.from) this.#read = { from, lists: readLists(from) }
    return this.#read.lists
  }
}

/** One model for everything, allowed everywhere. */
export class StaticModelSelector implements ModelSelection {
  readonly #model: ModelRef

  /** @throws ModelRefParseError */
  constructor(model: ModelRef | string) {
    this.#model = typeof model === 'string' ? ModelRef.parse(model) : model
  }

  select(_category: ModelCategory): ModelRef {
    return this.#model
  }

  selectAll(_category: ModelCategory): ModelRef[] {
    return [this.#model]
  }

  isAllowed(_model: ModelRef, _category: ModelCategory): boolean {
    return true
  }

  validateModel(_model: ModelRef, _category: ModelCategory): void {}
}

function readLists(from: AllowedModels): Lists {
  const read = (category: ModelCategory): ModelRef[] =>
    (from[category] ?? []).map((ref) => ModelRef.parse(ref))
  return {
    triage: read('triage'),
    analysis: read('analysis'),
    reasoning: read('reasoning'),
    embeddings: read('embeddings'),
  }
}
