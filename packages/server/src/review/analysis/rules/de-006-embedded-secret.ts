/** DE-006: a secret that was left in the tool. */
import type { Param, Rule, Target } from '../rule.ts'
import { excerpt } from '../wording.ts'

const KNOWN = new RegExp(
  [
    /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/,
    /-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----/,
    /\beyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{4,4000}\.[A-Za-z0-9_-]{16,1000}/,
    /\b[Bb]earer\s+[A-Za-z0-9._~+/-]{20,500}/,
    /\bgh[pousr]_[A-Za-z0-9]{30,255}\b|\bgithub_pat_[A-Za-z0-9_]{40,255}\b/,
    /\bglpat-[A-Za-z0-9_-]{20,64}\b/,
    /\bxox[abeoprs]-[A-Za-z0-9-]{10,255}/,
    /\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{20,255}\b/,
    /\b[rs]k_live_[A-Za-z0-9]{16,255}\b/,
    /\bAIza[A-Za-z0-9_-]{35}\b/,
    /\bnpm_[A-Za-z0-9]{36}\b/,
    /\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}\b/,
    /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]{1,64}:[^\s:@/]{6,128}@[\w.-]{1,100}/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'g',
)
const PLACEHOLDER =
  /example|placeholder|your[_-]|xxxx|\.\.\.|<[^>]*>|\*{3}|1234567890|changeme|redacted|password@/i
const TOKEN = /[A-Za-z0-9+/_-]{24,200}={0,2}/g
/** A random text is a secret where it is called one. */
const CALLED = /(?:key|token|secret|passw|credential|auth|bearer)/i
const BEFORE = 48
/** Of what is said of a property. */
const MAX_READ = 400
/** Bits per character; ordinary words and paths stay below. */
const RANDOM_BITS = 4

export const embeddedSecret: Rule = {
  id: 'DE-006',
  category: 'data_exposure',
  title: 'Holds a secret',
  reason: 'Everybody who can list the tool can read the secret, and so can every model.',
  recommendation:
    'Revoke the secret, keep the new one in the server, and use an obvious placeholder as example.',
  *find({ targets, params }) {
    const secretive = new Set(params.filter(isCalledSecret).map(({ location }) => location))
    for (const target of targets) {
      if (target.kind === 'pattern' || target.kind === 'ref') continue
      const found = secretIn(target, secretive)
      if (found === undefined) continue
      yield {
        location: target.location,
        severity: 'critical',
        confidence: 0.95,
        description: `The text holds what looks like ${found.what}.`,
        evidence: found.evidence,
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'forecast',
        description: 'Returns the forecast.',
        schema: {
          properties: {
            // Put together, so that this file is not taken for a leak itself.
            region: { type: 'string', default: ['AKIA', 'Z7Q4M2XWK9TR3PLD'].join('') },
          },
        },
      },
    },
    nearMiss: {
      tool: {
        name: 'get_document',
        description: 'Returns a document. The token is sent as "Bearer <your token>".',
        schema: {
          properties: {
            id: { type: 'string', examples: ['1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms'] },
            commit: { type: 'string', examples: ['9fceb02d0ae598e95dc970b74767f19372d61af8'] },
          },
        },
      },
    },
  },
}

function secretIn(
  target: Target,
  secretive: ReadonlySet<string>,
): { what: string; evidence: string } | undefined {
  for (const view of target.views) {
    for (const { index, 0: found } of view.matchAll(KNOWN)) {
      if (!PLACEHOLDER.test(found))
        return { what: 'a key, token or password', evidence: masked(view, index, found) }
    }
  }
  const isSecretive =
    target.kind === 'value' && ownersOf(target.location).some((at) => secretive.has(at))
  for (const { index, 0: found } of target.raw.matchAll(TOKEN)) {
    const before = target.raw.slice(Math.max(0, index - BEFORE), index)
    if ((isSecretive || CALLED.test(before)) && isRandom(found) && !PLACEHOLDER.test(found)) {
      return { what: 'a random secret', evidence: masked(target.raw, index, found) }
    }
  }
  return undefined
}

function isCalledSecret({ name, description }: Param): boolean {
  return CALLED.test(name) || CALLED.test(description.slice(0, MAX_READ))
}

/** The property of a default, and of one of several examples. */
function ownersOf(location: string): string[] {
  const one = location.slice(0, Math.max(0, location.lastIndexOf('/')))
  return [one, one.slice(0, Math.max(0, one.lastIndexOf('/')))]
}

/** Enough to find it again; reviews are read by many. */
function masked(text: string, at: number, found: string): string {
  const shown = `${found.slice(0, 8)}…`
  return excerpt(text.slice(0, at) + shown + text.slice(at + found.length), at, shown.length)
}

function isRandom(text: string): boolean {
  const counts = new Map<string, number>()
  for (const letter of text) counts.set(letter, (counts.get(letter) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values())
    bits -= (count / text.length) * Math.log2(count / text.length)
  const kinds = [/[a-z]/g, /[A-Z]/g, /[0-9]/g].map((kind) => text.match(kind)?.length ?? 0)
  return bits >= RANDOM_BITS && kinds.every((count) => count >= 3)
}
