/** MC-006: whether the address of the provider's key, and what was found there, deserve trust. */
import { parseAddress } from '../../../egress/addresses.ts'
import { bareHost } from '../../../policy/host.ts'
import type { Severity } from '../finding.ts'
import type { Hit, Rule, Subject, Surroundings } from '../rule.ts'

const LOCAL =
  /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|lan|home|corp|test|invalid)\.?$/
const DOMAIN = /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}$/i
/** Below these, names belong to different people: `a.co.uk` and `b.co.uk`. */
const SHARED =
  /^(?:co|com|org|net|ac|gov|edu|github|gitlab|netlify|vercel|pages|web|herokuapp)\.[a-z]{2,5}$/

export const providerTrust: Rule = {
  id: 'MC-006',
  category: 'malicious_code',
  title: 'Gives a key address that deserves no trust',
  reason: 'Signatures of a provider are worth as much as the place from which its key comes.',
  recommendation: 'Publish the P-256 public key at an https address of the provider’s own domain.',
  find: trust,
  examples: {
    hit: {
      tool: {
        name: 'ping',
        description: 'Pings.',
        provider: { name: 'pings', public_key_url: 'http://192.168.0.7:8080/key.pem' },
      },
    },
    nearMiss: {
      tool: {
        name: 'ping',
        description: 'Pings.',
        provider: { name: 'tools.example.com', public_key_url: 'https://keys.example.com/key.pem' },
      },
      around: { providerKey: { state: 'known', fingerprint: `sha256:${'0'.repeat(64)}` } },
    },
  },
}

function* trust({ tool }: Subject, { providerKey }: Surroundings): Iterable<Hit> {
  const { name, public_key_url: given } = tool.provider
  const hit = (severity: Severity, confidence: number, description: string): Hit => {
    return {
      location: '/provider/public_key_url',
      severity,
      confidence,
      description,
      evidence: given ?? '',
    }
  }
  if (given === null || given === '') {
    yield hit('low', 0.4, 'The provider names no address of a public key.')
    return
  }
  const url = URL.parse(given)
  if (url === null) {
    yield hit('high', 0.85, 'The address of the key is no URL.')
    return
  }
  const wrong = problemOf(url, given)
  if (wrong !== undefined) yield hit('high', 0.85, wrong)
  else if (providerKey.state === 'refused') {
    yield hit('high', 0.85, `The address of the key was not asked: ${providerKey.reason}.`)
  }
  if (DOMAIN.test(name) && !isRelated(name.toLowerCase(), url.hostname)) {
    yield hit('medium', 0.6, `The key of ${name} is published by another domain.`)
  }
  if (providerKey.state === 'not_a_key') {
    yield hit('medium', 0.6, 'What was found there is no P-256 public key.')
  }
  if (providerKey.state === 'unreachable' || providerKey.state === 'absent') {
    yield hit('low', 0.4, 'No key could be fetched from there.')
  }
}

function problemOf(url: URL, given: string): string | undefined {
  const host = bareHost(url.hostname)
  if (url.protocol !== 'https:') return 'The key is not fetched over https.'
  if (url.username !== '' || url.password !== '') return 'The address carries a user name.'
  if (parseAddressOrNothing(host)) return 'The host is a number, not a name.'
  if (!host.includes('.') || LOCAL.test(host)) return 'The host is one of a local network.'
  if (/\P{ASCII}/u.test(given) || /(?:^|\.)xn--/.test(host)) {
    return 'The name of the host can be taken for another.'
  }
  if (url.port !== '') return 'The key is served at an unusual port.'
  return undefined
}

function parseAddressOrNothing(host: string): boolean {
  return parseAddress(host) !== undefined
}

/** One owner, as far as names tell. */
function isRelated(name: string, host: string): boolean {
  return ownerOf(name) === ownerOf(host)
}

function ownerOf(host: string): string {
  const labels = host.split('.')
  const two = labels.slice(-2).join('.')
  return SHARED.test(two) ? labels.slice(-3).join('.') : two
}
