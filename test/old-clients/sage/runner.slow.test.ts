import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noPython } from '../client-process.ts'
import { runAgent } from './sage-process.ts'
import { repository, type SageWorld, startSageWorld } from './sage-world.ts'

describe.skipIf(noPython !== undefined)(
  `agents of the Python SDK${noPython ? ` (${noPython})` : ''}`,
  () => {
    let world: SageWorld
    let base: Record<string, string>
    beforeAll(async () => {
      world = await startSageWorld()
      base = await world.run()
    })
    afterAll(() => world?.[Symbol.asyncDispose]())

    function place(files: Record<string, string> = { 'app.py': 'x = 1' }): Record<string, string> {
      const dir = world.directory()
      const source = join(dir, 'source')
      mkdirSync(source)
      return { ...base, OUTPUT_PATH: join(dir, 'out'), REPO_PATH: repository(source, files) }
    }
    const report = (env: Record<string, string>) =>
      JSON.parse(readFileSync(join(env['OUTPUT_PATH'] ?? '', 'results.sarif'), 'utf8'))

    test('an agent scans a repository through the gateway, and leaves one report', async () => {
      world.providers.openai.script({ text: 'first' }, { text: 'second' })
      const env = place({ 'a.py': 'x = 1', 'b.py': 'y = 2', 'c.txt': 'no code' })
      const { code, stdout } = await runAgent('scan', env).ended
      expect([code, stdout]).toEqual([0, ''])
      expect(readdirSync(env['OUTPUT_PATH'] ?? '')).toEqual(['results.sarif'])
      expect(report(env).runs[0].results[0].message.text).toBe('first second')
      expect(world.providers.openai.requests.at(-1)?.text).toContain('b.py: y = 2')
    })

    test.each([
      { agent: 'findings', exit: 3, written: true },
      { agent: 'nothing', exit: 1, written: false },
      { agent: 'crash', exit: 1, written: false },
      { agent: 'custom', exit: 99, written: false },
    ])('the agent "$agent" ends in $exit', async ({ agent, exit, written }) => {
      const env = place()
      expect((await runAgent(agent, env).ended).code).toBe(exit)
      expect(existsSync(join(env['OUTPUT_PATH'] ?? '', 'results.sarif'))).toBe(written)
    })

    test.each([
      { what: 'no RUN_ID', env: { RUN_ID: '' }, exit: 43 },
      { what: 'no ORG_ID', env: { ORG_ID: '' }, exit: 43 },
      { what: 'no SPIFFE_JWT_PATH', env: { SPIFFE_JWT_PATH: '' }, exit: 43 },
      { what: 'no REPO_PATH', env: { REPO_PATH: '' }, exit: 41 },
      { what: 'a repository that is not there', env: { REPO_PATH: '/nonexistent' }, exit: 41 },
      { what: 'a way out of the repository', env: { REPO_PATH: '/tmp/../etc' }, exit: 42 },
      { what: 'no SVID', env: { SPIFFE_JWT_PATH: '/nonexistent' }, exit: 11 },
    ])('$what ends in $exit', async ({ env, exit }) => {
      expect((await runAgent('scan', { ...place(), ...env }).ended).code).toBe(exit)
    })

    test('a refusal by the gateway ends in 30, and nothing is written', async () => {
      const closed = await world.run({ allowed_models: { analysis: ['openai:gpt-4o'] } })
      await world.vestry.admin.call('admin.run.close', { id: closed['RUN_ID'] })
      const env = { ...place(), ...closed, OUTPUT_PATH: join(world.directory(), 'out') }
      const { code, stderr } = await runAgent('scan', env).ended
      // Its tokens are gone with the run: the file first, which is where this client looks first.
      expect([11, 12, 30]).toContain(code)
      expect(stderr).toContain('agent_error')
      expect(existsSync(env.OUTPUT_PATH)).toBe(false)
    })

    test.each(['SIGTERM', 'SIGINT'] as const)('%s while it waits ends in 130', async (signal) => {
      const env = place()
      const run = runAgent('wait', env)
      await run.logged('waiting')
      run.child.kill(signal)
      expect((await run.ended).code).toBe(130)
      expect(existsSync(env['OUTPUT_PATH'] ?? '')).toBe(false)
    })

    test('an error of the SDK while it is cancelled has its own code', async () => {
      const run = runAgent('last-words', place())
      await run.logged('waiting')
      run.child.kill('SIGTERM')
      expect((await run.ended).code).toBe(60)
    })

    test('a signal while it blocks is too late', async () => {
      const run = runAgent('blocking', place())
      await run.logged('waiting')
      run.child.kill('SIGTERM')
      expect((await run.ended).code).toBe(0)
    })
  },
)
