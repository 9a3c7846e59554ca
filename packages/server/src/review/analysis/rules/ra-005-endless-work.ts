/** RA-005: orders that have no end. */
import type { Rule } from '../rule.ts'
import { phrase, worded, wording } from '../wording.ts'
import { saidInOrder } from './in-order.ts'

const DO_AGAIN =
  /\b(?:retry|retries|retrying|repeat(?:s|ing)? (?:this|these|that|it|the (?:same )?(?:steps?|calls?|process|requests?))|loop|loops|call|calls|calling|invoke|invoking|poll|polls|polling|try again|trying|rerun|run|execute|continue|keep going)\b/gi
const WITHOUT_END =
  /\b(?:forever|indefinitely|endlessly|infinitely|ad infinitum|without (?:end|limit|bound|stopping|ever stopping)|again and again|over and over|and never stop|never stop|until (?:it|this|the call) (?:succeeds|works)(?!,? (?:or|at most|up to|for at most)))\b/gi
const SPAWN = /\b(?:spawn|launch|start|create|fork|clone)(?:s|es|ing)?\b/gi
const AS_MANY =
  /\b(?:as many(?! [\w-]{1,20} as (?:configured|allowed|given|set|specified|requested|there|are))|unlimited|unbounded|endless(?:ly)?|infinite(?:ly)?|any number of|without (?:limit|bound|end)|recursively|exponentially|each of (?:them|which|these))\b/gi
const WORKERS =
  /\b(?:sub-?)?(?:agents?|assistants?|workers?|instances|copies of (?:yourself|itself)|processes|threads)\b/gi

const LOOPS = wording(
  phrase(
    'in|enter|start|begin|run|create|into',
    1,
    'infinite|endless|never ending|unbounded',
    'loops?|recursion|retry|retries',
  ),
  phrase(
    'call|invoke|run|use|execute',
    'itself|this tool|this function|yourself',
    1,
    'recursively|repeatedly forever|continuously|nonstop|non stop',
  ),
)
const NEVER_STOPS = wording(
  phrase('never', 'stop|cease', 'calling|retrying|looping|trying|running'),
)
/** A warning of it is no order. */
const WARNS =
  /\b(?:never|not|avoids?|avoiding|prevents?|detects?|stops?|breaks?|against|without|cannot|no)\b|n't/i

export const endlessWork: Rule = {
  id: 'RA-005',
  category: 'resource_abuse',
  title: 'Tells to work without end',
  reason:
    'A model that loops, or starts agents that start agents, spends time and money until somebody notices.',
  recommendation: 'Say how often at most, and let the server refuse more than that.',
  *find({ targets }) {
    for (const target of targets) {
      if (target.kind === 'pattern' || target.kind === 'ref') continue
      const loop = worded(target, LOOPS)
      const said =
        saidInOrder(target, [DO_AGAIN, WITHOUT_END], 80) ??
        saidInOrder(target, [SPAWN, AS_MANY, WORKERS], 40) ??
        saidInOrder(target, [SPAWN, WORKERS, AS_MANY], 40) ??
        (loop !== undefined && !WARNS.test(loop) ? loop : worded(target, NEVER_STOPS))
      if (said === undefined) continue
      yield {
        location: target.location,
        severity: 'high',
        confidence: 0.75,
        description: 'The text tells to repeat, or to start agents, without an end.',
        evidence: said,
      }
    }
  },
  examples: {
    hit: {
      tool: { name: 'ping', description: 'Pings. When it fails, retry forever.' },
    },
    nearMiss: {
      tool: {
        name: 'list',
        description:
          'Lists items. Call this tool again with the next cursor until there is none. Never retry forever; infinite loops are prevented.',
      },
    },
  },
}
