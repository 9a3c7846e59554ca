/** Versions of programs on disk. */
import { expect, it } from 'vitest'
import type { ProgramDefinition } from '../../dsl/definition.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { eachStore } from '../../store/test-store.ts'
import { DeploymentStore } from '../deployments/deployment-store.ts'
import { ProgramStore } from './program-store.ts'

const guard = testGuard(testKeyring())

eachStore('versions of programs', (at) => {
  const versions = async (agentId: string) => {
    const rows = await at.store.db
      .selectFrom('dsl_program')
      .select('version')
      .where('agent_id', '=', agentId)
      .orderBy('version')
      .execute()
    return rows.map(({ version }) => version)
  }

  it('runtime §11: the newest fifty are kept, and those that are deployed; numbers are not given twice', async () => {
    const programs = new ProgramStore({ store: at.store, guard, now: () => 1 })
    const add = (agentId: string) =>
      programs.add({
        agentId,
        source: 'agent a {}',
        sourceHash: 'x',
        definition: {} as ProgramDefinition,
        permissions: { allows: [], denies: [], budgets: {}, rules: {}, notes: [] },
        createdBy: 'operator:ada',
      })
    for (let n = 1; n <= 55; n += 1) await add('a-1')
    await add('a-2')
    await new DeploymentStore({ store: at.store, guard }).add({
      id: 'dep_1',
      agentId: 'a-1',
      programVersion: 3,
      environment: 'production',
      status: 'running',
      config: {},
      facts: { agentName: 'a', warnings: [] },
      createdBy: 'operator:ada',
      deployedAt: 1,
      stoppedAt: undefined,
    })
    await programs.prune()
    const kept = await versions('a-1')
    expect([kept.length, kept[0], kept[1], kept.at(-1)]).toEqual([51, 3, 6, 55])
    expect(await versions('a-2')).toEqual([1])
    expect((await add('a-1')).version.version).toBe(56)
    expect((await programs.get('a-1', 3))?.version).toBe(3)
    expect(await programs.get('a-1', 4)).toBeUndefined()
  })
})
