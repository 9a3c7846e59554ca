import { expect, test } from 'vitest'
import { newAgent } from '../agent.ts'
import { newRun, readRegistration } from './run-registration.ts'
import { DOMAIN, START } from './runs.test-kit.ts'

const agent = newAgent(
  { name: 'scanner' },
  { id: '5b0c1f3e-7d1f-4a53-9b57-0c7c7b2f6a11', trustDomain: DOMAIN, nowMs: START },
)

function register(body: Record<string, unknown>) {
  return newRun(readRegistration({ org_id: '1', ...body }), {
    agent,
    trustDomain: DOMAIN,
    runPathPrefix: '/scanner/',
    tratTtlSeconds: 300,
    node: 'here',
    uid: undefined,
    nowMs: START,
  })
}

test('what is left out is filled in', () => {
  const run = register({})
  expect(run).toMatchObject({
    agentId: agent.id,
    spiffeId: agent.spiffeId,
    sub: 'org|1',
    scope: ['scan.execute'],
    tratTtlSeconds: 300,
    expiresAt: START + 86_400_000,
  })
  expect(run.id).toMatch(/^run_[0-9a-f]{16}$/)
  expect(run.tctx).toEqual({
    run_id: run.id,
    org_id: '1',
    repo_url: '',
    agent_type: '',
    agent_mode: 'standard',
    allowed_models: { triage: [], analysis: [], reasoning: [], embeddings: [] },
    allowed_providers: [],
    allowed_tools: {},
  })
})

test('models are kept in one spelling and in their order', () => {
  const { tctx } = register({
    allowed_models: { analysis: [' OpenAI : gpt-4o ', 'Claude-3', 'ft:gpt-4o:acme::1'] },
  })
  expect(tctx.allowed_models.analysis).toEqual([
    'openai:gpt-4o',
    'anthropic:Claude-3',
    'ft:gpt-4o:acme::1',
  ])
})

test.each([
  ['a misspelt member', { allowed_model: {} }],
  ['a misspelt category', { allowed_models: { analyse: [] } }],
  ['a model without a name', { allowed_models: { triage: ['claude:'] } }],
  ['a blank model', { allowed_models: { triage: [' '] } }],
  ['a wildcard', { allowed_models: { triage: ['openai:gpt-*'] } }],
  ['a control character', { allowed_models: { triage: ['openai:gpt\n4'] } }],
  ['models that are null', { allowed_models: null }],
  [
    'a provider that is not allowed',
    { allowed_models: { triage: ['gemini-1'] }, allowed_providers: ['openai'] },
  ],
  ['a scope without words', { scope: ' ' }],
  ['a run id with a slash', { run_id: 'a/b' }],
  ['a run id that looks minted', { run_id: 'txn_1' }],
  ['a run id that is a directory', { run_id: '..' }],
  ['a foreign trust domain', { spiffe_id: 'spiffe://elsewhere.local/scanner/x' }],
  ['no SPIFFE ID', { spiffe_id: 'spiffe://sage-sanctum.local' }],
  ['another agent’s SPIFFE ID', { spiffe_id: `spiffe://${DOMAIN}/agent/else` }],
  ['a path of another run', { run_id: 'run_a', spiffe_id: `spiffe://${DOMAIN}/scanner/run_b` }],
  ['a token that lives too long', { trat_ttl_seconds: 901 }],
  ['an end in the past', { expires_at: START / 1_000 - 1 }],
  ['an end in the next year', { expires_at: '2031-01-01T00:00:00Z' }],
  ['no organisation', { org_id: '' }],
  ['a pull request of −1', { rctx: { pr_number: -1 } }],
  ['a requester nobody knows', { rctx: { admin: true } }],
  [
    'more than fits into a header',
    { allowed_tools: { fs: Array.from({ length: 250 }, (_, n) => `${n}`.padEnd(100, 'x')) } },
  ],
])('%s is refused', (_what, body) => {
  expect(() => register(body)).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }))
})

test('an end may be given as text or in seconds', () => {
  expect(register({ expires_at: START / 1_000 + 60 }).expiresAt).toBe(START + 60_000)
  expect(register({ expires_at: '2030-01-01T01:00:00+00:30' }).expiresAt).toBe(START + 1_800_000)
})

test('a SPIFFE ID below the run path names its run', () => {
  const spiffe_id = `spiffe://${DOMAIN}/scanner/run_a`
  expect(register({ run_id: 'run_a', spiffe_id }).spiffeId).toBe(spiffe_id)
})
