/**
 * Which model a request means, and which models its run may use for it (wire contract §10, §18.4). The header
 * decides the provider whenever it is there; what a model's name looks like never overrides it.
 */
import { VestryError } from '@vestry/contract/errors'
import { canonicalModel, parseModelRef } from '@vestry/sdk/llm/providers'
import { CATEGORIES, type Category } from '../../identity/runs/run.ts'
import type { RunProof } from '../../identity/runs/run-gate.ts'

export type ModelUse = 'chat' | 'messages' | 'embeddings'

export interface AskedModel {
  readonly use: ModelUse
  /** Header `X-Provider`. */
  readonly provider: string | undefined
  /** Header `X-Sage-Category`. */
  readonly category: string | undefined
  /** Member `model` of the body. */
  readonly model: string
}

export interface ResolvedModel {
  readonly provider: string
  /** As the provider knows it. */
  readonly model: string
  /** `provider:model` */
  readonly ref: string
  /** As the record tells it: `unspecified` where no header named one. */
  readonly category: string
}

/** Whoever carries a run's claims. */
export interface Claiming {
  readonly claims: Pick<RunProof['claims'], 'scope'> & {
    readonly tctx: Pick<RunProof['claims']['tctx'], 'allowed_models' | 'allowed_providers'>
  }
}

/** What of a run's claims policy is asked about. */
export interface RunClaims {
  /** Canonical refs of the categories that this request may draw on. */
  readonly models: readonly string[]
  /** Absent: the run is not limited to some. */
  readonly providers: readonly string[] | undefined
  readonly holds: readonly string[]
}

const CHAT_CATEGORIES: readonly Category[] = ['triage', 'analysis', 'reasoning']

/**
 * @param isKnown Whether there is a provider of that name.
 * @throws VestryError UNKNOWN_PROVIDER, UNSUPPORTED_OPERATION, BAD_REQUEST
 */
export function resolveModel(
  asked: AskedModel,
  isKnown: (provider: string) => boolean,
): ResolvedModel {
  const { provider, model } = named(asked)
  if (!isKnown(provider)) {
    throw new VestryError('UNKNOWN_PROVIDER', 'There is no such provider here', {
      hint: 'Name one that is configured in X-Provider',
      context: { param: asked.provider === undefined ? 'model' : 'X-Provider' },
    })
  }
  if (asked.use === 'messages' && provider !== 'anthropic') {
    throw new VestryError('UNSUPPORTED_OPERATION', 'This route speaks to Anthropic only', {
      hint: 'Use /v1/chat/completions for other providers',
    })
  }
  const name = canonicalModel(provider, model)
  return {
    provider,
    model: name,
    ref: `${provider}:${name}`,
    category: recordedCategory(asked),
  }
}

function named({ use, provider, model }: AskedModel): { provider: string; model: string } {
  if (model.trim() === '') throw blankModel()
  if (provider !== undefined) return { provider: provider.trim().toLowerCase(), model }
  if (use === 'messages') return { provider: 'anthropic', model }
  try {
    return parseModelRef(model)
  } catch {
    throw blankModel()
  }
}

function blankModel(): VestryError {
  return new VestryError('BAD_REQUEST', 'model: expected the name of a model', {
    context: { param: 'model' },
  })
}

/** What the run's token allows for a use, in the canonical form of both sides. */
export function runClaims(
  { claims }: Claiming,
  { use, category }: Pick<AskedModel, 'use' | 'category'>,
  requiredScope: string,
): RunClaims {
  const { allowed_models } = claims.tctx
  const categories = categoriesFor(use, category)
  const models = (categories ?? []).flatMap((name) => allowed_models[name])
  return {
    models: [...new Set(models.flatMap(canonicalRef))],
    providers: providersOf({ claims }),
    holds: [
      ...(hasScope(claims.scope, requiredScope) ? [] : ['scope_missing']),
      ...(categories === undefined ? ['category_unknown'] : []),
    ],
  }
}

/** Undefined: the run is not limited to some. */
export function providersOf({ claims }: Claiming): readonly string[] | undefined {
  const { allowed_providers: names } = claims.tctx
  return names.length === 0 ? undefined : names.map((name) => name.trim().toLowerCase())
}

export function hasScope(scope: string, required: string): boolean {
  return scope.split(' ').includes(required)
}

/** Every model the run may use, for whatever. */
export function allModels({ claims }: Claiming): readonly string[] {
  const refs = CATEGORIES.flatMap((name) => claims.tctx.allowed_models[name])
  return [...new Set(refs.flatMap(canonicalRef))]
}

/** Undefined: there is no such category for this use. */
function categoriesFor(
  use: ModelUse,
  category: string | undefined,
): readonly Category[] | undefined {
  if (use === 'embeddings') return ['embeddings']
  if (category === undefined) return CHAT_CATEGORIES
  const found = CHAT_CATEGORIES.find((name) => name === category)
  return found && [found]
}

function recordedCategory({ use, category }: AskedModel): string {
  if (use === 'embeddings') return 'embeddings'
  if (category === undefined) return 'unspecified'
  return CATEGORIES.find((name) => name === category) ?? 'unknown'
}

/** A ref that cannot be read allows nothing. */
function canonicalRef(text: string): string[] {
  try {
    const { provider, model } = parseModelRef(text)
    return [`${provider}:${canonicalModel(provider, model)}`]
  } catch {
    return []
  }
}
