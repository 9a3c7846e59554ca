/** How many tokens a model will make of a text, near enough, and the same for every model. */

const PIECE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu
/** Of a word that counts as one. */
const CHARS = 6

/** Words count once for each six characters, and signs and East Asian characters one each. */
export function countTokens(text: string): number {
  let count = 0
  for (const [piece] of text.matchAll(PIECE)) count += Math.ceil(piece.length / CHARS)
  return count
}
