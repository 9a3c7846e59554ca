import { expect, test } from 'vitest'
import { parsePolicies } from './cedar/parse.ts'
import { type PolicyContext, PolicyEngine, type PolicyRow } from './engine.ts'

const RUN: Partial<PolicyContext> = {
  run: 'run_7f3c',
  runModels: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5'],
  category: 'analysis',
}

async function rows(text: string): Promise<PolicyRow[]> {
  const parsed = await parsePolicies(text)
  return parsed.map(({ id, json }, position) => {
    return { id, json: JSON.stringify(json), digest: id, enabled: 1, position }
  })
}

function decide(engine: PolicyEngine, ref: string, context: Partial<PolicyContext>) {
  const [provider = '', model = ''] = ref.split(':')
  return engine.decide({
    principal: { kind: 'agent', id: 'a-1', name: 'scanner', role: 'agent', meta: {} },
    action: 'llm:chat',
    resource: { kind: 'model', provider, model },
    context: { nowMs: 0, ...context },
  })
}

const engine = new PolicyEngine()
engine.load([])

test('RULINGS 10: registering a run is the grant for its models, and the decision names the run', () => {
  expect(decide(engine, 'openai:gpt-4o', RUN)).toMatchObject({
    allow: true,
    permits: ['run:run_7f3c'],
  })
})

test('RULINGS 10: without a run nothing is granted', () => {
  expect(decide(engine, 'openai:gpt-4o', {})).toMatchObject({
    allow: false,
    reasonCode: 'model_not_allowed',
  })
})

test.each([
  ['a model that is not listed', 'openai:gpt-4.1', {}, 'model_not_allowed'],
  ['a listed name of another provider', 'openai:claude-sonnet-4-5', {}, 'model_not_allowed'],
  ['a listed name in other case', 'openai:GPT-4o', {}, 'model_not_allowed'],
  [
    'a provider that is not listed',
    'openai:gpt-4o',
    { runProviders: ['google'] },
    'provider_not_allowed',
  ],
  [
    'a category that is none',
    'openai:gpt-4o',
    { holds: ['category_unknown'] },
    'category_not_allowed',
  ],
  ['a run without the scope', 'openai:gpt-4o', { holds: ['scope_missing'] }, 'scope_not_allowed'],
  [
    'everything at once',
    'x:y',
    { runProviders: [], holds: ['scope_missing', 'category_unknown'] },
    'scope_not_allowed',
  ],
  ['an empty list of models', 'openai:gpt-4o', { runModels: [] }, 'model_not_allowed'],
])('sage §18.4: %s is refused', (_what, ref, more, reasonCode) => {
  expect(decide(engine, ref, { ...RUN, ...more })).toMatchObject({ allow: false, reasonCode })
})

test('an operator’s policy narrows what runs were granted, and can limit their rate', async () => {
  const own = new PolicyEngine()
  own.load(
    await rows(`
      @id("no-anthropic") forbid (principal, action in Action::"llm:*", resource in Model::"anthropic");
      @id("slow") @rate("2/s") permit (principal == Agent::"scanner", action == Action::"llm:chat", resource);
    `),
  )
  expect(decide(own, 'anthropic:claude-sonnet-4-5', RUN)).toMatchObject({
    allow: false,
    forbids: ['no-anthropic'],
  })
  const allowed = decide(own, 'openai:gpt-4o', RUN)
  expect(allowed.permits.sort()).toEqual(['run:run_7f3c', 'slow'])
  expect(allowed.obligations.rates).toHaveLength(1)
})

test('an operator’s permit does not widen what the run’s token lists', async () => {
  const own = new PolicyEngine()
  own.load(await rows('@id("all") permit (principal, action in Action::"llm:*", resource);'))
  expect(decide(own, 'google:gemini-3', RUN)).toMatchObject({
    allow: false,
    reasonCode: 'model_not_allowed',
  })
})
