/** Which passages go into a prompt, and in what state. Pure. */
import { CONCEALMENT } from '../../review/analysis/concealment-wording.ts'
import { smuggled, withoutInvisible } from '../../review/analysis/invisible.ts'
import { OVERRIDE } from '../../review/analysis/override-wording.ts'
import { ROLE_MARKUP } from '../../review/analysis/role-markup.ts'
import { STEERING } from '../../review/analysis/steering-wording.ts'
import { TextTarget } from '../../review/analysis/views.ts'
import { worded } from '../../review/analysis/wording.ts'

export interface Passage {
  /** Of the item, or of the memory. */
  readonly id: string
  readonly text: string
  readonly source: string
  /** From 0 to 1. */
  readonly score: number
  readonly isConversation: boolean
  readonly labels: readonly string[]
}

export interface Room {
  readonly items: number
  /** Of all passages together; undefined: no bound. */
  readonly tokens: number | undefined
}

/** Shares of words from which on two passages say the same. */
const NEAR_DUPLICATE = 0.9
/** How much relevance counts against being something new. */
const RELEVANCE = 0.7
/** Characters, roughly, of one token. */
const TOKEN_CHARS = 4
const WORD = /[\p{L}\p{N}]+/gu

/** The most relevant ones that do not say the same twice, in order of relevance. */
export function choosePassages(passages: readonly Passage[], { items, tokens }: Room): Passage[] {
  const left = passages
    .map((passage) => ({ passage, words: wordsOf(passage.text), likeness: 0 }))
    .sort((a, b) => b.passage.score - a.passage.score || (a.passage.id < b.passage.id ? -1 : 1))
  const chosen: Passage[] = []
  const mostConversation = Math.floor(items / 2)
  let conversation = 0
  let room = tokens ?? Number.POSITIVE_INFINITY
  while (chosen.length < items && left.length > 0) {
    const at = bestOf(left)
    const [next] = left.splice(at, 1)
    if (next === undefined || next.likeness >= NEAR_DUPLICATE) continue
    const { passage } = next
    const cost = tokensOf(passage.text)
    if (cost > room || (passage.isConversation && conversation >= mostConversation)) continue
    room -= cost
    if (passage.isConversation) conversation += 1
    chosen.push(passage)
    for (const other of left)
      other.likeness = Math.max(other.likeness, likeness(other.words, next.words))
  }
  return chosen.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
}

function bestOf(left: readonly { passage: Passage; likeness: number }[]): number {
  let best = 0
  let most = Number.NEGATIVE_INFINITY
  for (const [at, { passage, likeness: like }] of left.entries()) {
    const worth = RELEVANCE * passage.score - (1 - RELEVANCE) * like
    if (worth > most) {
      most = worth
      best = at
    }
  }
  return best
}

export function tokensOf(text: string): number {
  return Math.ceil(text.length / TOKEN_CHARS)
}

function wordsOf(text: string): ReadonlySet<string> {
  return new Set(text.toLowerCase().match(WORD) ?? [])
}

/** Words of both, of the words of either. */
function likeness(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let both = 0
  for (const word of a) if (b.has(word)) both += 1
  const either = a.size + b.size - both
  return either === 0 ? 1 : both / either
}

const SIGNS = [
  [OVERRIDE, 'tells the model to drop its instructions'],
  [ROLE_MARKUP, 'imitates the markup of a conversation'],
  [CONCEALMENT, 'tells the model to hide something from its user'],
  [STEERING, 'tells the model which tools to use'],
] as const

/** What a model should be warned of: the text is data, and reads like orders. */
export function injectionSigns(text: string): string[] {
  const hidden = smuggled(text)
  const targets = [text, ...hidden].map((one) => new TextTarget('', 'value', one))
  const signs = SIGNS.flatMap(([wording, what]) =>
    targets.some((target) => worded(target, wording) !== undefined) ? [what] : [],
  )
  return hidden.length === 0 ? signs : [...signs, 'holds text that is not visible']
}

export function plainText(text: string): string {
  return withoutInvisible(text)
}
