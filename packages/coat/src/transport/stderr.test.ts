import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { envelopesIn, startAgent, warningsIn } from './agent.test-kit.ts'
import type { Plan } from './agent-program.test-kit.ts'
import { numbers } from './sink.test-kit.ts'

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'coat-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('outside of a pod events go to stderr, each line one envelope, the agent named as the environment does', async () => {
  const plan: Plan = {
    options: { transport: 'auto', inPod: false, agentId: 'auditor', agentRole: 'checks' },
    steps: [{ do: 'emit', count: 20 }],
  }
  const { code, stderr } = await startAgent(plan).ended()
  expect(code).toBe(0)
  const envelopes = envelopesIn(stderr)
  expect(envelopes.map(({ producer }) => producer?.seq)).toEqual(numbers(1, 20))
  expect(envelopes[0]?.subject).toMatchObject({ agent_id: 'auditor', agent_role: 'checks' })
  expect(warningsIn(stderr)).toEqual([])
})

test('events can go to a file, one envelope per line', async () => {
  const file = join(directory(), 'events.ndjson')
  const plan = (path: string): Plan => ({
    options: { transport: `file:${path}`, agentId: 'auditor' },
    steps: [{ do: 'emit', count: 100 }, { do: 'stats' }],
  })
  const { code, stderr, told } = await startAgent(plan(file)).ended()
  expect([code, stderr, told['transport']]).toEqual([0, '', 'file'])
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line).payload.number)).toEqual(numbers(1, 100))
  expect(JSON.parse(lines[0] ?? '').subject.agent_id).toBe('auditor')
  // A file that cannot be opened is no reason to fail.
  const other = await startAgent(plan('/nonexistent/events.ndjson')).ended()
  expect(warningsIn(other.stderr)).toEqual([
    '[coat:warn] telemetry file unavailable (ENOENT); writing events to stderr',
  ])
  expect(envelopesIn(other.stderr)).toHaveLength(100)
})
