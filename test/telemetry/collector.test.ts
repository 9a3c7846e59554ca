/** The collector in a real daemon: what is stored of what producers write, and of whom. */
import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { boot, temporaryHome } from '../harness/boot.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { ProducerProcess } from './producer-process.ts'
import { envelope, numbered, QueueClient, records, recordsOnce } from './queue-client.ts'

const PRODUCER = 'p_77aa10e4c2d98b35'
const HELLO = { type: 'aot_hello', spec: 'aotp/0.1', producer: PRODUCER, ack: true }

function socketOf(vestry: TestDaemon): string {
  const path = vestry.daemon.ready.queue_socket
  if (path === undefined) throw new Error('no queue socket')
  return path
}

function seqOf(event: Record<string, unknown> | undefined): unknown {
  return Object(event?.['producer']).seq
}

async function metric(vestry: TestDaemon, name: string): Promise<number> {
  const page = await (await fetch(`${vestry.daemon.ready.http}/metrics`)).text()
  const line = page.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.split(' ')[1])
}

test('ready.json says where the sockets are and which pod this is', async () => {
  await using vestry = await startTestDaemon({ config: { telemetry: { pod_name: 'ledger' } } })
  const { queue_socket, identity_socket, pod_id, pod_name } = vestry.daemon.ready
  expect(queue_socket).toBe(vestry.home.queueSocket)
  expect(identity_socket).toBe(vestry.home.identitySocket)
  expect(pod_id).toMatch(/^pod_[0-9a-f]{16}$/)
  expect(pod_name).toBe('ledger')
  expect(statSync(vestry.home.queueSocket).mode & 0o777).toBe(0o600)
  await vestry.restart()
  expect(vestry.daemon.ready.pod_id).toBe(pod_id)
})

test('in the directory of a pod, producers that were told nothing find both sockets', async () => {
  using home = temporaryHome()
  const podDirectory = join(home.dir, 'envpod')
  mkdirSync(podDirectory, { mode: 0o755 })
  await using daemon = await boot(home, { podDirectory })
  const client = await QueueClient.connect(join(podDirectory, 'queue.sock'))
  expect(await client.ask({ type: 'list_actions' })).toMatchObject({ ok: true })
  client.end()
  const identity = await QueueClient.connect(join(podDirectory, 'identity.sock'))
  identity.send({ type: 'whoami' })
  expect(await identity.answer(() => true)).toMatchObject({ ok: true, claim_kind: 'anonymous' })
  identity.end()
  // A second daemon leaves them to the first, and says so.
  using otherHome = temporaryHome()
  const warnings: string[] = []
  await using other = await boot(otherHome, { podDirectory, warn: (line) => warnings.push(line) })
  expect(other.ready.queue_socket).toBe(otherHome.queueSocket)
  expect(warnings.filter((line) => line.includes(podDirectory))).toHaveLength(2)
  expect(daemon.ready.pod_id).not.toBe(other.ready.pod_id)
})

test('a directory that everybody may write to is no pod’s', async () => {
  using home = temporaryHome()
  const podDirectory = join(home.dir, 'envpod')
  mkdirSync(podDirectory)
  chmodSync(podDirectory, 0o777)
  await using _ = await boot(home, { podDirectory })
  expect(existsSync(join(podDirectory, 'queue.sock'))).toBe(false)
})

test('switched off, telemetry opens no socket', async () => {
  await using vestry = await startTestDaemon({ config: { telemetry: { enabled: false } } })
  expect(vestry.daemon.ready).not.toHaveProperty('queue_socket')
  expect(vestry.daemon.ready).not.toHaveProperty('pod_id')
})

test('telemetry §16.23: a bare producer and an action client are served side by side, on one socket', async () => {
  await using vestry = await startTestDaemon()
  const path = socketOf(vestry)
  const action = await QueueClient.connect(path)
  const bare = await QueueClient.connect(path)
  bare.send(envelope())
  bare.end()
  expect(await action.ask({ type: 'list_actions' })).toEqual({
    ok: true,
    status: 'ok',
    actions: [],
  })
  const submitted = await action.ask({ type: 'submit', description: 'delete the old ledger' })
  expect(submitted).toMatchObject({ status: 'queued' })
  await bare.ended()
  expect(bare.answers).toEqual([])
  const [event] = await recordsOnce(vestry, 'agent_event', 1)
  expect(event).toMatchObject({
    actor: 'anonymous',
    source: 'coat',
    phase: 'single',
    detail: 'agent.step.start work span=sp_2b9d4c7e01f3a586',
    success: true,
    pid: process.pid,
    uid: process.getuid?.(),
    span: {
      trace_id: 'tr_6e1f0a9c5b7d43e28f10c2b4d6e8a0f1',
      span_id: 'sp_2b9d4c7e01f3a586',
      parent_span_id: '',
    },
    event: { payload: { fn: 'work' }, envpod: { pod_id: vestry.daemon.ready.pod_id } },
  })
  expect(event).not.toHaveProperty('agent')
  action.end()
})

test('a line without its end, written just before the end, is a line', async () => {
  await using vestry = await startTestDaemon()
  const socket = createConnection(socketOf(vestry))
  socket.end(JSON.stringify(envelope({ payload: { fn: 'last' } })))
  const [event] = await recordsOnce(vestry, 'agent_event', 1)
  expect(event?.detail).toContain('last')
})

test('a greeting is answered, acknowledgements are cumulative, a flush says what is on disk', async () => {
  await using vestry = await startTestDaemon()
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send(HELLO)
  expect(await producer.ofType('aot_welcome')).toEqual({
    type: 'aot_welcome',
    spec: 'aotp/0.1',
    ack: true,
    last_seq: 0,
    max_line: 262_144,
    max_capture: 'raw',
    pod_id: vestry.daemon.ready.pod_id,
    claim_kind: 'anonymous',
  })
  producer.send(...Array.from({ length: 100 }, (_, i) => numbered(i + 1)))
  const acks: unknown[] = []
  while (acks.at(-1) !== 100) acks.push((await producer.ofType('aot_ack'))['seq'])
  expect(acks).toEqual([...acks].sort((a, b) => Number(a) - Number(b)))
  producer.send(numbered(101), { type: 'aot_flush', id: 'now' })
  expect(await producer.ofType('aot_flushed')).toEqual({ type: 'aot_flushed', id: 'now', seq: 101 })
  const stored = records(vestry, 'agent_event').map(({ event }) => seqOf(event))
  expect(stored).toEqual(Array.from({ length: 101 }, (_, i) => i + 1))
  producer.end()
})

test('without a wish for acknowledgements there are none', async () => {
  await using vestry = await startTestDaemon()
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send({ ...HELLO, ack: false }, numbered(1))
  expect(await producer.ofType('aot_welcome')).toMatchObject({ ack: false })
  await recordsOnce(vestry, 'agent_event', 1)
  producer.end()
  await producer.ended()
  expect(producer.answers).toEqual([])
})

test('telemetry §16.26: what a producer says of who it is, the kernel’s word replaces, and the list tells', async () => {
  await using vestry = await startTestDaemon()
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send(
    envelope({
      subject: {
        agent_id: 'auditor',
        agent_role: 'boss',
        framework: 'mine',
        framework_version: '1',
      },
      kind_known: false,
      envpod: {
        pod_id: 'pod_other',
        pid: 1,
        uid: 0,
        claim_kind: 'claimed',
        agent_claim_id: 'jti_stolen',
        capabilities: ['everything'],
        overwrote: ['nothing'],
        attempted_agent_id: 'x',
      },
    }),
  )
  const [record] = await recordsOnce(vestry, 'agent_event', 1)
  const event = record?.event
  expect(record).toMatchObject({ actor: 'anonymous', pid: process.pid })
  expect(event?.['subject']).toEqual({
    agent_id: '',
    agent_role: '',
    framework: 'mine',
    framework_version: '1',
  })
  expect(event?.['envpod']).toMatchObject({
    pod_id: vestry.daemon.ready.pod_id,
    pid: process.pid,
    claim_kind: 'anonymous',
    attempted_agent_id: expect.stringMatching(/^hmac:[0-9a-f]{32}$/),
    overwrote: expect.arrayContaining([
      'subject.agent_id',
      'subject.agent_role',
      'envpod.agent_claim_id',
      'envpod.capabilities',
      'envpod.claim_kind',
      'envpod.overwrote',
      'envpod.pid',
      'envpod.pod_id',
    ]),
  })
  expect(event?.['envpod']).not.toHaveProperty('agent_claim_id')
  expect(event).not.toHaveProperty('kind_known')
  expect(JSON.stringify(record)).not.toMatch(/auditor|jti_stolen|everything/)
  expect(await metric(vestry, 'vestry_coat_forged_identity_total')).toBe(1)
  producer.end()
})

test('telemetry §16.14: a secret from an SDK that was tampered with does not reach the log', async () => {
  await using vestry = await startTestDaemon()
  const secret = `ghp_${'Ab3dEf6h'.repeat(5)}`
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send(
    envelope({
      capture: { mode: 'none' },
      payload: {
        fn: 'ask',
        op: 'llm',
        preview: { args: [`use ${secret}`, { apiKey: 'hunter2hunter2' }], kwargs: {} },
        error: { type: 'E', message: `refused ${secret}` },
        usage: { input: 3, max_tokens: 5 },
      },
    }),
  )
  const [record] = await recordsOnce(vestry, 'agent_event', 1)
  const text = JSON.stringify(record)
  expect(text).not.toContain(secret)
  expect(text).not.toContain('hunter2')
  expect(record?.event?.['payload']).toMatchObject({
    fn: 'ask',
    usage: { input: 3, max_tokens: 5 },
  })
  // A token and a key of that name: by rule, not by place.
  expect(await metric(vestry, 'vestry_coat_leak_blocked_total')).toBe(2)
  expect(records(vestry, 'monitor_alert')).toMatchObject([
    { pid: process.pid, data: { reason: 'leak_blocked', rules: ['github', 'key'] } },
  ])
  producer.end()
})

test('the pod may tell no more than its ceiling', async () => {
  await using vestry = await startTestDaemon({ config: { telemetry: { max_capture: 'summary' } } })
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send(
    HELLO,
    numbered(1, PRODUCER, { capture: { mode: 'raw' }, payload: { fn: 'f', data: 'in Bern' } }),
  )
  expect(await producer.ofType('aot_welcome')).toMatchObject({ max_capture: 'summary' })
  const [record] = await recordsOnce(vestry, 'agent_event', 1)
  expect(record?.event?.['capture']).toEqual({ mode: 'summary', requested: 'raw' })
  expect(JSON.stringify(record)).not.toContain('Bern')
  producer.end()
})

test('what is no envelope is counted, and told once a minute for each reason, without what it said', async () => {
  await using vestry = await startTestDaemon()
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send(HELLO)
  await producer.ofType('aot_welcome')
  producer.send(
    'not json SECRET',
    '{"spec":"aotp/0.1","spec":"aotp/0.1"}',
    '['.repeat(100),
    '{"type":"drop_table","spec":"aotp/0.1"}',
    '"text"',
    envelope({ kind: 'SECRET' }),
    envelope({ ts: '2001-01-01T00:00:00.000Z' }),
    `{"spec":"aotp/0.1","kind":"${'x'.repeat(300_000)}"}`,
    envelope({ kind: 'SECRET again' }),
    numbered(1),
  )
  expect(await producer.ofType('aot_ack')).toMatchObject({ seq: 1 })
  const told = records(vestry, 'coat_reject')
  expect(told.map(({ data }) => data?.['reason'])).toEqual([
    'syntax',
    'key_twice',
    'depth',
    'lane',
    'kind',
    'ts',
    'too_long',
  ])
  expect(told.every(({ success, pid }) => !success && pid === process.pid)).toBe(true)
  expect(JSON.stringify(told)).not.toContain('SECRET')
  const page = await (await fetch(`${vestry.daemon.ready.http}/metrics`)).text()
  expect(page).toContain('vestry_coat_rejected_total{reason="kind"} 2\n')
  expect(page).toContain('vestry_coat_rejected_total{reason="lane"} 2\n')
  expect(producer.answers).toEqual([]) // never answered, least of all with data
  producer.end()
})

test('a kind that nobody knows is stored and marked, an older name under the one of today', async () => {
  await using vestry = await startTestDaemon()
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send(
    envelope({ kind: 'x.mine.thing' }),
    envelope({ kind: 'agent.memory.upsert' }),
    envelope({ kind: 'agent.run.started' }),
    envelope({ kind: 'agent.tool.result', payload: { fn: 'f', status: 'error' } }),
  )
  const stored = await recordsOnce(vestry, 'agent_event', 4)
  expect(stored.map(({ event }) => event)).toMatchObject([
    { kind: 'x.mine.thing', kind_known: false },
    {
      kind: 'agent.memory.write',
      kind_original: 'agent.memory.upsert',
      payload: { operation: 'upsert' },
    },
    { kind: 'agent.run.start', kind_original: 'agent.run.started' },
    { kind: 'agent.tool.result' },
  ])
  expect(stored.map(({ success }) => success)).toEqual([true, true, true, false])
  producer.end()
})

test('telemetry §16.21: what a producer numbered and did not send is told when it goes', async () => {
  await using vestry = await startTestDaemon()
  const producer = new ProducerProcess()
  await using _ = producer
  await producer.connect(socketOf(vestry))
  const dropped = { producer: { id: PRODUCER, seq: 9, dropped: 4 } }
  producer.send(HELLO, numbered(1), numbered(2), numbered(4), envelope(dropped))
  await producer.ofType('aot_ack')
  producer.end()
  const [gap] = await recordsOnce(vestry, 'coat_gap', 1)
  expect(gap).toMatchObject({
    success: false,
    pid: producer.pid,
    data: {
      reason: 'producer',
      producer: PRODUCER,
      first_seq: 1,
      last_seq: 9,
      received: 4,
      missing: 5,
      newly_missing: 5,
      dropped: 4,
    },
  })
  expect(await metric(vestry, 'vestry_coat_missing_total')).toBe(5)
})

test('what comes again is not stored again, and is acknowledged', async () => {
  await using vestry = await startTestDaemon()
  const first = await QueueClient.connect(socketOf(vestry))
  first.send(HELLO, numbered(1), numbered(2), numbered(3))
  while ((await first.ofType('aot_ack'))['seq'] !== 3);
  first.socket.destroy()
  const again = await QueueClient.connect(socketOf(vestry))
  again.send(HELLO)
  expect(await again.ofType('aot_welcome')).toMatchObject({ last_seq: 3 })
  again.send(numbered(2), numbered(3), numbered(4))
  let acked: unknown
  while (acked !== 4) acked = (await again.ofType('aot_ack'))['seq']
  expect(records(vestry, 'agent_event')).toHaveLength(4)
  again.end()
})

test('telemetry §16.19: after a restart of the daemon a producer goes on where it was, nothing twice', async () => {
  await using vestry = await startTestDaemon()
  await using producer = new ProducerProcess()
  await producer.connect(socketOf(vestry))
  producer.send(HELLO, ...[1, 2, 3].map((seq) => numbered(seq)))
  while ((await producer.ofType('aot_ack'))['seq'] !== 3);
  await vestry.restart()
  await producer.connect(socketOf(vestry))
  producer.send(HELLO, ...[2, 3, 4, 5].map((seq) => numbered(seq)))
  expect(await producer.ofType('aot_welcome')).toMatchObject({ last_seq: 0 }) // before the restart
  expect(await producer.ofType('aot_welcome')).toMatchObject({ last_seq: 3 })
  while ((await producer.ofType('aot_ack'))['seq'] !== 5);
  const stored = records(vestry, 'agent_event').map(({ event }) => seqOf(event))
  expect(stored).toEqual([1, 2, 3, 4, 5])
  producer.end()
})

test('telemetry §16.31: another process with the same producer id makes nothing of it look stored', async () => {
  await using vestry = await startTestDaemon()
  await using one = new ProducerProcess()
  await using other = new ProducerProcess()
  await one.connect(socketOf(vestry))
  await other.connect(socketOf(vestry))
  other.send(HELLO, numbered(1), numbered(500))
  while ((await other.ofType('aot_ack'))['seq'] !== 500);
  one.send(HELLO, numbered(1), numbered(2))
  expect(await one.ofType('aot_welcome')).toMatchObject({ last_seq: 0 })
  while ((await one.ofType('aot_ack'))['seq'] !== 2);
  const own = records(vestry, 'agent_event').filter(({ pid }) => pid === one.pid)
  expect(own.map(({ event }) => seqOf(event))).toEqual([1, 2])
})

test('telemetry §16.27: a claim counts from the next line on, and so does its end', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addAgent('reviewer', { role: 'checks' })
  const producer = await QueueClient.connect(socketOf(vestry))
  const identity = await QueueClient.connect(vestry.daemon.ready.identity_socket ?? '')
  const claimKind = async (seq: number): Promise<unknown> => {
    producer.send(numbered(seq))
    const all = await recordsOnce(vestry, 'agent_event', seq)
    return Object(all.at(-1)?.event?.['envpod']).claim_kind
  }
  expect(await claimKind(1)).toBe('anonymous')
  identity.send({ type: 'claim', agent: 'reviewer' })
  const { claim } = (await identity.answer(({ ok }) => ok === true)) as {
    claim: { claim_id: string }
  }
  identity.end()
  await identity.ended()
  expect(await claimKind(2)).toBe('claimed')
  const [, record] = records(vestry, 'agent_event')
  expect(record).toMatchObject({
    agent: 'reviewer',
    actor: 'agent:reviewer',
    event: {
      subject: { agent_id: 'reviewer', agent_role: 'checks' },
      envpod: { agent_claim_id: claim.claim_id },
    },
  })
  const again = await QueueClient.connect(vestry.daemon.ready.identity_socket ?? '')
  again.send({ type: 'release' })
  await again.answer(({ ok }) => ok === true)
  again.end()
  expect(await claimKind(3)).toBe('anonymous')
  producer.end()
})

test('sealed, events are stored; what would need keys is left out or refused', async () => {
  await using vestry = await startTestDaemon()
  await vestry.seal()
  const producer = await QueueClient.connect(socketOf(vestry))
  producer.send(HELLO, numbered(1, PRODUCER, { subject: { agent_id: 'auditor' } }))
  expect(await producer.ofType('aot_ack')).toMatchObject({ seq: 1 })
  const [record] = await recordsOnce(vestry, 'agent_event', 1)
  expect(record?.event?.['envpod']).toMatchObject({ overwrote: ['subject.agent_id'] })
  expect(record?.event?.['envpod']).not.toHaveProperty('attempted_agent_id')
  const action = await QueueClient.connect(socketOf(vestry))
  expect(await action.ask({ type: 'submit', description: 'x' })).toMatchObject({
    ok: false,
    status: 'error',
    code: 'VAULT_LOCKED',
  })
  action.end()
  producer.end()
  await vestry.unseal()
})

test('telemetry §16.20: who writes and is gone without reading its answers has lost nothing', async () => {
  await using vestry = await startTestDaemon()
  await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const socket = createConnection(socketOf(vestry))
      await new Promise((resolve) => socket.once('connect', resolve))
      const lines = [
        { ...HELLO, producer: `p_${i}` },
        ...Array.from({ length: 300 }, (_, n) => numbered(n + 1, `p_${i}`)),
      ]
      socket.write(`${lines.map((line) => JSON.stringify(line)).join('\n')}\n`)
      // At once and not in order: an answer then meets a connection that is gone.
      socket.destroy()
    }),
  )
  expect(await recordsOnce(vestry, 'agent_event', 2_400)).toHaveLength(2_400)
  expect(records(vestry, 'coat_gap')).toEqual([])
})

test('a daemon that stops has stored what was sent', async () => {
  const vestry = await startTestDaemon({ keepHome: true })
  await using _ = vestry
  const producers = await Promise.all(
    Array.from({ length: 8 }, () => QueueClient.connect(socketOf(vestry))),
  )
  for (const [i, producer] of producers.entries())
    producer.send(
      { ...HELLO, producer: `p_${i}` },
      ...Array.from({ length: 200 }, (_, n) => numbered(n + 1, `p_${i}`)),
    )
  await vestry.restart()
  expect(records(vestry, 'agent_event')).toHaveLength(1_600)
  for (const producer of producers) {
    await producer.ended()
    expect(producer.answers.at(-1)).toMatchObject({ type: 'aot_ack', seq: 200 })
  }
})

test('one process cannot take all the places of the others', async () => {
  await using vestry = await startTestDaemon({ config: { telemetry: { connections: 20 } } })
  const greedy = await Promise.all(
    Array.from({ length: 20 }, () => QueueClient.connect(socketOf(vestry))),
  )
  await expect.poll(() => greedy.filter(({ closed }) => closed).length).toBe(4)
  expect(await metric(vestry, 'vestry_coat_refused_connections_total')).toBe(4)
  await using other = new ProducerProcess()
  await other.connect(socketOf(vestry))
  other.send(HELLO, numbered(1))
  expect(await other.ofType('aot_ack')).toMatchObject({ seq: 1 })
  for (const { socket } of greedy) socket.destroy()
})

test('who writes faster than is allowed is read more slowly, and loses nothing', async () => {
  await using vestry = await startTestDaemon({
    config: { telemetry: { lines_per_second: 2_000, lines_burst: 100 } },
  })
  const producer = await QueueClient.connect(socketOf(vestry))
  const startedMs = performance.now()
  producer.send(HELLO, ...Array.from({ length: 1_000 }, (_, i) => numbered(i + 1)))
  while ((await producer.ofType('aot_ack'))['seq'] !== 1_000);
  // 900 lines beyond the burst at 2000 a second; half of it leaves room for clocks.
  expect(performance.now() - startedMs).toBeGreaterThan(225)
  expect(records(vestry, 'agent_event')).toHaveLength(1_000)
  expect(await metric(vestry, 'vestry_coat_held_total')).toBeGreaterThan(0)
  producer.end()
})

test('telemetry §16.26: no name that a producer gives itself brings the daemon down', async () => {
  await using vestry = await startTestDaemon()
  const producer = await QueueClient.connect(socketOf(vestry))
  const nobody = { toString: 1, valueOf: 1, toJSON: 1 }
  producer.send(HELLO)
  for (const [at, subject] of [
    { agent_id: nobody, agent_role: nobody, framework: nobody, framework_version: nobody },
    { agent_id: [nobody], agent_role: [[]] },
    { agent_id: 1e308, agent_role: false },
    { agent_id: 'x'.repeat(200_000) },
  ].entries())
    producer.send(numbered(at + 1, PRODUCER, { subject }))
  while ((await producer.ofType('aot_ack'))['seq'] !== 4);
  const stored = records(vestry, 'agent_event')
  expect(stored).toHaveLength(4)
  for (const { event } of stored) {
    expect(event?.['subject']).toMatchObject({ agent_id: '', agent_role: '' })
    expect(event?.['envpod']).toMatchObject({
      attempted_agent_id: expect.stringMatching(/^hmac:[0-9a-f]{32}$/),
    })
  }
  producer.end()
})
