/** SI-007: names that look like other names. */
import { isLookAlike, latinSkeleton } from '../confusables.ts'
import { withoutInvisible } from '../invisible.ts'
import type { Hit, Rule, Subject } from '../rule.ts'

const ORDINARY = /^[A-Za-z0-9_.-]+$/
const LATIN = /\p{Script=Latin}/u
const OTHER_SCRIPT = /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Armenian}\p{Script=Cherokee}]/u

export const confusableNames: Rule = {
  id: 'SI-007',
  category: 'schema_injection',
  title: 'Has a name that can be taken for another',
  reason: 'A name with letters of two scripts looks like one that is trusted, and is another.',
  recommendation: 'Use only A–Z, a–z, 0–9, underscore, hyphen and dot in names.',
  find: namesIn,
  examples: {
    hit: { tool: { name: 'sеnd_mail', description: 'Sends a mail.' } },
    nearMiss: { tool: { name: 'send-mail.v2_X', description: 'Отправляет письмо.' } },
  },
}

function* namesIn({ targets }: Subject): Iterable<Hit> {
  for (const { kind, location, raw } of targets) {
    if (kind !== 'tool_name' && kind !== 'property_name') continue
    if (ORDINARY.test(raw)) continue
    const why = looksLike(raw)
    yield {
      location,
      severity: why === undefined ? 'low' : 'high',
      confidence: why === undefined ? 0.6 : 0.9,
      description: why ?? 'The name holds characters other than A–Z, a–z, 0–9, _, - and dot.',
      evidence: raw,
    }
  }
}

function looksLike(name: string): string | undefined {
  const plain = name.normalize('NFKC')
  const bare = withoutInvisible(plain)
  if (LATIN.test(bare) && OTHER_SCRIPT.test(bare))
    return 'The name mixes Latin with another script.'
  if (plain !== name.normalize('NFC')) return 'The name uses other forms of ordinary letters.'
  const letters = Array.from(bare).filter((letter) => /\p{L}/u.test(letter))
  const foreign = letters.filter((letter) => !/[A-Za-z]/.test(letter))
  if (foreign.length > 0 && foreign.every(isLookAlike) && OTHER_SCRIPT.test(bare)) {
    return `The name looks like ${latinSkeleton(bare)}, and no letter of it is Latin.`
  }
  return undefined
}
