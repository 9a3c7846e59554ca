import { describe, expect, test } from 'vitest'
import type { Block, Document } from '../document.ts'
import { CHUNK_LIMITS, chunkDocument } from './chunk.ts'
import { countTokens } from './tokens.ts'

const of = (...blocks: readonly Block[]): Document => ({ title: undefined, blocks, warnings: [] })
const text = (words: string, ...headings: string[]): Block => ({
  kind: 'text',
  text: words,
  headings,
})
const sentences = (count: number) =>
  Array.from(
    { length: count },
    (_, at) => `Sentence number ${at} tells something of its own.`,
  ).join(' ')

describe('runtime §10.2: long content is cut by its structure', () => {
  test('what is short is one passage, with the headings above it', () => {
    expect(chunkDocument(of(text('One.', 'A', 'B'), text('Two.', 'A', 'B')))).toEqual([
      { text: 'One.\n\nTwo.', heading: 'A › B' },
    ])
  })

  test('sections do not share a passage', () => {
    const chunks = chunkDocument(of(text('One.', 'A'), text('Two.', 'B')))
    expect(chunks.map(({ heading }) => heading)).toEqual(['A', 'B'])
  })

  test('prose is cut into 200 to 400 tokens, and 15 % of a passage begin the next', () => {
    const chunks = chunkDocument(of(text(sentences(200))))
    for (const chunk of chunks.slice(0, -1)) {
      expect(countTokens(chunk.text)).toBeGreaterThanOrEqual(200)
      expect(countTokens(chunk.text)).toBeLessThanOrEqual(400)
    }
    for (const [at, chunk] of chunks.slice(1).entries()) {
      const [first = ''] = chunk.text.split(/(?<=\.) /)
      expect(chunks[at]?.text).toContain(first)
      const shared = sharedStart(chunks[at]?.text ?? '', chunk.text)
      expect(countTokens(shared) / CHUNK_LIMITS.targetTokens).toBeLessThanOrEqual(0.15)
      expect(countTokens(shared) / CHUNK_LIMITS.targetTokens).toBeGreaterThan(0.1)
    }
  })

  test('code and rows are not cut where they fit', () => {
    const code: Block = { kind: 'code', text: `${'run();\n'.repeat(60)}end()`, headings: [] }
    const row: Block = {
      kind: 'row',
      text: `name: ${'long value '.repeat(60)}`.trim(),
      headings: [],
    }
    const chunks = chunkDocument(of(text(sentences(25)), code, row, row))
    expect(chunks.filter(({ text: part }) => part.includes(code.text))).toHaveLength(1)
    const rows = chunks.map(({ text: part }) => part.split(row.text).length - 1)
    expect(rows.reduce((sum, count) => sum + count)).toBe(2)
  })

  test('code that does not fit is cut at its lines', () => {
    const code: Block = { kind: 'code', text: 'call(one, two)\n'.repeat(400), headings: [] }
    const chunks = chunkDocument(of(code))
    expect(chunks.length).toBeGreaterThan(3)
    for (const chunk of chunks) expect(chunk.text).toMatch(/^(?:call\(one, two\)(?:\n|$))+$/)
  })
})

describe('runtime §10.2: nothing is lost, nothing is empty, nothing is too long', () => {
  /** The same numbers on every machine. */
  function randomNumbers(seed: number): () => number {
    let state = seed
    return () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state / 2 ** 32
    }
  }

  const WORDS = [
    'a',
    'word',
    'Überlänge',
    '日本語',
    'x'.repeat(900),
    '!',
    '...',
    'e.g.',
    '\n',
    '\n\n',
    '  ',
    '。',
    '🎉',
    '"Q?"',
    '1.2',
  ]

  test('every character of a block is in some passage, in order', () => {
    const random = randomNumbers(7)
    for (let round = 0; round < 60; round++) {
      const blocks = Array.from({ length: 1 + Math.floor(random() * 5) }, (): Block => {
        const length = Math.floor(random() ** 2 * 900)
        const words = Array.from({ length }, () => WORDS[Math.floor(random() * WORDS.length)])
        const kind = (['text', 'code', 'row'] as const)[Math.floor(random() * 3)] ?? 'text'
        return {
          kind,
          text: `Start ${words.join(random() < 0.5 ? ' ' : '')} end`,
          headings: [`H${Math.floor(random() * 2)}`],
        }
      })
      const limits = { targetTokens: 40 + Math.floor(random() * 300), maxTokens: 400 }
      const chunks = chunkDocument(of(...blocks), limits)
      expect(chunks.every((chunk) => chunk.text.trim() !== '')).toBe(true)
      const most = Math.max(...chunks.map((chunk) => countTokens(chunk.text)))
      expect(most).toBeLessThanOrEqual(400 + 800)
      expect(
        uncovered(
          blocks,
          chunks.map((chunk) => chunk.text),
        ),
      ).toBe('')
    }
  })

  /** What of the blocks no passage has, when passages are laid over them one after another. */
  function uncovered(blocks: readonly Block[], chunks: readonly string[]): string {
    const all = blocks
      .map((block) => block.text)
      .join('')
      .replace(/\s/g, '')
    let covered = 0
    for (const chunk of chunks) {
      const part = chunk.replace(/\s/g, '')
      const at = overlapAt(all, part, covered)
      if (at < 0) return `a passage that is not there: ${part.slice(0, 40)}`
      covered = Math.max(covered, at + part.length)
    }
    return all.slice(covered)
  }

  /** Where a passage lies that begins no later than what is covered. */
  function overlapAt(all: string, part: string, covered: number): number {
    for (let at = covered; at >= Math.max(0, covered - part.length); at--)
      if (all.startsWith(part, at)) return at
    return -1
  }

  test('text without end is cut in time that grows with it', () => {
    for (const piece of ['word ', 'x', 'A. ', '\n', '🎉', '"', '。', '? A'])
      expect(
        chunkDocument(of(text(`a${piece.repeat(262_144 / Buffer.byteLength(piece) - 1)}b`))).length,
      ).toBeGreaterThan(0)
  })
})

function sharedStart(before: string, after: string): string {
  for (let length = Math.min(before.length, after.length); length > 0; length--)
    if (before.endsWith(after.slice(0, length))) return after.slice(0, length)
  return ''
}
