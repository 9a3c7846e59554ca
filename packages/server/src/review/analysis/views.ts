/** One text of a tool in all the ways it can be read, made when first asked for. */
import { latinSkeleton } from './confusables.ts'
import { decoded } from './decode.ts'
import { invisibleAsSpaces, smuggled, withoutInvisible } from './invisible.ts'
import type { Target, TargetKind } from './rule.ts'
import { nameWords } from './words.ts'

/** Encodings within each other. */
const MAX_LAYERS = 2
const PLAIN = /^[\t\n -~]*$/
/** At least six pieces of one or two letters, one after the other. */
const SPELT = /(?<![a-z0-9])(?:[a-z0-9]{1,2}[^a-z0-9]{1,4}){6}/

export class TextTarget implements Target {
  readonly location: string
  readonly kind: TargetKind
  readonly raw: string
  #views: readonly string[] | undefined
  #compact: string | undefined
  #spelt: boolean | undefined

  constructor(location: string, kind: TargetKind, raw: string) {
    this.location = location
    this.kind = kind
    this.raw = raw
  }

  get views(): readonly string[] {
    this.#views ??= viewsOf(this.raw, this.kind)
    return this.#views
  }

  get compact(): string {
    this.#compact ??= folded(this.raw).replace(/[^a-z0-9]+/g, '')
    return this.#compact
  }

  get spelt(): boolean {
    this.#spelt ??= this.raw.length > 12 && SPELT.test(folded(this.raw))
    return this.#spelt
  }
}

function viewsOf(raw: string, kind: TargetKind): readonly string[] {
  const views = new Set<string>([raw])
  read(raw, views)
  // A name is read as its words too: `ignorePrevious_instructions`.
  if (kind === 'tool_name' || kind === 'property_name') views.add(nameWords(raw).join(' '))
  let layer = raw
  for (let depth = 0; depth < MAX_LAYERS; depth += 1) {
    const inner = decoded(PLAIN.test(layer) ? layer : withoutInvisible(layer.normalize('NFKC')))
    if (inner === layer) break
    views.add(inner)
    read(inner, views)
    layer = inner
  }
  return [...views]
}

function read(text: string, views: Set<string>): void {
  if (!PLAIN.test(text)) {
    const plain = text.normalize('NFKC')
    views.add(plain)
    views.add(withoutInvisible(plain))
    views.add(folded(invisibleAsSpaces(plain)))
    for (const hidden of smuggled(text)) views.add(hidden).add(hidden.toLowerCase())
  }
  views.add(text.toLowerCase())
  views.add(folded(text))
}

/** As a machine compares it: NFKC, nothing invisible, look-alikes as Latin, lower case. */
export function folded(text: string): string {
  if (PLAIN.test(text)) return text.toLowerCase()
  return latinSkeleton(withoutInvisible(text.normalize('NFKC'))).toLowerCase()
}
