/** MC-010: the provider signs with a key that it did not have before, or that was taken back. */
import type { Rule } from '../rule.ts'

export const providerKeyChanged: Rule = {
  id: 'MC-010',
  category: 'malicious_code',
  title: 'Comes with a provider key that is not the known one',
  reason: 'A key that changed without notice, or was revoked, is how a stolen provider looks.',
  recommendation: 'Ask the provider on another way; add the new key only when it is confirmed.',
  *find({ tool }, { providerKey: key }) {
    if (key.state !== 'differs_from_pin' && key.state !== 'revoked') return
    const what = key.state === 'revoked' ? 'was revoked' : 'is not the one seen before'
    yield {
      location: '/provider/public_key_url',
      severity: 'critical',
      confidence: 0.99,
      description: `The key of ${tool.provider.name} ${what}.`,
      evidence: key.fingerprint,
    }
  },
  examples: {
    hit: {
      tool: { name: 'ping', description: 'Pings.' },
      around: { providerKey: { state: 'revoked', fingerprint: `sha256:${'a'.repeat(64)}` } },
    },
    nearMiss: {
      tool: { name: 'ping', description: 'Pings.' },
      around: { providerKey: { state: 'known', fingerprint: `sha256:${'a'.repeat(64)}` } },
    },
  },
}
