/** A log as the original runtime wrote it, found by a daemon that begins where it ended. */
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readLog } from '../../packages/server/src/audit/query.ts'
import { verifyLog } from '../../packages/server/src/audit/verify.ts'
import { temporaryHome } from '../harness/boot.ts'
import { startTestDaemon } from '../harness/daemon.ts'
import { envelope, QueueClient, recordsOnce } from './queue-client.ts'

const OLD = [
  '{"timestamp":"2025-01-01T00:00:00Z","pod_name":"ledger","action":"create","detail":"pod created","success":true}',
  '{"timestamp":"2025-01-01T00:00:01Z","pod_name":"ledger","action":"dns_query","detail":"example.org A allow","success":true}',
  '{"timestamp":"2025-01-01T00:00:02Z","pod_name":"ledger","action":"queue_submit","detail":"id=0a1b2c3d tier=staged status=queued desc=x","success":true,"agent":"auditor"}',
  '{"timestamp":"2025-01-01T00:00:03Z","pod_na', // as a crash left it
]

test('telemetry §16.36: it is opened and listed beside the chain, and what comes next is chained behind it', async () => {
  using home = temporaryHome()
  mkdirSync(home.audit, { recursive: true, mode: 0o700 })
  appendFileSync(join(home.audit, 'audit.jsonl'), `${OLD.join('\n')}\n`, { mode: 0o600 })
  await using vestry = await startTestDaemon({ dir: home.dir, keepHome: true })
  const client = await QueueClient.connect(vestry.daemon.ready.queue_socket ?? '')
  client.send(envelope())
  client.end()
  await recordsOnce(vestry, 'agent_event', 1)
  await vestry.daemon.rotateLog()

  const listed: string[] = []
  for await (const { record } of readLog(home.audit))
    listed.push(`${record.v} ${record.action} ${record.actor}`)
  expect(listed.slice(0, 4)).toEqual([
    '1 create system',
    '1 dns_query system',
    '1 queue_submit agent:auditor',
    '2 audit_open system',
  ])
  expect(listed).toContain('2 agent_event anonymous')
  const [next] = readFileSync(join(home.audit, 'audit.jsonl'), 'utf8').split('\n')
  expect(JSON.parse(next ?? '')).toMatchObject({
    action: 'audit_open',
    data: {
      pod_id: vestry.daemon.ready.pod_id,
      prev_segment: { file: 'audit-000000000001.jsonl' },
    },
  })
  const kept = readFileSync(join(home.audit, 'audit-legacy-0001.jsonl'), 'utf8')
  expect(kept).toBe(`${OLD.join('\n')}\n`)
  expect(await verifyLog(home.audit)).toMatchObject({ status: 'intact', segments: 2 })
  const [first] = readFileSync(join(home.audit, 'audit-000000000001.jsonl'), 'utf8').split('\n')
  expect(JSON.parse(first ?? '')).toMatchObject({
    action: 'audit_open',
    data: { legacy: [{ file: 'audit-legacy-0001.jsonl' }] },
  })
})
