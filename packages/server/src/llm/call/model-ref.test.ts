import { describe, expect, test } from 'vitest'
import { type AskedModel, allModels, resolveModel, runClaims } from './model-ref.ts'

const known = (name: string) => ['openai', 'anthropic', 'google'].includes(name)
const asked = (more: Partial<AskedModel>): AskedModel => ({
  use: 'chat',
  provider: undefined,
  category: undefined,
  model: 'gpt-4o',
  ...more,
})
const claiming = (models: object, providers: readonly string[] = [], scope = 'scan.execute') => ({
  claims: {
    scope,
    tctx: {
      allowed_models: { triage: [], analysis: [], reasoning: [], embeddings: [], ...models },
      allowed_providers: providers,
    },
  },
})

describe('which model is meant', () => {
  test.each([
    [{ model: 'gpt-4o' }, 'openai:gpt-4o'],
    [{ model: 'claude-x' }, 'anthropic:claude-x'],
    [{ model: 'google/gemini-1' }, 'google:gemini-1'],
    [{ model: 'openai:gpt-4o' }, 'openai:gpt-4o'],
    [{ provider: ' OpenAI ', model: 'claude-x' }, 'openai:claude-x'],
    [{ provider: 'openai', model: 'openai:gpt-4o' }, 'openai:openai:gpt-4o'],
    [{ provider: 'openai', model: 'models/openai/gpt-4o' }, 'openai:gpt-4o'],
    [{ use: 'messages' as const, model: 'gpt-4o' }, 'anthropic:gpt-4o'],
    [{ use: 'messages' as const, provider: 'anthropic', model: 'claude-x' }, 'anthropic:claude-x'],
  ])('%j is %s', (more, ref) => {
    expect(resolveModel(asked(more), known).ref).toBe(ref)
  })

  test.each([
    [{ model: 'ft:gpt-4o:acme::1' }, 'UNKNOWN_PROVIDER'],
    [{ provider: 'acme' }, 'UNKNOWN_PROVIDER'],
    [{ provider: '' }, 'UNKNOWN_PROVIDER'],
    [{ provider: '__proto__' }, 'UNKNOWN_PROVIDER'],
    [{ use: 'messages' as const, provider: 'openai' }, 'UNSUPPORTED_OPERATION'],
    [{ model: '  ' }, 'BAD_REQUEST'],
    [{ model: 'openai:' }, 'BAD_REQUEST'],
  ])('%j is refused as %s', (more, code) => {
    expect(() => resolveModel(asked(more), known)).toThrow(expect.objectContaining({ code }))
  })
})

describe('what the run may use', () => {
  const models = {
    triage: ['gpt-4o-mini', 'models/gpt-4o-mini'],
    analysis: ['openai:openai/gpt-4o', 'OpenAI:gpt-4o'],
    reasoning: ['o3'],
    embeddings: ['openai:text-embedding-3-small'],
  }

  test('without a category all but embeddings, in canonical form, each once', () => {
    expect(runClaims(claiming(models), asked({}), 'scan.execute')).toEqual({
      models: ['openai:gpt-4o-mini', 'openai:gpt-4o', 'openai:o3'],
      providers: undefined,
      holds: [],
    })
    expect(allModels(claiming(models))).toHaveLength(4)
  })

  test.each([
    ['analysis', ['openai:gpt-4o'], []],
    ['embeddings', [], ['category_unknown']],
    ['ANALYSIS', [], ['category_unknown']],
    ['constructor', [], ['category_unknown']],
  ])('category %s draws on %j', (category, list, holds) => {
    const found = runClaims(claiming(models), asked({ category }), 'scan.execute')
    expect(found).toMatchObject({ models: list, holds })
  })

  test('embeddings draw on their own list, whatever the category says', () => {
    const use = 'embeddings' as const
    const found = runClaims(claiming(models), asked({ use, category: 'analysis' }), 'scan.execute')
    expect(found.models).toEqual(['openai:text-embedding-3-small'])
  })

  test('a scope is one word of the list, and providers compare in lower case', () => {
    const found = runClaims(
      claiming({}, [' OpenAI '], 'scan.execute.all x'),
      asked({}),
      'scan.execute',
    )
    expect(found).toMatchObject({ providers: ['openai'], holds: ['scope_missing'] })
  })

  test('a reference that cannot be read allows nothing', () => {
    const found = runClaims(claiming({ analysis: [':', ''] }), asked({}), 'scan.execute')
    expect(found.models).toEqual([])
  })
})
