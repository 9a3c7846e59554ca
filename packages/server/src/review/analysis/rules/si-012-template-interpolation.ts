/** SI-012: text that some template engine on the way may fill in. */
import type { Rule, TargetKind } from '../rule.ts'
import { textHits } from '../text-hits.ts'
import { wording } from '../wording.ts'

const KINDS: ReadonlySet<TargetKind> = new Set([
  'tool_name',
  'description',
  'property_description',
  'property_name',
  'title',
  'comment',
  'value',
])
const TEMPLATE = wording(
  /\{\{[^{}\n]{1,80}\}\}/,
  /\{%[^{}%\n]{1,80}%\}/,
  /\$\{[^{}\n]{1,80}\}/,
  /<%[^<>%\n]{1,80}%>/,
  /%\([A-Za-z_]\w{0,40}\)[sdrif]/,
)

export const templateInterpolation: Rule = {
  id: 'SI-012',
  category: 'schema_injection',
  title: 'Holds placeholders of a template',
  reason: 'What a template engine fills in later was not there when the tool was reviewed.',
  recommendation: 'Write placeholders in words, or in a form no template engine fills in.',
  find: (subject) =>
    textHits(subject, TEMPLATE, {
      severity: 'medium',
      confidence: 0.6,
      kinds: KINDS,
      description: 'The text holds a placeholder that something may fill in after the review.',
    }),
  examples: {
    hit: { tool: { name: 'greet', description: 'Greets {{ user.name }} in the morning.' } },
    nearMiss: {
      tool: {
        name: 'price',
        description: 'Costs $ {n} at 100%; GET /v1/prices/{id}.',
        schema: { properties: { id: { type: 'string', pattern: '^a{2}$|{{b}}' } } },
      },
    },
  },
}
