/** PE-006: reaching for what the agent itself runs on. */
import type { Rule } from '../rule.ts'
import { notAfter, phrase, worded, wording } from '../wording.ts'

const FORBIDDEN = "never|not|n't|cannot|without|no"
const CHANGE =
  'updates?|edits?|modif(?:y|ies)|changes?|rewrites?|replaces?|overwrites?|sets?|alters?|extends?|deletes?|disables?|appends?|adds?|writes?|patch(?:es)?|injects?|installs?|registers?|resets?'
const WHOSE = 'agent s|agents|agent|assistant s|assistant|model s|llm s|its own|your own|own'
const WHAT =
  'instructions?|prompts?|system prompts?|memory|memories|memory files?|tools?|tool list|tool definitions?|tool descriptions?|polic(?:y|ies)|rules|permissions?|configuration|config|guardrails?|schedules?|allow ?list'

const CONTROL = wording(
  notAfter(
    FORBIDDEN,
    phrase(CHANGE, 3, '(?:system|developer) prompts?(?! templates?)|system instructions?'),
  ),
  notAfter(FORBIDDEN, phrase(CHANGE, 4, WHOSE, 1, WHAT)),
  notAfter(
    FORBIDDEN,
    phrase(
      CHANGE,
      2,
      'your',
      'instructions?|prompts?|system prompts?|memory|memories|tools?|guardrails?|guidelines',
    ),
  ),
  notAfter(
    FORBIDDEN,
    phrase(CHANGE, 3, WHAT, 'of|for|with|to', 'the|this|your', 'agent|assistant|model'),
  ),
  notAfter(
    FORBIDDEN,
    phrase(
      `${CHANGE}|enables?|removes?|uninstalls?|connects?|configures?`,
      3,
      'mcp',
      'servers?|configuration|config|settings|tools?|json',
    ),
  ),
  notAfter(
    FORBIDDEN,
    phrase(
      `${CHANGE}|creates?|saves?`,
      4,
      'claude md|agents md|cursorrules|cursor rules|windsurfrules|claude desktop config|copilot instructions|soul md|memory md',
    ),
  ),
  notAfter(
    FORBIDDEN,
    phrase(
      'schedules?|creates?|starts?',
      2,
      'agent|agents',
      1,
      'runs?|jobs?|wake ups?|executions?',
    ),
  ),
)

export const platformControl: Rule = {
  id: 'PE-006',
  category: 'privilege_escalation',
  title: 'Controls the agent platform',
  reason:
    'A tool that changes the prompts, tools, memory or policies of an agent changes everything the agent does afterwards.',
  recommendation:
    'Leave the set-up of agents to the people who run them; keep such tools out of the reach of agents.',
  *find({ targets }) {
    for (const target of targets) {
      if (target.kind === 'pattern' || target.kind === 'ref' || target.kind === 'value') continue
      const said = worded(target, CONTROL)
      if (said === undefined) continue
      yield {
        location: target.location,
        severity: 'high',
        confidence: 0.8,
        description:
          'The text speaks of changing prompts, tools, memory, policies or servers of an agent.',
        evidence: said,
      }
    }
  },
  examples: {
    hit: {
      tool: { name: 'learn', description: 'Updates the system prompt with what was learnt.' },
    },
    nearMiss: {
      tool: {
        name: 'add_observations',
        description: 'Adds facts to entities of the knowledge graph. Prompts the user for a name.',
      },
    },
  },
}
