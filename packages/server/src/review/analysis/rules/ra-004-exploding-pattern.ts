/** RA-004: patterns that can be made to hang who checks them. */
import { judgePattern, type Verdict } from '../pattern/ambiguity.ts'
import type { Rule } from '../rule.ts'

/** An ordinary pattern takes a few hundred. */
const MAX_STEPS = 1_000_000

const HOW = {
  nested: 'repeats what repeats itself',
  overlapping: 'repeats a choice whose options overlap',
  in_a_row: 'has several repetitions in a row that take the same characters',
} as const

export const explodingPattern: Rule = {
  id: 'RA-004',
  category: 'resource_abuse',
  title: 'Has a pattern that can be made to hang',
  reason:
    'Some regular expressions need time that doubles with every character of a text that almost fits. Whoever checks an argument against one stands still.',
  recommendation:
    'Let each repetition end with a character that it cannot contain, and do not repeat what repeats itself.',
  *find({ targets }) {
    const known = new Map<string, Verdict>()
    const budget = { steps: MAX_STEPS }
    for (const { kind, raw, location } of targets) {
      if (kind !== 'pattern') continue
      let verdict = known.get(raw)
      if (verdict === undefined) {
        verdict = judgePattern(raw, budget)
        known.set(raw, verdict)
      }
      if (verdict.kind === 'fine') continue
      const isInvalid = verdict.kind === 'invalid'
      yield {
        location,
        severity: isInvalid ? 'low' : 'medium',
        confidence: 0.8,
        description:
          verdict.kind === 'explodes'
            ? `The pattern ${HOW[verdict.how]}.`
            : isInvalid
              ? 'The pattern is no regular expression.'
              : 'The pattern is too large to tell how long it takes.',
        evidence: raw,
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'find',
        description: 'Finds a town.',
        schema: {
          properties: { town: { type: 'string', pattern: '^(\\w+\\s?)*$', maxLength: 80 } },
        },
      },
    },
    nearMiss: {
      tool: {
        name: 'find',
        description: 'Finds a town.',
        schema: {
          properties: { town: { type: 'string', pattern: '^\\w+(?:\\s\\w+)*$', maxLength: 80 } },
        },
      },
    },
  },
}
