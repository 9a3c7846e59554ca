/** MC-009: a provider whose name can be taken for one that is known. */
import { likeness } from '../names-alike.ts'
import type { Rule } from '../rule.ts'

export const providerTyposquat: Rule = {
  id: 'MC-009',
  category: 'malicious_code',
  title: 'Comes from a provider that looks like another',
  reason: 'Names one letter away from a trusted one are taken by people who hope for the slip.',
  recommendation: 'Make sure that the provider is the one you mean; compare its key address.',
  *find({ tool }, { knownProviders }) {
    const own = tool.provider.name
    if (knownProviders.includes(own)) return
    for (const known of knownProviders) {
      if (likeness(own, known) === undefined) continue
      yield {
        location: '/provider/name',
        severity: 'medium',
        confidence: 0.6,
        description: `${own} looks like the known provider ${known}.`,
        evidence: own,
      }
    }
  },
  examples: {
    hit: {
      tool: { name: 'issues', description: 'Lists issues.', provider: { name: 'githud' } },
      around: { knownProviders: ['github'] },
    },
    nearMiss: {
      tool: { name: 'issues', description: 'Lists issues.', provider: { name: 'gitlab' } },
      around: { knownProviders: ['github', 'gitlab', 'gitlabs'] },
    },
  },
}
