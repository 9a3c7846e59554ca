/** Splits text into words as the embedder counts them. Names of code count whole and in their parts. */

/** Letters and digits of any script, with what joins names of code. */
const NAME = /[\p{L}\p{N}]+(?:['’_.:/-][\p{L}\p{N}]+)*/gu
const PARTS = /\p{Lu}+(?!\p{Ll})|\p{Lu}?[\p{Ll}\p{Lo}\p{Lm}]+|\p{Lu}|\p{N}+/gu
const APOSTROPHE = /['’](?:s|t|re|ve|ll|d|m)?$/
/** Longer ones are no words. */
const MAX_WORD = 48

export interface Word {
  /** In lower case. */
  readonly text: string
  /** The whole of a name of several parts, which counts beside them. */
  readonly whole: boolean
}

export function* wordsOf(text: string): Generator<Word> {
  for (const [name] of text.normalize('NFKC').matchAll(NAME)) {
    const parts = partsOf(name)
    for (const part of parts) yield { text: part, whole: false }
    if (parts.length > 1 && name.length <= MAX_WORD) yield { text: name.toLowerCase(), whole: true }
  }
}

function partsOf(name: string): string[] {
  return name
    .split(/[_.:/-]/)
    .flatMap((piece) => piece.replace(APOSTROPHE, '').replaceAll(/['’]/g, '').match(PARTS) ?? [])
    .map((part) => part.slice(0, MAX_WORD).toLowerCase())
}
