/** English stems by Porter's algorithm: `policies`, `policy` → `polici`. Words of other languages stay as they are. */

const CONSONANT = '(?:[^aeiouy]|(?<=^|[aeiou])y)'
const VOWEL = '(?:[aeiou]|(?<![aeiou]|^)y)'
/** The measure `m` of the algorithm: how often vowels are followed by consonants. */
const MEASURE_1 = new RegExp(`^${CONSONANT}*${VOWEL}+${CONSONANT}`)
const MEASURE_2 = new RegExp(`^${CONSONANT}*(?:${VOWEL}+${CONSONANT}+){2}`)
const MEASURE_EXACTLY_1 = new RegExp(`^${CONSONANT}*${VOWEL}+${CONSONANT}+${VOWEL}*$`)
const HAS_VOWEL = new RegExp(VOWEL)
const DOUBLE = /([^aeiouylsz])\1$/
const SHORT = /^(?:.*[^aeiouy])?[^aeiou][aeiouy][^aeiouwxy]$/

/** A suffix and what takes its place. The first that fits is the only one that is looked at. */
type Rules = readonly (readonly [suffix: string, instead: string])[]

const STEP_2: Rules = [
  ['ational', 'ate'],
  ['ization', 'ize'],
  ['iveness', 'ive'],
  ['fulness', 'ful'],
  ['ousness', 'ous'],
  ['tional', 'tion'],
  ['biliti', 'ble'],
  ['entli', 'ent'],
  ['ousli', 'ous'],
  ['ation', 'ate'],
  ['alism', 'al'],
  ['aliti', 'al'],
  ['iviti', 'ive'],
  ['enci', 'ence'],
  ['anci', 'ance'],
  ['izer', 'ize'],
  ['alli', 'al'],
  ['ator', 'ate'],
  ['logi', 'log'],
  ['bli', 'ble'],
  ['eli', 'e'],
]

const STEP_3: Rules = [
  ['icate', 'ic'],
  ['ative', ''],
  ['alize', 'al'],
  ['iciti', 'ic'],
  ['ical', 'ic'],
  ['ness', ''],
  ['ful', ''],
]

const STEP_4 =
  /(?:ement|ance|ence|able|ible|ment|ant|ent|ism|ate|iti|ous|ive|ize|(?<=[st])ion|al|er|ic|ou)$/

const WORD = /^[a-z]{3,40}$/

/** @param word In lower case. */
export function stem(word: string): string {
  if (!WORD.test(word)) return word
  const endings = [american, plural, past, finalY, (of: string) => replaced(of, STEP_2)]
  const rest = [(of: string) => replaced(of, STEP_3), residual, finalE]
  return [...endings, ...rest].reduce((text, step) => step(text), word)
}

/** `authorisation` is the same word; other forms in `s` look like too many words that are not in `z` anywhere. */
function american(word: string): string {
  return word.replace(/isation(s?)$/, 'ization$1')
}

function plural(word: string): string {
  if (word.endsWith('sses') || word.endsWith('ies')) return word.slice(0, -2)
  return word.endsWith('s') && !word.endsWith('ss') ? word.slice(0, -1) : word
}

function past(word: string): string {
  if (word.endsWith('eed')) return MEASURE_1.test(word.slice(0, -3)) ? word.slice(0, -1) : word
  const suffix = word.endsWith('ed') ? 2 : word.endsWith('ing') ? 3 : 0
  const rest = word.slice(0, word.length - suffix)
  if (suffix === 0 || !HAS_VOWEL.test(rest)) return word
  if (/(?:at|bl|iz)$/.test(rest)) return `${rest}e`
  if (DOUBLE.test(rest)) return rest.slice(0, -1)
  return MEASURE_EXACTLY_1.test(rest) && SHORT.test(rest) ? `${rest}e` : rest
}

function finalY(word: string): string {
  return word.endsWith('y') && HAS_VOWEL.test(word.slice(0, -1)) ? `${word.slice(0, -1)}i` : word
}

function replaced(word: string, rules: Rules): string {
  const rule = rules.find(([suffix]) => word.endsWith(suffix))
  if (rule === undefined) return word
  const rest = word.slice(0, -rule[0].length)
  return MEASURE_1.test(rest) ? rest + rule[1] : word
}

function residual(word: string): string {
  const rest = word.replace(STEP_4, '')
  return rest !== word && MEASURE_2.test(rest) ? rest : word
}

function finalE(word: string): string {
  if (word.endsWith('ll') && MEASURE_2.test(word.slice(0, -1))) return word.slice(0, -1)
  const rest = word.slice(0, -1)
  if (!word.endsWith('e')) return word
  if (MEASURE_2.test(rest)) return rest
  return MEASURE_1.test(rest) && !SHORT.test(rest) ? rest : word
}
