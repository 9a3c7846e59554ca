/** PE-002: more rights, or less protection, at the caller's wish. */
import type { Hit, Param, Rule } from '../rule.ts'
import { isFreeText, isSwitch, named } from './purpose.ts'

/** What is switched off here protects somebody; other things may be skipped more lightly. */
const SAFEGUARDS: ReadonlySet<string> = new Set(
  'verification verify validation validate check checks auth authentication authorization authorisation login confirmation confirm approval approvals hook hooks review policy policies safety security safe permission permissions sandbox tls ssl signature signatures scan scanning backup backups warning warnings prompt prompts limit limits quota audit logging encryption firewall protection guard guards guardrails certificate cert mfa antivirus'.split(
    ' ',
  ),
)

export const elevationSwitch: Rule = {
  id: 'PE-002',
  category: 'privilege_escalation',
  title: 'Lets the caller switch checks off',
  reason:
    'A safeguard that the caller can turn off does not guard against the caller, and the caller is a model.',
  recommendation:
    'Leave the switch out, or decide it in the configuration of the server, where a person does.',
  *find({ params }) {
    for (const param of params) {
      const found = switchOf(param)
      if (found !== undefined) {
        yield { ...found, location: param.location, evidence: named(param) }
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'restart_service',
        description: 'Restarts a service.',
        schema: { properties: { sudo: { type: 'boolean', default: true } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'list_rows',
        description: 'Lists rows.',
        schema: {
          properties: { skip: { type: 'integer', maximum: 9 }, workforce: { type: 'boolean' } },
        },
      },
    },
  },
}

function switchOf(param: Param): Pick<Hit, 'severity' | 'confidence' | 'description'> | undefined {
  const { name, words, defaultValue } = param
  const says = ` ${words.join(' ')} `
  const isOn = defaultValue === true || defaultValue === 'true'
  if (elevates(param, says)) {
    return { severity: 'high', confidence: 0.8, description: `"${name}" gives more rights.` }
  }
  if (!isSwitch(param)) return undefined
  const [verb, ...what] = words
  const skips = (verb === 'skip' || verb === 'disable') && what.length > 0
  if (skips && !what.some((word) => SAFEGUARDS.has(word))) {
    return { severity: 'low', confidence: 0.4, description: `"${name}" leaves something out.` }
  }
  if (
    !skips &&
    !/ (?:force|unsafe|insecure|dangerously|no (?:verify|check|checks|sandbox)) /.test(says)
  ) {
    return undefined
  }
  return {
    severity: isOn ? 'high' : 'medium',
    confidence: isOn ? 0.8 : 0.6,
    description: `"${name}" turns a safeguard off${isOn ? ', and does by default' : ''}.`,
  }
}

function elevates(param: Param, says: string): boolean {
  if (/ (?:as user|run as) /.test(says)) return isFreeText(param) || isSwitch(param)
  if (!isSwitch(param)) return false
  return (
    / (?:sudo|privileged|elevated|as root|as admin|use root|bypass [a-z0-9]+) /.test(says) ||
    says === ' root '
  )
}
