/** MC-005: addresses that are code or local files, given as values. */
import type { Rule, TargetKind } from '../rule.ts'
import { textHits } from '../text-hits.ts'
import { wording } from '../wording.ts'

const VALUES: ReadonlySet<TargetKind> = new Set(['value'])
const SCRIPT_URL = wording(
  /(?:^|[\s"'(=<])(?:javascript|vbscript|livescript)\s{0,4}:\s{0,4}[^\s]/,
  /(?:^|[\s"'(=<])data:(?:[\w.+-]{1,40}\/[\w.+-]{1,60})?(?:;[\w=.-]{1,40}){0,4},/,
  /(?:^|[\s"'(=<])file:\/{1,3}[\w.%~$]/,
)

export const scriptUrls: Rule = {
  id: 'MC-005',
  category: 'malicious_code',
  title: 'Offers script, data or file URLs',
  reason: 'Such an address runs code where it is opened, or reads files of the machine.',
  recommendation: 'Offer https addresses only.',
  find: (subject) =>
    textHits(subject, SCRIPT_URL, {
      severity: 'high',
      confidence: 0.8,
      description: 'A default, choice or example is a URL that runs code or opens a local file.',
      kinds: VALUES,
    }),
  examples: {
    hit: {
      tool: {
        name: 'open',
        description: 'Opens a page.',
        schema: {
          properties: { page: { type: 'string', default: 'javascript:alert(document.cookie)' } },
        },
      },
    },
    nearMiss: {
      tool: {
        name: 'open',
        description: 'Opens a page; file:///etc is refused.',
        schema: {
          properties: { page: { type: 'string', enum: ['https://a.example', 'profile:', 'data'] } },
        },
      },
    },
  },
}
