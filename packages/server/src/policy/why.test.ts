import { expect, test } from 'vitest'
import { explainRecord } from './why.ts'

const record = {
  timestamp: Date.UTC(2026, 2, 2, 12),
  actor: 'agent:scout',
  action: 'policy.deny',
  detail: 'use:http_request openai/key POST evil.test',
  data: { operation: 'use:http_request', path: 'openai/key' },
  decision: {
    id: 'dec_1',
    allow: false,
    policies: [],
    reason: '"vault:web" would allow it but requires "host"',
    reason_code: 'host_not_allowed',
    closest: { policy: 'vault:web', clause: 'host' },
    policy_set: 'abc',
  },
}

test('a refusal shows what was known, the failed condition and what would change it', () => {
  const text = explainRecord(record, [{ id: 'vault:web', text: '@id("vault:web")\npermit (…);' }])
  expect(text).toContain('DENIED  agent:scout  use:http_request openai/key POST evil.test')
  expect(text).toContain('policy set  abc')
  expect(text).toContain('nearest     "vault:web": its condition "host" did not hold')
  expect(text).toContain('to change   the host among the rule’s hosts')
  expect(text).toContain('    @id("vault:web")')
})

test('a deny rule is named as the thing to change', () => {
  const decision = {
    ...record.decision,
    policies: ['vault:no'],
    reason_code: 'denied_by_rule',
    closest: undefined,
  }
  const text = explainRecord({ ...record, decision }, [])
  expect(text).toContain('forbidden by "vault:no"')
  expect(text).toContain('to change   narrow or remove "vault:no"')
})

test('an allowed call names its permits and needs no change', () => {
  const decision = {
    ...record.decision,
    allow: true,
    policies: ['vault:web'],
    reason: 'allowed',
    closest: undefined,
  }
  const text = explainRecord({ ...record, decision }, undefined)
  expect(text).toContain('ALLOWED')
  expect(text).toContain('permitted by "vault:web"')
  expect(text).not.toContain('to change')
  expect(text).toContain('not kept in this store')
})

test('what a run was not granted is mended by the run, not by a policy nobody can remove', () => {
  const decision = {
    ...record.decision,
    policies: ['builtin:run-models'],
    reason_code: 'model_not_allowed',
    closest: undefined,
  }
  const text = explainRecord({ ...record, decision }, [])
  expect(text).toContain('to change   a run registered with this model for this category')
})
