import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ModelNotAuthorizedError, ModelNotAvailableError, ModelRefParseError } from './errors.ts'
import { ModelCategory, ModelRef } from './model-ref.ts'
import { type AllowedModels, ModelSelector, StaticModelSelector } from './model-selector.ts'

describe('sage §21.32: model references', () => {
  test.each([
    ['gpt-4o', 'openai', 'gpt-4o'],
    ['Claude-3', 'anthropic', 'Claude-3'],
    ['anthropic/claude-3', 'anthropic', 'anthropic/claude-3'],
    ['google/gemini-1', 'google', 'google/gemini-1'],
    ['GEMINI-2', 'google', 'GEMINI-2'],
    ['models/gemini-x', 'openai', 'models/gemini-x'],
    [' OpenAI : gpt-4o ', 'openai', 'gpt-4o'],
    ['openai:a:b', 'openai', 'a:b'],
    ['ft:gpt-4o:acme::1', 'ft', 'gpt-4o:acme::1'],
    ['llama3:8b', 'llama3', '8b'],
  ])('%j is %s and %s', (text, provider, model) => {
    const ref = ModelRef.parse(text)
    expect(ref).toMatchObject({ provider, model })
    expect(String(ref)).toBe(`${provider}:${model}`)
  })

  test.each(['', '  ', 'claude:', ':x', ':', ' : '])('%j is none: 62', (text) => {
    expect(() => ModelRef.parse(text)).toThrow(ModelRefParseError)
  })

  test('the text of a reference is that reference', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        let ref: ModelRef
        try {
          ref = ModelRef.parse(text)
        } catch (error) {
          expect(error).toBeInstanceOf(ModelRefParseError)
          return
        }
        expect(ModelRef.parse(String(ref)).equals(ref)).toBe(true)
      }),
    )
  })

  test('is an immutable value', () => {
    const ref = ModelRef.parse('openai:gpt-4o')
    expect(() => Object.assign(ref, { model: 'x' })).toThrow(TypeError)
    expect(ref.equals(new ModelRef('OpenAI', 'gpt-4o'))).toBe(true)
    expect(ref.equals(new ModelRef('openai', 'GPT-4o'))).toBe(false)
    expect(() => new ModelRef('a:b', 'c')).toThrow(ModelRefParseError)
    expect(JSON.stringify({ ref })).toBe('{"ref":"openai:gpt-4o"}')
  })

  test.each([
    ['claude-3', 'anthropic/claude-3'],
    ['anthropic/claude-3', 'anthropic/claude-3'],
    ['gemini-1', 'gemini/gemini-1'],
    ['google:gemini/gemini-1', 'gemini/gemini-1'],
    ['google/gemini-1', 'gemini/gemini-1'],
    ['gpt-4o', 'gpt-4o'],
    ['mistral:large', 'large'],
  ])('for LiteLLM %j is %j', (text, name) => {
    expect(ModelRef.parse(text).forLitellm()).toBe(name)
  })
})

const MODELS: AllowedModels = {
  triage: ['openai:gpt-4o-mini'],
  analysis: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5'],
  reasoning: [],
  embeddings: ['text-embedding-3-small'],
}
const NONE: AllowedModels = { triage: [], analysis: [], reasoning: [], embeddings: [] }

describe('sage §21.32: selection', () => {
  test('takes the first of the category and knows the others', () => {
    const selector = new ModelSelector(MODELS)
    expect(String(selector.select(ModelCategory.ANALYSIS))).toBe('openai:gpt-4o')
    expect(selector.selectAll('analysis').map(String)).toEqual(MODELS.analysis)
    selector.selectAll('analysis').pop()
    expect(selector.selectAll('analysis')).toHaveLength(2)
    const claude = ModelRef.parse('anthropic:claude-sonnet-4-5')
    expect(selector.isAllowed(claude, 'analysis')).toBe(true)
    expect(selector.isAllowed(claude, 'triage')).toBe(false)
    selector.validateModel(claude, 'analysis')
    expect(() => selector.validateModel(claude, 'triage')).toThrow(ModelNotAuthorizedError)
  })

  test('an empty category is 61, also when others are filled and there is a fallback', () => {
    const fallback = ModelRef.parse('gpt-4o')
    expect(() => new ModelSelector(MODELS, { fallback }).select('reasoning')).toThrow(
      ModelNotAvailableError,
    )
    expect(String(new ModelSelector(NONE, { fallback }).select('reasoning'))).toBe('openai:gpt-4o')
    expect(() => new ModelSelector(NONE).select('triage')).toThrow(ModelNotAvailableError)
  })

  test('a bad reference in any category is 62 when the selector is made', () => {
    expect(() => new ModelSelector({ ...MODELS, reasoning: ['openai:'] })).toThrow(
      ModelRefParseError,
    )
  })

  test('sage §10.3: follows the token', () => {
    let models = MODELS
    const selector = new ModelSelector(() => models)
    models = { ...MODELS, reasoning: ['openai:o3'] }
    expect(String(selector.select('reasoning'))).toBe('openai:o3')
  })

  test('a static selector has one model, allowed everywhere', () => {
    const selector = new StaticModelSelector('claude-x')
    for (const category of Object.values(ModelCategory)) {
      expect(String(selector.select(category))).toBe('anthropic:claude-x')
      selector.validateModel(ModelRef.parse('any:other'), category)
      expect(selector.isAllowed(ModelRef.parse('any:other'), category)).toBe(true)
    }
  })
})
