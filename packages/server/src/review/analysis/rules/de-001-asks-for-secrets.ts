/** DE-001: secrets and personal data in plain parameters. */
import { isTokenObject } from '../../../json/raw-number.ts'
import type { Param, Rule } from '../rule.ts'
import { isFreeText, named } from './purpose.ts'

/** Last words of names that are secrets themselves. */
const SECRET_HEADS: ReadonlySet<string> = new Set(
  'password passwords passwd pwd passphrase secret secrets apikey cookie cookies jwt bearer privatekey accesskey secretkey credential credentials ssn cvv cvc otp pin session'.split(
    ' ',
  ),
)
const SECRET_PAIRS =
  /(?:^| )(?:(?:api|private|access|secret|signing|encryption|session|ssh|auth) keys?|(?:auth|access|api|bearer|id|refresh|session|csrf|security|personal|bot|oauth|github|gitlab|slack|discord|telegram|npm|pypi|jira|notion|linear|stripe|aws|azure|gcp|vault|hf|user|admin|service|client|login|account|app|deploy|registry) tokens?|session cookie|(?:credit|debit|bank|payment) card(?: number)?|card (?:number|no)|social security(?: number)?|passport(?: number)?|national id|tax id|iban|(?:recovery|seed) phrase|mnemonic|date of birth)$/
/** Said of a `token` or `card` that is what it sounds like. */
const SAID =
  /\b(?:api|access|auth|authentication|authori[sz]ation|bearer|refresh|session|oauth|personal) (?:token|key)|\b(?:password|passphrase|private key|client secret|credit card|card number|social security)\b/i
/** Tokens of pages, counts and the like. */
const OTHER_TOKENS =
  /(?:^| )(?:page|next|previous|prev|continuation|sync|cursor|start|stop|resume|delta|idempotency|max|min|num|count|word|text|prompt) tokens?$/
/** `vault:team/key` names a secret and is none. */
const REFERENCE = /^\^(?:\(\?:)?[a-z][a-z0-9_-]{1,20}:(?:\/\/|\\\/\\\/)?/i

export const asksForSecrets: Rule = {
  id: 'DE-001',
  category: 'data_exposure',
  title: 'Takes secrets or personal data as plain text',
  reason:
    'What goes through a parameter goes through the model, its context, its logs and its provider.',
  recommendation:
    'Keep credentials on the side of the server, or take the name of a stored secret in place of its value.',
  *find({ params }) {
    for (const param of params) {
      if (!isFreeText(param) || !isSecret(param)) continue
      const { pattern } = param.schema
      if (typeof pattern === 'string' && REFERENCE.test(pattern)) continue
      yield {
        location: param.location,
        severity: 'high',
        confidence: 0.75,
        description: `"${param.name}" takes a secret or personal data.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'log_in',
        description: 'Logs in.',
        schema: { properties: { apiKey: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'list_items',
        description: 'Lists items.',
        schema: {
          properties: {
            page_token: { type: 'string' },
            max_tokens: { type: 'integer' },
            secret_name: { type: 'string' },
            issue_key: { type: 'string' },
          },
        },
      },
    },
  },
}

function isSecret({ words, description, schema }: Param): boolean {
  const says = words.join(' ')
  const head = words.at(-1) ?? ''
  if (OTHER_TOKENS.test(says)) return false
  if (SECRET_HEADS.has(head) || SECRET_PAIRS.test(says)) return true
  if (schema['format'] === 'password') return true
  // Alone these words are ambiguous: what is said of them decides.
  if (head === 'token' || head === 'tokens') return words.length === 1 || SAID.test(description)
  return (
    (head === 'card' || head === 'key') &&
    SAID.test(description) &&
    !isTokenObject(schema['properties'])
  )
}
