/** RA-006: work that goes on when nobody looks. */
import type { Param, Rule } from '../rule.ts'
import { isSwitch, named } from './purpose.ts'

const SCHEDULES: ReadonlySet<string> = new Set(
  'cron crontab schedule interval recurrence recurring rrule daemonize daemon nohup'.split(' '),
)
const DETACHED: ReadonlySet<string> = new Set('detach detached background async'.split(' '))

export const scheduledWork: Rule = {
  id: 'RA-006',
  category: 'resource_abuse',
  title: 'Lets the caller schedule or detach work',
  reason:
    'What runs later or in the background runs without the caller, and often without anybody who can stop it.',
  recommendation:
    'Offer a few fixed intervals as an enum, and a way to list and stop what was started.',
  *find({ params }) {
    for (const param of params) {
      if (!isScheduled(param)) continue
      yield {
        location: param.location,
        severity: 'low',
        confidence: 0.6,
        description: `"${param.name}" decides when, or whether unseen, something runs.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'report',
        description: 'Makes a report.',
        schema: { properties: { cron: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'draw',
        description: 'Draws a picture.',
        schema: {
          properties: {
            background: { type: 'string' },
            interval: { type: 'string', enum: ['day', 'week'] },
          },
        },
      },
    },
  },
}

function isScheduled(param: Param): boolean {
  if (param.hasEnum) return false
  if (param.words.some((word) => SCHEDULES.has(word))) return true
  return isSwitch(param) && param.types.length > 0 && param.words.some((word) => DETACHED.has(word))
}
