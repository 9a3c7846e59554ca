/** What the stand-in model notices in a prompt: lines of code that a reviewer would look at twice. */

export interface Lead {
  /** As the prompt numbers its lines, else counted from its first line of code. */
  readonly line: number
  readonly text: string
  readonly rule: string
  readonly message: string
}

const MAX_LEADS = 20
const MAX_PROMPT = 262_144
const MAX_LINE = 400

const SUSPICIONS: readonly (readonly [RegExp, rule: string, message: string])[] = [
  [/\beval\s*\(/, 'code-injection', 'Input may be run as code'],
  [
    /\bexec\s*\(|\bos\.system\s*\(|shell\s*=\s*True/,
    'command-injection',
    'Input may be run as a command',
  ],
  [
    /\b(?:SELECT|INSERT|UPDATE|DELETE)\b.{0,200}(?:\+|\$\{|%s|\.format\()/,
    'sql-injection',
    'A query is put together from text',
  ],
  [
    /\b(?:password|secret|api_?key)\b\s*[:=]\s*['"][^'"]{4,}/i,
    'hard-coded-secret',
    'A secret stands in the source',
  ],
  [
    /\binnerHTML\s*=|document\.write\s*\(/,
    'cross-site-scripting',
    'Markup is written without escaping',
  ],
  [/\b(?:md5|sha1)\s*\(/i, 'weak-hash', 'The hash function is broken'],
  [
    /verify\s*=\s*False|rejectUnauthorized\s*:\s*false/,
    'tls-not-verified',
    'The peer is not verified',
  ],
]

export function leadsIn(prompt: string): readonly Lead[] {
  const leads: Lead[] = []
  let counted = 0
  for (const raw of prompt.slice(0, MAX_PROMPT).split('\n')) {
    if (raw.trimStart().startsWith('```')) {
      counted = 0
      continue
    }
    counted += 1
    const line = raw.slice(0, MAX_LINE)
    const found = SUSPICIONS.find(([pattern]) => pattern.test(line))
    if (found === undefined) continue
    const [, number, code] = /^\s*(\d{1,7})\s?[:|\t]\s?(.*)$/.exec(line) ?? []
    leads.push({
      line: number === undefined ? counted : Number(number),
      text: (code ?? line).trim(),
      rule: found[1],
      message: found[2],
    })
    if (leads.length === MAX_LEADS) break
  }
  return leads
}
