/** SI-010: a description that says nothing, too much, or pushes part of itself out of sight. */
import type { Hit, Rule, Subject } from '../rule.ts'
import { excerpt } from '../wording.ts'

const LONG = 2_000
const VERY_LONG = 8_000
const BLANK_RUN = /\s{41,}/

export const descriptionLength: Rule = {
  id: 'SI-010',
  category: 'schema_injection',
  title: 'Has a description of unusual length',
  reason:
    'Nobody reads a description of many pages, and blank lines push what follows them out of view.',
  recommendation: 'Say in a few sentences what the tool does, without runs of blank space.',
  find: lengths,
  examples: {
    hit: { tool: { name: 'ping', description: ' ' } },
    nearMiss: { tool: { name: 'ping', description: `Pings a host.${'\n\n  '.repeat(9)}Slowly.` } },
  },
}

function* lengths({ tool, targets }: Subject): Iterable<Hit> {
  const hit = (severity: Hit['severity'], description: string, evidence: string): Hit => {
    return { location: '/description', severity, confidence: 0.7, description, evidence }
  }
  const length = tool.description.length
  if (tool.description.trim() === '') yield hit('low', 'The description says nothing.', '')
  else if (length > VERY_LONG) {
    yield hit('medium', `The description is ${length} characters long.`, tool.description)
  } else if (length > LONG) {
    yield hit('low', `The description is ${length} characters long.`, tool.description)
  }
  for (const { kind, location, raw } of targets) {
    if (kind === 'pattern') continue
    // Blanks at the ends push nothing away.
    const text = raw.trim()
    const match = BLANK_RUN.exec(text)
    if (match === null) continue
    yield {
      ...hit('high', 'A long run of blanks pushes what follows it out of view.', ''),
      location,
      evidence: excerpt(text.replace(BLANK_RUN, ' [blanks] '), match.index, 10),
    }
  }
}
