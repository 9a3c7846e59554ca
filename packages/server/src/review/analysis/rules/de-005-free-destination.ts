/** DE-005: where it goes is the caller's choice. */
import { isTokenObject } from '../../../json/raw-number.ts'
import type { Hit, Param, Rule } from '../rule.ts'
import { isFreeText, named, purposeOf } from './purpose.ts'

const RECIPIENTS: ReadonlySet<string> = new Set(
  'to recipient recipients cc bcc webhook webhooks callback destination addressee addressees'.split(
    ' ',
  ),
)
const SENDS = /\b(?:send|invit|forward|shar|deliver|notif|post|repl)(?:e|y|es|s|ies|ing|ying)?\b/
/** Somebody who wrote or is looked for, not somebody who gets something. */
const NOT_A_RECIPIENT =
  /\b(?:from|sender|author|filter|search|assignee|reporter|find|lookup|owner|committer)\b/
/** The scheme stands in the pattern, so that `file:` and the like cannot come. */
const HAS_SCHEME = /^\^\(?(?:\?:)?(?:https?|wss?)\??\)?:/
/** Right behind it the host is spelt out. */
const HAS_HOST =
  /^\^\(?(?:\?:)?(?:https?|wss?)\??\)?:(?:\\?\/){2}(?:\(\?:)?(?:\([^()]{0,200}\))?[\w]/
const HAS_DOMAIN = /@(?:\(\?:)?[\w]/

export const freeDestination: Rule = {
  id: 'DE-005',
  category: 'data_exposure',
  title: 'Lets the caller choose the destination',
  reason:
    'If the address is free, anything the agent knows can be carried to anybody: in the address itself or in what is sent there.',
  recommendation:
    'List the destinations as an enum, or use an anchored pattern that fixes scheme and host, or the domain of mail addresses.',
  *find(subject) {
    const purpose = purposeOf(subject)
    for (const param of subject.params) {
      const kind = kindOf(param, purpose)
      const found = kind === undefined ? undefined : openness(param, kind)
      if (found !== undefined) yield { ...found, location: param.location, evidence: named(param) }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'notify',
        description: 'Sends a notification.',
        schema: { properties: { webhook_url: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'read_page',
        description: 'Reads a page.',
        schema: {
          properties: {
            url: {
              type: 'string',
              pattern: '^https://docs\\.example\\.com/[a-z/]*$',
              maxLength: 200,
            },
            author_email: { type: 'string' },
          },
        },
      },
    },
  },
}

function kindOf(
  { sinks, words, description }: Param,
  purpose: string,
): 'address' | 'mail' | undefined {
  if (sinks.has('url') || sinks.has('host')) return 'address'
  const says = `${words.join(' ')} ${description.slice(0, 400).toLowerCase()}`
  const head = words.at(-1) ?? ''
  if (/webhook|callback/.test(head)) return 'address'
  if (NOT_A_RECIPIENT.test(words.join(' '))) return undefined
  const isRecipient =
    RECIPIENTS.has(head) && (sinks.has('email') || /mail|recipient/.test(`${says} ${purpose}`))
  return isRecipient || (sinks.has('email') && SENDS.test(`${says} ${purpose}`))
    ? 'mail'
    : undefined
}

function openness(
  param: Param,
  kind: 'address' | 'mail',
): Pick<Hit, 'severity' | 'confidence' | 'description'> | undefined {
  if (param.hasEnum) return undefined
  const { name } = param
  if (isFreeText(param)) {
    return { severity: 'high', confidence: 0.7, description: `"${name}" takes any destination.` }
  }
  const { pattern } = itemsOf(param)
  const medium = (description: string) =>
    ({ severity: 'medium', confidence: 0.6, description }) as const
  if (!param.types.includes('string') && !param.types.includes('array')) return undefined
  if (typeof pattern !== 'string') {
    return medium(
      kind === 'mail'
        ? `"${name}" takes any mail address.`
        : `"${name}" takes any address, with any scheme.`,
    )
  }
  if (kind === 'mail') {
    return HAS_DOMAIN.test(pattern) ? undefined : medium(`"${name}" leaves the domain open.`)
  }
  if (!param.sinks.has('url')) return undefined
  if (!HAS_SCHEME.test(pattern)) return medium(`"${name}" leaves the scheme open.`)
  return HAS_HOST.test(pattern) ? undefined : medium(`"${name}" leaves the host open.`)
}

function itemsOf({ schema }: Param): Param['schema'] {
  const items = schema['items']
  return isTokenObject(items) ? items : schema
}
