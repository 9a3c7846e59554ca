/** Finds secrets that stand in a source as plain text. The text itself is never part of a message. */
import type { Expression } from '../ast.ts'
import type { Checker } from './report.ts'

const KNOWN =
  /(?:^|[^A-Za-z0-9])(?:sk-(?:ant-|proj-)?[A-Za-z0-9_-]{16,}|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}|AIza[\w-]{30,}|whsec_\w{16,}|(?:sk|rk|pk)_(?:live|test)_\w{16,}|hvs\.[\w-]{16,}|npm_\w{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY)/

const SECRET_NAME = /(?:^|_)(?:password|passwd|token|secret|api_?key|private_key|access_key)$/i
const MIN_LENGTH = 12
/** Bits for each character: words stay below, random letters and digits above. */
const MIN_ENTROPY = 3

/** @param name Of the property that holds the value. */
export function checkSecret(checker: Checker, value: Expression, name = ''): void {
  if (value.kind !== 'string') return
  const isSecret = KNOWN.test(value.value) || (SECRET_NAME.test(name) && looksRandom(value.value))
  if (!isSecret) return
  checker.add(
    'E_SECRET_LITERAL',
    value,
    'a secret is written into the source',
    'Store it with "vestry secret set" and write secret("name") or vault://path; then replace this one.',
  )
}

/** References such as `webhook/push` and words are none. */
function looksRandom(text: string): boolean {
  if (text.length < MIN_LENGTH || /\s|^\$|^[a-z]+:\/\//.test(text)) return false
  if (/^[a-z]+([_/.-][a-z]+)*$/i.test(text)) return false
  return entropy(text) >= MIN_ENTROPY
}

function entropy(text: string): number {
  const counts = new Map<string, number>()
  for (const letter of text) counts.set(letter, (counts.get(letter) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values())
    bits -= (count / text.length) * Math.log2(count / text.length)
  return bits
}
