import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { providerOf, TRANSLATIONS } from './index.ts'
import { canonicalModel, detectProvider, PROVIDERS, parseModelRef } from './table.ts'

test('sage §21.32: model references are read as the table of the contract says', () => {
  const table: Record<string, [string, string]> = {
    'gpt-4o': ['openai', 'gpt-4o'],
    'Claude-3': ['anthropic', 'Claude-3'],
    'anthropic/claude-3': ['anthropic', 'anthropic/claude-3'],
    'google/gemini-1': ['google', 'google/gemini-1'],
    'models/gemini-x': ['openai', 'models/gemini-x'],
    ' OpenAI : gpt-4o ': ['openai', 'gpt-4o'],
    'openai:a:b': ['openai', 'a:b'],
    'ft:gpt-4o:acme::1': ['ft', 'gpt-4o:acme::1'],
    'llama3:8b': ['llama3', '8b'],
    GEMINI: ['google', 'GEMINI'],
  }
  for (const [text, [provider, model]] of Object.entries(table)) {
    expect(parseModelRef(text), text).toEqual({ provider, model })
  }
})

test.each(['', '  ', 'claude:', ':x', ':', ' : '])('"%s" is no model reference', (text) => {
  expect(() => parseModelRef(text)).toThrow(RangeError)
})

test('a reference survives being written and read again', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      let first: ReturnType<typeof parseModelRef>
      try {
        first = parseModelRef(text)
      } catch {
        return
      }
      expect(parseModelRef(`${first.provider}:${first.model}`)).toEqual(first)
    }),
  )
})

test('canonical names lose one leading models/ and one alias of their own provider', () => {
  expect(canonicalModel('google', 'models/gemini-x')).toBe('gemini-x')
  expect(canonicalModel('google', 'models/google/gemini-x')).toBe('gemini-x')
  expect(canonicalModel('google', 'gemini/gemini-x')).toBe('gemini-x')
  expect(canonicalModel('openai', 'OpenAI/gpt-4o')).toBe('gpt-4o')
  expect(canonicalModel('openai', 'openai/openai/x')).toBe('openai/x')
  expect(canonicalModel('openai', 'anthropic/claude-3')).toBe('anthropic/claude-3')
  expect(canonicalModel('anthropic', 'Claude-3')).toBe('Claude-3')
  expect(canonicalModel('ollama', 'ollama/llama')).toBe('ollama/llama')
  expect(canonicalModel('openai', 'models/')).toBe('models/')
})

test('every provider folder has its row, and every row its folder and translation', () => {
  const folders = readdirSync(import.meta.dirname, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  const rows = PROVIDERS.map(({ provider }) => provider)
  expect([...folders].sort()).toEqual([...rows].sort())
  expect(TRANSLATIONS.map(({ id }) => id)).toEqual(rows)
  for (const { provider, prefixes, directBaseUrl } of PROVIDERS) {
    expect(providerOf(provider)).toMatchObject({ prefixes, baseUrl: directBaseUrl })
  }
})

test('detection follows the prefixes of the table', () => {
  for (const { provider, prefixes } of PROVIDERS) {
    for (const prefix of prefixes) {
      expect(detectProvider(`${prefix.toUpperCase()}-x`)).toBe(provider)
    }
  }
})
