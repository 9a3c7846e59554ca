import { expect, test } from 'vitest'
import { LlmSettings } from '../settings.ts'
import { requestLimits } from './limits.ts'
import type { ModelCall } from './model-call.ts'

test('agents of one organisation share its requests; those that run here do not starve each other', () => {
  const keysOf = (route: string, agent: string) => {
    const call = {
      arrival: { route },
      proof: {
        agent: { id: agent },
        run: { id: `run-of-${agent}` },
        claims: { tctx: { org_id: 'acme' } },
      },
      target: { ref: 'openai:gpt-4o' },
    } as unknown as ModelCall // no more of it is looked at
    const limits = requestLimits({ settings: LlmSettings.parse({}), dev: false }, call)
    return limits.map(({ key }) => key)
  }
  const [, org, model] = keysOf('/v1/chat/completions', 'scout')
  expect(keysOf('/v1/chat/completions', 'sorter').slice(1)).toEqual([org, model])
  const scout = keysOf('in-process', 'scout')
  const sorter = keysOf('in-process', 'sorter')
  expect(new Set([...scout, ...sorter, org, model]).size).toBe(8)
})
