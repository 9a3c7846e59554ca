/** Asks one question in three ways: by doing it, by `check_access`, and by an operator's policy test. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import type { RawClient } from '../harness/raw-client.ts'
import { codeOf } from '../harness/refusal.ts'

const AGENTS = ['scout', 'ada']
const PATHS = ['a/b', 'a/c', 'b/b', 'b/c/d', 'x']
const CALLS: [action: string, method: string, params: { params?: object; operation?: string }][] = [
  ['retrieve', 'retrieve', {}],
  ['use:sign', 'use', { operation: 'sign', params: { data: 'x' } }],
  ['use:sign', 'use', { operation: 'sign', params: { data: 'x', algorithm: 'hmac-sha512' } }],
  ['use:http_header', 'use', { operation: 'http_header' }],
]

const rule = fc.record(
  {
    effect: fc.constantFrom('allow', 'allow', 'allow', 'deny'),
    principals: fc.constantFrom(['agent:*'], ['agent:scout'], ['agent:a?a']),
    resources: fc.uniqueArray(fc.constantFrom('a/*', '**', 'b/**', 'x', 'a/b', '*/b'), {
      minLength: 1,
      maxLength: 2,
    }),
    actions: fc.uniqueArray(
      fc.constantFrom('retrieve', 'use:sign', 'use', 'use:*', 'use:http_header', 'list'),
      { minLength: 1, maxLength: 3 },
    ),
    selectors: fc.constant({ tags: ['prod'] }),
    algorithms: fc.constant(['hmac-sha512']),
    enabled: fc.boolean(),
  },
  { requiredKeys: ['effect', 'principals', 'resources', 'actions'] },
)

/** @returns how many questions were asked (40 per set of rules), and how many were answered yes. */
export async function compareAnswers(of: {
  sets: number
  seed: number
}): Promise<{ asked: number; permitted: number }> {
  await using vestry = await startTestDaemon()
  const clients: [string, RawClient][] = []
  for (const name of AGENTS) clients.push([name, await vestry.agent(await vestry.addAgent(name))])
  for (const path of PATHS)
    await vestry.addCredential(path, 'value-0123456789', { tags: path < 'b' ? ['prod'] : [] })
  let asked = 0
  let permitted = 0
  const sets = fc.sample(fc.array(rule, { minLength: 1, maxLength: 5 }), {
    numRuns: of.sets,
    seed: of.seed,
  })
  for (const rules of sets) {
    const policies = rules.map((one, at) => ({ ...one, name: `r${at}`, hosts: ['a.example'] }))
    await vestry.addPolicy({ version: 1, policies })
    for (const [agent, client] of clients) {
      for (const path of PATHS) {
        for (const [action, method, params] of CALLS) {
          const what = `${agent} ${action} ${path} under ${JSON.stringify(policies)}`
          const live = await codeOf(client.call(method, { path, ...params }))
          expect(['ok', 'ACCESS_DENIED'], what).toContain(live)
          const own = await client.call('check_access', { action, path, ...params })
          expect(own.allowed, what).toBe(live === 'ok')
          const told = await vestry.admin.call('admin.policy.test', {
            agent,
            path,
            action,
            params: params.params ?? {},
          })
          expect(told.allowed, what).toBe(live === 'ok')
          asked += 1
          if (live === 'ok') permitted += 1
        }
      }
    }
    await vestry.admin.call('admin.policy.rm', {
      names: policies.map(({ name }) => `vault:${name}`),
    })
  }
  return { asked, permitted }
}
