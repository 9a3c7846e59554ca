/** The action lane of the queue socket in a real daemon: older clients’ requests, with callers known by their claim. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { ProducerProcess } from './producer-process.ts'
import { envelope, QueueClient, records, recordsOnce } from './queue-client.ts'

type Message = Record<string, unknown>

function actions(vestry: TestDaemon): Promise<QueueClient> {
  return QueueClient.connect(vestry.daemon.ready.queue_socket ?? '')
}

/** An agent whose claim this process takes, allowed the scopes given. */
async function claimed(
  vestry: TestDaemon,
  { scopes, capabilities }: { scopes: string[]; capabilities: string[] },
): Promise<QueueClient> {
  const keys = await vestry.addAgent('clerk')
  await vestry.admin.call('admin.agent.set_claim_terms', { name: keys.name, capabilities })
  const listed: { agents: { id: string; name: string }[] } =
    await vestry.admin.call('admin.agent.list')
  const agentId = listed.agents.find(({ name }) => name === 'clerk')?.id
  const adminKey = readFileSync(vestry.daemon.ready.admin_key_file, 'utf8').trim()
  const created = await fetch(`${vestry.daemon.ready.http}/api/policies`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${adminKey}` },
    body: JSON.stringify({ name: 'own', agentId, spec: { scopes } }),
  })
  expect(created.status).toBe(201)
  const identity = await QueueClient.connect(vestry.daemon.ready.identity_socket ?? '')
  identity.send({ type: 'claim', agent: 'clerk' })
  expect(await identity.answer(() => true)).toMatchObject({ ok: true })
  identity.end()
  return actions(vestry)
}

const CLERK = { scopes: ['serpapi:search', 'openai:*'], capabilities: ['read'] }

test('who claimed nothing sees no actions and calls none, and the record tells', async () => {
  await using vestry = await startTestDaemon()
  const client = await actions(vestry)
  expect(await client.ask({ type: 'list_actions' })).toEqual({
    ok: true,
    status: 'ok',
    actions: [],
  })
  const call = await client.ask({ type: 'call', action: 'serpapi:search', params: { q: 'x' } })
  expect(call).toMatchObject({ ok: false, status: 'blocked' })
  expect(records(vestry, 'queue_block')).toMatchObject([
    { actor: 'anonymous', success: false, pid: process.pid, data: { reason: 'anonymous' } },
  ])
  expect(records(vestry, 'tool.call')).toEqual([])
  client.end()
})

test('a claimed caller sees what policy and its claim allow, and no more', async () => {
  await using vestry = await startTestDaemon()
  const client = await claimed(vestry, { ...CLERK, capabilities: ['serpapi:search', 'send'] })
  const { actions: listed } = (await client.ask({ type: 'list_actions' })) as { actions: Message[] }
  expect(listed.map(({ name }) => name)).toEqual(['serpapi:search'])
  expect(listed[0]).toMatchObject({
    tier: 'immediate',
    scope: 'external',
    action_type: 'read',
    description: expect.stringMatching(/./),
    params: expect.arrayContaining([expect.objectContaining({ name: 'q', required: true })]),
  })
  client.end()
})

test('a call goes through the stations: its result in the message, its records under the claim', async () => {
  await using vestry = await startTestDaemon()
  const client = await claimed(vestry, CLERK)
  const call = await client.ask({ type: 'call', action: 'serpapi:search', params: { q: 'bern' } })
  expect(call).toMatchObject({ ok: true, status: 'executed', action: 'serpapi:search' })
  expect(JSON.parse(String(call['message']))).toBeTypeOf('object')
  const [intent, outcome] = records(vestry, 'tool.call')
  expect(intent).toMatchObject({
    phase: 'intent',
    actor: 'agent:clerk',
    agent: 'clerk',
    data: { tool: 'serpapi', action: 'search', token: expect.stringMatching(/^jti_/) },
  })
  expect(outcome).toMatchObject({ phase: 'outcome', success: true })
  client.end()
})

test('what the claim’s capabilities or policy do not cover is blocked, and says why', async () => {
  await using vestry = await startTestDaemon()
  const client = await claimed(vestry, { ...CLERK, capabilities: ['openai:complete'] })
  const uncovered = await client.ask({ type: 'call', action: 'serpapi:search', params: { q: 'x' } })
  expect(uncovered).toMatchObject({ ok: false, status: 'blocked' })
  expect(uncovered['message']).toContain('--capability')
  const denied = await client.ask({ type: 'call', action: 'gmail_send:send', params: {} })
  expect(denied).toMatchObject({ ok: false, status: 'blocked' })
  expect(records(vestry, 'policy.deny')).toHaveLength(2)
  client.end()
})

test('a call that policy wants an operator’s yes for is queued under the approval’s id, and runs after it', async () => {
  await using vestry = await startTestDaemon()
  const client = await claimed(vestry, CLERK)
  const text =
    '@id("ask") @approve("owner") permit (principal, action == Action::"tool:call", resource);'
  await vestry.admin.call('admin.policy.put', { files: [{ name: 'ask.cedar', text }] })
  const request = { type: 'call', action: 'serpapi:search', params: { q: 'bern' } }
  const queued = await client.ask(request)
  expect(queued).toMatchObject({ ok: true, status: 'queued', id: expect.stringMatching(/^appr_/) })
  expect(await client.ask({ type: 'poll', id: queued['id'] })).toMatchObject({ status: 'queued' })
  await vestry.admin.call('admin.approval.allow', { id: queued['id'] })
  expect(await client.ask({ type: 'poll', id: queued['id'] })).toMatchObject({ status: 'approved' })
  expect(await client.ask(request)).toMatchObject({ status: 'executed' })
  expect(await client.ask({ type: 'poll', id: queued['id'] })).toMatchObject({ status: 'executed' })
  client.end()
})

test('what is submitted waits for an operator, whatever its tier, and the records carry the process', async () => {
  await using vestry = await startTestDaemon()
  const client = await actions(vestry)
  const ids: unknown[] = []
  for (const tier of ['immediate', 'delayed', 'staged', 'of my own'])
    ids.push((await client.ask({ type: 'submit', description: `do ${tier}`, tier }))['id'])
  expect(await client.ask({ type: 'submit', description: 'x', tier: 'blocked' })).toMatchObject({
    ok: false,
    status: 'blocked',
  })
  const listed: { approvals: Message[] } = await vestry.admin.call('admin.approval.list', {})
  expect(listed.approvals.map(({ id }) => id).sort()).toEqual([...ids].sort())
  expect(listed.approvals).toContainEqual(
    expect.objectContaining({
      agent: `anonymous pid ${process.pid}`,
      summary: 'submitted, tier delayed',
      reason: 'do delayed',
      state: 'pending',
    }),
  )
  await vestry.admin.call('admin.approval.allow', { id: ids[0] })
  await vestry.admin.call('admin.approval.deny', { id: ids[1] })
  const status = async (id: unknown) => (await client.ask({ type: 'poll', id }))['status']
  expect(await status(ids[0])).toBe('approved')
  expect(await status(ids[1])).toBe('blocked')
  expect(await status(ids[2])).toBe('queued')
  expect(records(vestry, 'queue_submit')).toHaveLength(4)
  expect(records(vestry, 'queue_submit')[0]).toMatchObject({
    source: 'queue',
    pid: process.pid,
    success: true,
    data: { id: ids[0], tier: 'immediate', status: 'queued' },
  })
  const [approved] = await recordsOnce(vestry, 'queue_approve', 1)
  expect(approved).toMatchObject({
    actor: 'operator:owner',
    pid: process.pid,
    data: { id: ids[0] },
  })
  expect((await recordsOnce(vestry, 'queue_block', 2)).at(-1)).toMatchObject({
    actor: 'operator:owner',
    success: false,
    data: { id: ids[1] },
  })
  // The words of a process are for the operator, and not for the log.
  expect(vestry.auditLines().join('\n')).not.toContain('do immediate')
  client.end()
})

test('a poll needs eight characters of an id, and finds one’s own actions only', async () => {
  await using vestry = await startTestDaemon()
  const client = await actions(vestry)
  const { id } = await client.ask({ type: 'submit', description: 'mine' })
  const bare = String(id).replace('appr_', '')
  for (const short of [
    '',
    'appr_',
    bare.slice(0, 7),
    `appr_${bare.slice(0, 7)}`,
    '%%%%%%%%',
    '________',
    7,
  ])
    expect(await client.ask({ type: 'poll', id: short }), String(short)).toMatchObject({
      ok: false,
      status: 'error',
    })
  for (const enough of [bare.slice(0, 8), `appr_${bare.slice(0, 8)}`, id])
    expect(await client.ask({ type: 'poll', id: enough })).toMatchObject({ status: 'queued', id })
  await using other = new ProducerProcess()
  await other.connect(vestry.daemon.ready.queue_socket ?? '')
  other.send({ type: 'poll', id })
  expect(await other.answer()).toMatchObject({ ok: false, status: 'error' })
  client.end()
})

test('the lane has limits of its own, which telemetry does not use up', async () => {
  await using vestry = await startTestDaemon({
    config: { telemetry: { actions_per_minute: 5, submits_per_minute: 2 } },
  })
  const client = await actions(vestry)
  const submit = { type: 'submit', description: 'x' }
  expect(await client.ask(submit)).toMatchObject({ status: 'queued' })
  expect(await client.ask(submit)).toMatchObject({ status: 'queued' })
  const limited = await client.ask(submit)
  expect(limited).toMatchObject({ ok: false, status: 'rate_limited' })
  expect(Number(limited['retry_after_ms'])).toBeGreaterThan(0)
  client.send(...Array.from({ length: 50 }, () => envelope()))
  expect(await client.ask({ type: 'list_actions' })).toMatchObject({ status: 'ok' })
  expect(await client.ask({ type: 'poll', id: '0123456789' })).toMatchObject({ status: 'error' })
  expect(await client.ask({ type: 'poll', id: '0123456789' })).toMatchObject({
    status: 'rate_limited',
  })
  expect(await recordsOnce(vestry, 'agent_event', 50)).toHaveLength(50)
  client.end()
})

test('a connection may bring several requests at once, and answers come in their order', async () => {
  await using vestry = await startTestDaemon()
  const client = await actions(vestry)
  client.send(
    { type: 'submit', description: 'one' },
    { type: 'list_actions' },
    { type: 'poll', id: 'x' },
    { type: 'bogus' },
  )
  await expect.poll(() => client.answers.length).toBe(4)
  // What is no request at all is answered at once.
  const inTurn = client.answers.filter(
    ({ message }) => !String(message).includes('expected an action'),
  )
  expect(inTurn.map(({ status }) => status)).toEqual(['queued', 'ok', 'error'])
  client.end()
})

test('requests that are wrong are told so', async () => {
  await using vestry = await startTestDaemon()
  const client = await claimed(vestry, CLERK)
  for (const wrong of [
    { type: 'submit' },
    { type: 'submit', description: '  ' },
    { type: 'submit', description: 'a\0b' },
    { type: 'submit', description: 'x'.repeat(2_000) },
    { type: 'call' },
    { type: 'call', action: 'serpapi' },
    { type: 'call', action: 'serpapi:search', params: [] },
    { type: 'call', action: 'serpapi:search', params: { q: 7 } },
  ])
    expect(await client.ask(wrong), JSON.stringify(wrong)).toMatchObject({
      ok: false,
      status: 'error',
    })
  client.end()
})

test('what a call may not say over HTTP it may not say here', async () => {
  await using vestry = await startTestDaemon()
  const client = await claimed(vestry, CLERK)
  const call = { type: 'call', action: 'serpapi:search', params: { q: 'x' } }
  for (const wrong of [
    { ...call, action: 'serpapi:search:more' },
    { ...call, action: 'serpapi\n:search' },
    { ...call, action: 'Serpapi:search' },
    { ...call, params: { q: 'x', more: { constructor: { prototype: { admin: true } } } } },
    { ...call, params: { q: 'x', prototype: 1 } },
    { ...call, reason: '' },
    { ...call, reason: 'x'.repeat(257) },
    { ...call, reason: { toString: 1 } },
    { ...call, idempotency_key: { toString: 1 } },
    { ...call, intent: { toString: 1 } },
  ])
    expect(await client.ask(wrong), JSON.stringify(wrong)).toMatchObject({
      ok: false,
      status: 'error',
    })
  expect(records(vestry, 'tool.call')).toEqual([])
  expect(await client.ask({ ...call, reason: null, traceparent: { toString: 1 } })).toMatchObject({
    status: 'executed',
  })
  client.end()
})

test('a reason that says nothing is none, where policy asks for one', async () => {
  await using vestry = await startTestDaemon()
  const client = await claimed(vestry, CLERK)
  const text =
    '@id("why") @require_reason("true") permit (principal, action == Action::"tool:call", resource);'
  await vestry.admin.call('admin.policy.put', { files: [{ name: 'why.cedar', text }] })
  const call = { type: 'call', action: 'serpapi:search', params: { q: 'x' } }
  expect(await client.ask(call)).toMatchObject({ ok: false })
  expect(await client.ask({ ...call, reason: '' })).toMatchObject({ ok: false })
  expect(await client.ask({ ...call, reason: 'the ledger' })).toMatchObject({ status: 'executed' })
  client.end()
})

test('processes that claimed nothing bury nobody’s questions: together they ask as much as one agent', async () => {
  await using vestry = await startTestDaemon({
    config: { telemetry: { actions_per_minute: 10_000, submits_per_minute: 10_000 } },
  })
  const submit = { type: 'submit', description: 'x' }
  const client = await actions(vestry)
  for (let i = 0; i < 99; i += 1)
    expect(await client.ask(submit)).toMatchObject({ status: 'queued' })
  await using other = new ProducerProcess()
  await other.connect(vestry.daemon.ready.queue_socket ?? '')
  other.send(submit)
  expect(await other.answer()).toMatchObject({ status: 'queued' })
  other.send(submit)
  expect(await other.answer()).toMatchObject({ ok: false, status: 'rate_limited' })
  client.end()
  const clerk = await claimed(vestry, CLERK)
  expect(await clerk.ask(submit)).toMatchObject({ status: 'queued' })
  clerk.end()
})
