/**
 * Cuts a document into passages that can be found and understood by themselves: they end where the text ends, keep code
 * and rows of tables whole where they fit, and repeat the end of the one before in prose.
 */
import type { Block, Chunk, Document } from '../document.ts'
import { pieces } from './pieces.ts'
import { countTokens } from './tokens.ts'

export interface ChunkLimits {
  /** A passage is closed once it has as many; estimated. */
  readonly targetTokens: number
  /** None has more, unless one word does. */
  readonly maxTokens: number
  /** Share of a passage of prose that the next one begins with. */
  readonly overlap: number
}

export const CHUNK_LIMITS: ChunkLimits = { targetTokens: 250, maxTokens: 400, overlap: 0.15 }

const BETWEEN_HEADINGS = ' › '
/** Headings are repeated with each passage, so they must not fill it. */
const MAX_HEADING_CHARS = 300

interface Piece {
  readonly text: string
  readonly tokens: number
  readonly kind: Block['kind']
  /** What joins it to the piece before. */
  readonly joint: string
}

/** In order; none is empty, and together they hold every word of the document. */
export function chunkDocument(
  { blocks }: Document,
  limits: Partial<ChunkLimits> = {},
): readonly Chunk[] {
  const bounds = { ...CHUNK_LIMITS, ...limits }
  return sectionsOf(blocks).flatMap(({ heading, section }) => {
    const all = section.flatMap((block) => piecesOf(block, bounds))
    return packed(all, bounds).map((text) => ({ text, heading }))
  })
}

interface Section {
  readonly heading: string
  readonly section: Block[]
}

function sectionsOf(blocks: readonly Block[]): Section[] {
  const sections: Section[] = []
  for (const block of blocks) {
    const heading = headingOf(block.headings)
    const last = sections.at(-1)
    if (last?.heading === heading) last.section.push(block)
    else sections.push({ heading, section: [block] })
  }
  return sections
}

function headingOf(headings: readonly string[]): string {
  const text = headings.filter((heading) => heading.trim() !== '').join(BETWEEN_HEADINGS)
  return text.length <= MAX_HEADING_CHARS ? text : `…${text.slice(-MAX_HEADING_CHARS)}`
}

function piecesOf({ text, kind }: Block, { maxTokens }: ChunkLimits): Piece[] {
  const between = kind === 'row' ? '\n' : '\n\n'
  return pieces(text, kind, maxTokens).map(({ text: part, joint }, index) => ({
    text: part,
    tokens: countTokens(part),
    kind,
    joint: index === 0 ? between : joint,
  }))
}

function packed(all: readonly Piece[], bounds: ChunkLimits): string[] {
  const texts: string[] = []
  let open: Piece[] = []
  let tokens = 0
  const begin = (kept: Piece[]): void => {
    open = kept
    tokens = kept.reduce((sum, piece) => sum + piece.tokens, 0)
  }
  let fresh = 0 // pieces that no passage has yet
  for (const piece of all) {
    const full = tokens >= bounds.targetTokens || tokens + piece.tokens > bounds.maxTokens
    if (fresh > 0 && full) {
      texts.push(joined(open))
      begin(overlapOf(open, piece, bounds))
      fresh = 0
    }
    if (tokens + piece.tokens > bounds.maxTokens) begin([])
    open.push(piece)
    tokens += piece.tokens
    fresh++
  }
  if (fresh > 0) texts.push(joined(open))
  return texts
}

/** The last sentences of a passage, where both it and the next one are prose. */
function overlapOf(open: readonly Piece[], next: Piece, bounds: ChunkLimits): Piece[] {
  if (next.kind !== 'text') return []
  const most = bounds.targetTokens * bounds.overlap
  const kept: Piece[] = []
  let tokens = 0
  for (let at = open.length - 1; at > 0; at--) {
    const piece = open[at]
    if (piece?.kind !== 'text' || tokens + piece.tokens > most) break
    kept.unshift(piece)
    tokens += piece.tokens
  }
  return kept
}

function joined(open: readonly Piece[]): string {
  return open.map(({ text, joint }, index) => (index === 0 ? text : joint + text)).join('')
}
