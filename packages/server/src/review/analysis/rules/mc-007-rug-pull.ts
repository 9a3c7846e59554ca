/** MC-007: a tool that was approved or signed before, and is another one now. */
import { type ToolChange, toolChanges } from '../../diff.ts'
import type { ToolDocument } from '../../tool-document.ts'
import { findingsOf, severityRank } from '../findings.ts'
import type { Hit, Rule, Subject, Surroundings } from '../rule.ts'
import { subjectOf } from '../subject.ts'

/** Pointers that are listed; a person who wants all of them looks at the comparison. */
const MAX_LISTED = 12

/** @param others By which both definitions are judged. */
export function rugPull(others: readonly Rule[]): Rule {
  return {
    id: 'MC-007',
    category: 'malicious_code',
    title: 'Differs from what was approved before',
    reason:
      'A tool can be harmless until it is approved and change afterwards; the change is what has to be reviewed.',
    recommendation:
      'Review every difference; approve it only if the provider says why it was made.',
    find: (subject, around) => changed(subject, around, others),
    examples: {
      hit: {
        tool: { name: 'ping', description: 'Pings a host and keeps a record.' },
        around: { earlier: [documentOf('Pings a host.')] },
      },
      nearMiss: {
        tool: { name: 'ping', description: 'Pings a host.' },
        around: { earlier: [documentOf('Pings a host.'), documentOf('Pings.')] },
      },
    },
  }
}

function* changed(subject: Subject, around: Surroundings, others: readonly Rule[]): Iterable<Hit> {
  const [before] = around.earlier
  if (before === undefined) return
  const changes = toolChanges(before, subject.tool)
  if (changes.length === 0) return
  const why = worse(subject, before, changes, { ...around, earlier: [] }, others)
  const pointers = changes.map(({ pointer, kind }) => `${pointer} (${kind})`)
  const more = changes.length > MAX_LISTED ? ` and ${changes.length - MAX_LISTED} more` : ''
  yield {
    location: '',
    severity: why === undefined ? 'high' : 'critical',
    confidence: 0.95,
    description: `${why ?? 'The definition changed.'} Changed: ${pointers.slice(0, MAX_LISTED).join(', ')}${more}.`,
    evidence: changes.slice(0, 3).map(shown).join('; '),
  }
}

/** @returns What makes the change worse than any change. */
function worse(
  now: Subject,
  earlier: ToolDocument,
  changes: readonly ToolChange[],
  around: Surroundings,
  others: readonly Rule[],
): string | undefined {
  if (changes.every(isText)) return 'Only what models read was changed.'
  const before = subjectOf(earlier)
  const hadSink = new Set(before.params.flatMap(sinkKeys))
  const sink = now.params.flatMap(sinkKeys).find((key) => !hadSink.has(key))
  if (sink !== undefined) return `There is a new ${sink.replace(/^(\w+) .*/s, '$1')} parameter.`
  const found = serious(now, around, others)
  if (found.length === 0) return undefined
  const had = new Set(serious(before, around, others))
  const fresh = found.find((key) => !had.has(key))
  return fresh && `There is a new serious finding: ${fresh.split(' ', 1)[0]}.`
}

function sinkKeys({ sinks, location }: Subject['params'][number]): string[] {
  return [...sinks].map((sink) => `${sink} ${location}`)
}

function serious(subject: Subject, around: Surroundings, rules: readonly Rule[]): string[] {
  return findingsOf(subject, around, rules)
    .filter(({ severity }) => severityRank(severity) >= severityRank('high'))
    .map(({ rule_id, location }) => `${rule_id} ${location}`)
}

/** Prose: descriptions, titles, remarks, examples. A property may have such a name too. */
const TEXT =
  /^\/description$|^\/schema\/(?:.*\/)?(?<!\/properties\/)(?:description|title|\$comment|examples(?:\/\d+)?)$/s

function isText({ pointer }: ToolChange): boolean {
  return TEXT.test(pointer)
}

function shown(change: ToolChange): string {
  const short = (value: unknown) => JSON.stringify(value).slice(0, 60)
  if (change.kind === 'added') return `${change.pointer}: + ${short(change.after)}`
  if (change.kind === 'removed') return `${change.pointer}: - ${short(change.before)}`
  return `${change.pointer}: ${short(change.before)} → ${short(change.after)}`
}

function documentOf(description: string): ToolDocument {
  return {
    name: 'ping',
    description,
    provider: { name: 'example-provider', public_key_url: 'https://example.com/pubkey.pem' },
    schema: { type: 'object', properties: {}, required: [] },
  }
}
