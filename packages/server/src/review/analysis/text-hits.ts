/** The hits of a rule that looks for wordings. */
import type { Severity } from './finding.ts'
import type { Hit, Subject, Target, TargetKind } from './rule.ts'
import { type Wording, worded } from './wording.ts'

/** All kinds that say something; patterns describe text and say nothing themselves. */
export const PROSE: ReadonlySet<TargetKind> = new Set([
  'tool_name',
  'description',
  'provider_name',
  'property_name',
  'property_description',
  'title',
  'comment',
  'value',
  'format',
  'ref',
])

/** @param hit `severity` may depend on where it stands. */
export function* textHits(
  subject: Subject,
  wording: Wording,
  hit: {
    readonly severity: Severity | ((target: Target) => Severity)
    readonly confidence: number
    readonly description: string
    readonly kinds?: ReadonlySet<TargetKind>
  },
): Iterable<Hit> {
  const kinds = hit.kinds ?? PROSE
  for (const target of subject.targets) {
    if (!kinds.has(target.kind)) continue
    const evidence = worded(target, wording)
    if (evidence === undefined) continue
    yield {
      location: target.location,
      severity: typeof hit.severity === 'string' ? hit.severity : hit.severity(target),
      confidence: hit.confidence,
      description: hit.description,
      evidence,
    }
  }
}
