/** A daemon on a machine whose kernel cannot be asked who is at the other end of a socket. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AuditRecord } from '../../packages/server/src/audit/record.ts'
import { boot, temporaryHome } from '../harness/boot.ts'
import { envelope, QueueClient } from './queue-client.ts'

const arch = Object.getOwnPropertyDescriptor(process, 'arch') as PropertyDescriptor
// One for which the numbers of the system call are not known; it is looked at once, at the first peer.
beforeAll(() => void Object.defineProperty(process, 'arch', { ...arch, value: 'mips' }))
afterAll(() => void Object.defineProperty(process, 'arch', arch))

test('telemetry §16.30: all are anonymous, nobody claims, and the start says so loudly', async () => {
  using home = temporaryHome()
  const warnings: string[] = []
  await using daemon = await boot(home, { warn: (line) => warnings.push(line) })
  expect(warnings.filter((line) => line.startsWith('telemetry: '))).toEqual([
    expect.stringMatching(
      /^telemetry: nobody can claim an identity here, every caller is anonymous: .*mips$/,
    ),
  ])

  const identity = await QueueClient.connect(daemon.ready.identity_socket ?? '')
  const ask = (request: object) => {
    identity.send({ ...request })
    return identity.answer(() => true)
  }
  const claim = { type: 'claim', agent: 'reviewer' }
  expect(await ask(claim)).toMatchObject({ ok: false, error: 'peercred_unavailable' })
  expect(await ask({ type: 'whoami' })).toMatchObject({
    ok: true,
    claim_kind: 'anonymous',
    uid: -1,
    peercred: 'unavailable',
  })
  identity.end()

  const queue = await QueueClient.connect(daemon.ready.queue_socket ?? '')
  const subject = {
    agent_id: 'reviewer',
    agent_role: 'boss',
    framework: 'x',
    framework_version: '1',
  }
  queue.send(envelope({ subject, envpod: { claim_kind: 'claimed', pid: process.pid, uid: 0 } }))
  const stored = () =>
    readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditRecord)
  await expect.poll(() => stored().map(({ action }) => action)).toContain('agent_event')
  const record = stored().find(({ action }) => action === 'agent_event')
  expect(record).toMatchObject({
    actor: 'anonymous',
    event: {
      subject: { agent_id: '', agent_role: '' },
      envpod: { claim_kind: 'anonymous', uid: -1, peercred: 'unavailable' },
    },
  })
  expect(record).not.toHaveProperty('agent')
  queue.end()
  const rejected = stored().filter(({ action }) => action === 'identity_reject')
  expect(rejected).toMatchObject([{ success: false, data: { code: 'peercred_unavailable' } }])
})
