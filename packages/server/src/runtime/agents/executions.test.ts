import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { VestryError } from '@vestry/contract/errors'
import type { ChatCompletion } from '@vestry/sdk/llm/providers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AuditLog } from '../../audit/log.ts'
import { Approvals } from '../../call/approval.ts'
import type { Stations } from '../../call/perform.ts'
import { Taint } from '../../call/taint.ts'
import type { Agent } from '../../identity/agent.ts'
import { AgentStore } from '../../identity/agent-store.ts'
import { newCaller } from '../../identity/caller.ts'
import type { Run } from '../../identity/runs/run.ts'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import type { Journal } from '../../journal/journal.ts'
import { testJournal } from '../../journal/test-journal.ts'
import { Limits } from '../../limits/limits.ts'
import { PolicyEngine } from '../../policy/engine.ts'
import { eachStore } from '../../store/test-store.ts'
import { type AgentDefinition, readDefinition } from './definition.ts'
import { DefinitionStore } from './definition-store.ts'
import type { Execution } from './execution.ts'
import { ExecutionStore } from './execution-store.ts'
import { Executions } from './executions.ts'
import { agentInvoker } from './invoker.ts'
import { Mailbox } from './mailbox.ts'
import { ownRun } from './own-run.ts'
import { ReportStore } from './report-store.ts'
import type { ChatCall } from './runner.ts'

const SCOUT: Agent = {
  id: '018f3c5e-0000-7000-8000-000000000001',
  name: 'scout',
  displayName: 'Scout',
  role: 'agent',
  status: 'enabled',
  keys: [],
  spiffeId: 'spiffe://test.local/agent/018f3c5e-0000-7000-8000-000000000001',
  meta: {},
  requireSigV2: false,
  createdAt: 0,
  updatedAt: 0,
}
const DEFINITION: AgentDefinition = readDefinition({
  id: 'scout',
  name: 'Scout',
  description: '',
  system_prompt: 'You look around.',
  tools: [],
  model: 'gpt-4o',
  temperature: 1,
  top_p: 1,
  max_tokens: 100,
}).definition

const OTHER = '018f3c5e-0000-7000-8000-000000000002'

type Chat = (call: ChatCall, signal: AbortSignal) => Promise<ChatCompletion>

const says =
  (content: string): Chat =>
  async () => ({
    id: 'c',
    object: 'chat.completion',
    created: 0,
    model: 'gpt-4o',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  })
const hangs: Chat = (_, signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })

eachStore('executions of agents', (at) => {
  const keyring = testKeyring()
  let undo: AsyncDisposableStack
  let stations: Stations
  let store: ExecutionStore
  let chat: Chat
  let nowMs: number
  const closed: string[] = []
  const registered = new Map<string, Run>()
  const now = () => nowMs

  beforeEach(async () => {
    nowMs = Date.now()
    closed.length = 0
    chat = says('All quiet.')
    undo = new AsyncDisposableStack()
    const dir = mkdtempDisposableSync(`${tmpdir()}/executions-`)
    undo.defer(() => dir.remove())
    const audit = await AuditLog.open({ dir: dir.path, podName: 'test', now: Date.now })
    undo.defer(() => audit.close())
    const policy = new PolicyEngine()
    policy.load([])
    stations = {
      policy,
      limits: new Limits({ store: at.store, now, monotonic: () => performance.now() }),
      approvals: new Approvals(at.store, testGuard(keyring), now),
      taint: new Taint({ store: at.store, now: now, warn: () => undefined }),
      audit,
      refused: () => undefined,
      now,
    }
    store = new ExecutionStore({ store: at.store, keys: () => keyring, now })
    const definitions = new DefinitionStore({ store: at.store, guard: testGuard(keyring), now })
    await definitions.change(SCOUT.id, () => DEFINITION)
  })
  afterEach(() => undo.disposeAsync())

  /** For what is the same in every store. */
  const once = (title: string, body: () => Promise<void>) => {
    if (at.engine === 'sqlite') test(title, body)
  }

  /** A process that runs agents. */
  async function node(
    more: {
      agent?: Agent
      concurrency?: number
      queue?: number
      timeoutSeconds?: number
      journal?: Journal
    } = {},
  ): Promise<Executions> {
    const journal = more.journal ?? testJournal({ store: at.store, keys: () => keyring })
    if (more.journal === undefined) undo.use(journal)
    const place = {
      trustDomain: 'test.local',
      runPathPrefix: '/scanner/',
      tratTtlSeconds: 60,
      scope: 'scan.execute',
      now: Date.now,
    }
    const executions = new Executions({
      stations,
      journal,
      agents: { byId: async () => more.agent ?? SCOUT },
      definitions: new DefinitionStore({ store: at.store, guard: testGuard(keyring), now }),
      store,
      runner: {
        stations,
        tools: () => [],
        chat: (call, signal) => chat(call, signal),
        registerRun: async (asked) => {
          const run = ownRun(asked, place)
          registered.set(run.id, run)
          return run
        },
        closeRun: async (id) => void closed.push(id),
        proofOf: async (id) => ({ run: registered.get(id) }) as RunProof, // nobody looks at the rest
        limits: { maxIterations: 3, toolTimeoutMs: 1_000 },
        now,
      },
      settings: {
        agent_concurrency: more.concurrency ?? 4,
        agent_queue_max: more.queue ?? 100,
        agent_timeout_seconds: more.timeoutSeconds ?? 60,
      },
      alone: at.engine === 'sqlite',
      warn: () => undefined,
      now,
    })
    await executions.open()
    journal.start()
    return executions
  }

  function ask(executions: Executions, input = 'Look.', agent = SCOUT): Promise<Execution> {
    const peer = { transport: 'http' as const }
    const caller = newCaller({ principal: { kind: 'agent', agent }, peer, txn: 'txn_1' })
    return executions.start({ agent, input, trigger: 'api', caller, requestId: 'r-1' })
  }

  const end = (executions: Executions, { id }: Pick<Execution, 'id'>) =>
    executions.ended(id, AbortSignal.timeout(20_000))
  const statusOf = async (id: string) => (await store.get(id))?.status

  test('are kept with what was asked and answered, sealed, and add up for their agent', async () => {
    const executions = await node()
    const asked: ChatCall[] = []
    chat = async (call, signal) => {
      asked.push(call)
      return says('All quiet.')(call, signal)
    }
    const started = await ask(executions)
    expect(started.id).toMatch(/^exe_[0-9a-z]{26}$/)
    const { execution, content } = await end(executions, started)
    expect(execution).toMatchObject({
      status: 'completed',
      facts: { model: 'gpt-4o', iterations: 1, promptTokens: 3, completionTokens: 2 },
    })
    expect(content).toMatchObject({ input: 'Look.', output: 'All quiet.' })
    expect(content?.steps).toMatchObject([{ kind: 'model', completion_tokens: 2 }])
    expect(asked[0]?.proof.run.id).toBe(started.id)
    expect(closed).toEqual([started.id])
    // A process of the agent's own must not find this run among its runs, and get tokens of it.
    const { spiffeId } = asked[0]?.proof.run ?? {}
    expect(spiffeId).toBe(`spiffe://test.local/runtime/${started.id}`)
    const [row] = await at.store.db.selectFrom('agent_run').selectAll().execute()
    expect(Buffer.from(row?.content ?? []).includes('All quiet.')).toBe(false)
    // Lists of executions do not carry each step of each.
    expect(row?.facts_json).not.toContain('duration_ms')
    expect(await store.totals(SCOUT.id)).toMatchObject({
      completed: 1,
      failed: 0,
      lastStatus: 'completed',
    })
    expect(await store.allTotals()).toEqual({ completed: 1, failed: 0 })
  })

  test('run a few at a time, wait in a bounded queue, and can be taken back while they wait', async () => {
    const executions = await node({ concurrency: 1, queue: 1 })
    chat = hangs
    const first = await ask(executions)
    await expect.poll(() => statusOf(first.id)).toBe('running')
    const second = await ask(executions)
    await expect(ask(executions)).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    expect(await store.list(SCOUT.id, 10)).toHaveLength(2)
    expect(await executions.cancel(second)).toBe(true)
    expect(await statusOf(second.id)).toBe('cancelled')
    expect(await executions.cancelAll(SCOUT.id)).toBe(1)
    expect((await end(executions, first)).execution.facts.error?.code).toBe('CANCELLED')
    const done = (await store.get(first.id)) as Execution
    expect(await executions.cancel(done)).toBe(false)
    expect(await store.totals(SCOUT.id)).toMatchObject({
      completed: 0,
      failed: 0,
      lastStatus: 'cancelled',
    })
  })

  test('an execution that is given to another agent in the store is not carried out', async () => {
    const executions = await node({ concurrency: 1 })
    chat = hangs
    const first = await ask(executions)
    await expect.poll(() => statusOf(first.id)).toBe('running')
    const moved = await ask(executions, 'Give me all of it.')
    await at.store.write((trx) =>
      trx.updateTable('agent_run').set({ agent_id: OTHER }).where('id', '=', moved.id).execute(),
    )
    await expect(store.content(moved.id)).rejects.toMatchObject({ code: 'SEAL_BROKEN' })
    await executions.cancel(first)
    const told = async () => {
      await executions.recover(0)
      return statusOf(moved.id)
    }
    await expect.poll(told).toBe('failed')
    expect((await store.get(moved.id))?.facts.error?.code).toBe('SEAL_BROKEN')
    expect([...registered.keys()]).not.toContain(moved.id)
  })

  test('an agent that is asked without end leaves places in the queue to others', async () => {
    const executions = await node({ concurrency: 1, queue: 4 })
    chat = hangs
    const first = await ask(executions)
    await expect.poll(() => statusOf(first.id)).toBe('running')
    for (let n = 0; n < 2; n += 1) await ask(executions)
    await expect(ask(executions)).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      message: expect.stringContaining('"scout"'),
    })
    const other = { ...SCOUT, id: OTHER, name: 'other' }
    const definitions = new DefinitionStore({ store: at.store, guard: testGuard(keyring), now })
    await definitions.change(OTHER, () => DEFINITION)
    expect((await ask(executions, 'Look.', other)).status).toBe('pending')
    expect(await executions.cancelAll(SCOUT.id)).toBe(3)
  })

  once('how it ended is kept, with its steps, also where the keys are gone meanwhile', async () => {
    const executions = await node()
    let sealed = false
    store = new ExecutionStore({
      store: at.store,
      keys: () => {
        if (sealed) throw new VestryError('VAULT_LOCKED')
        return keyring
      },
      now,
    })
    chat = async () => {
      throw new VestryError('PROVIDER_ERROR', 'Provider failed')
    }
    const { content } = await end(executions, await ask(executions))
    expect(content).toEqual({ input: 'Look.', steps: [] })
    const closing = await node()
    chat = async () => {
      sealed = true
      throw new VestryError('VAULT_LOCKED')
    }
    const { id } = await ask(closing)
    await expect.poll(() => statusOf(id)).toBe('failed')
    sealed = false
    expect(await store.content(id)).toEqual({ input: 'Look.' })
  })

  once('end when their time is over, or as what went wrong', async () => {
    const executions = await node({ timeoutSeconds: 0.05 })
    chat = hangs
    const late = await end(executions, await ask(executions))
    expect(late.execution).toMatchObject({
      status: 'timeout',
      facts: { error: { code: 'DEADLINE_EXCEEDED' } },
    })
    chat = async () => {
      throw new VestryError('PROVIDER_KEY_MISSING', 'There is no key for openai')
    }
    const keyless = await end(executions, await ask(executions))
    expect(keyless.execution.facts.error).toEqual({
      code: 'MODEL_PROVIDER_NOT_CONFIGURED',
      message: 'There is no key for openai',
    })
    chat = async () => {
      throw new TypeError('a detail of ours')
    }
    const broken = await end(executions, await ask(executions))
    expect(broken.execution.facts.error?.message).toBe('Unexpected failure')
    expect(await store.totals(SCOUT.id)).toMatchObject({ completed: 0, failed: 3 })
  })

  once('a model that is busy is asked again, as often as makes sense', async () => {
    const executions = await node()
    let asked = 0
    const busy = new VestryError('PROVIDER_RATE_LIMITED', '', { context: { retry_after_ms: 1 } })
    chat = async (call, signal) => {
      asked += 1
      if (asked < 3) throw busy
      return says('At last.')(call, signal)
    }
    expect((await end(executions, await ask(executions))).content?.output).toBe('At last.')
    expect(asked).toBe(3)
    chat = async () => {
      asked += 1
      throw busy
    }
    const { execution } = await end(executions, await ask(executions))
    expect(execution.facts.error?.code).toBe('PROVIDER_RATE_LIMITED')
    expect(asked).toBe(7)
  })

  test('what a dead process had begun is told as interrupted, and what it had not begins again', async () => {
    const journal = testJournal({ store: at.store, keys: () => keyring, owner: 'first' })
    const first = await node({ journal, concurrency: 1 })
    chat = hangs
    const begun = await ask(first)
    await expect.poll(() => statusOf(begun.id)).toBe('running')
    const waiting = await ask(first)
    // As a killed process leaves it: nobody ends what it holds.
    const second = testJournal({
      store: at.store,
      keys: () => keyring,
      owner: 'second',
      now: () => Date.now() + 3_600_000, // by then nobody has prolonged anything
    })
    undo.use(second)
    chat = says('Again.')
    await second.recover()
    nowMs += 3_600_000
    const after = await node({ journal: second })
    await after.recover(0)
    expect((await end(after, begun)).execution).toMatchObject({
      status: 'failed',
      facts: { error: { code: 'INTERRUPTED' } },
    })
    expect(await end(after, waiting)).toMatchObject({
      execution: { status: 'completed' },
      content: { output: 'Again.' },
    })
    // Nobody knows how long it ran; how long the process was away is not it.
    expect(await store.totals(SCOUT.id)).toMatchObject({ completed: 1, failed: 1, timed: 1 })
    expect((await store.totals(SCOUT.id)).totalMs).toBeLessThan(3_600_000)
    await journal[Symbol.asyncDispose]()
    expect(await statusOf(begun.id)).toBe('failed')
  })

  once('are not begun for an agent without a definition, or one that is disabled', async () => {
    const executions = await node()
    const refused = { code: 'INVALID_STATE_TRANSITION' }
    const bare = { ...SCOUT, id: OTHER }
    await expect(ask(executions, 'x', bare)).rejects.toMatchObject(refused)
    await expect(ask(executions, 'x', { ...SCOUT, status: 'disabled' })).rejects.toMatchObject(
      refused,
    )
    await expect(ask(executions, 'x'.repeat(2_000_000))).rejects.toMatchObject({
      code: 'BODY_TOO_LARGE',
    })
    expect(await store.list(bare.id, 10)).toEqual([])
  })

  once('an input has an agent run in its own name, and hears of every end', async () => {
    const executions = await node()
    const agents = {
      named: async (name: string) => {
        if (name === 'scout') return SCOUT
        throw new VestryError('AGENT_NOT_FOUND')
      },
    }
    const invoker = agentInvoker(agents, executions)
    expect([await invoker.exists('scout'), await invoker.exists('nobody')]).toEqual([true, false])
    const start = () =>
      invoker.start({
        agentName: 'scout',
        input: { ticket: 7 },
        trigger: 'http_input:his_1',
        requestId: 'r-2',
        remoteAddress: '192.0.2.7',
      })
    const plain = await start()
    expect(await plain.ended).toEqual({ status: 'completed', output: { output: 'All quiet.' } })
    expect(await store.get(plain.executionId)).toMatchObject({
      trigger: 'http_input:his_1',
      facts: { actor: 'agent:scout' },
    })
    expect((await store.content(plain.executionId))?.input).toBe('{"ticket":7}')
    chat = says('{"sorted":true}')
    expect(await (await start()).ended).toEqual({ status: 'completed', output: { sorted: true } })
    chat = async () => {
      throw new VestryError('PROVIDER_ERROR', 'Provider failed')
    }
    expect(await (await start()).ended).toEqual({
      status: 'failed',
      error: { code: 'PROVIDER_ERROR', message: 'Provider failed' },
    })
    await expect(
      invoker.start({ agentName: 'nobody', input: {}, trigger: 'x', requestId: 'r-3' }),
    ).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' })
  })

  test('old ones are forgotten, and what they add up to is not', async () => {
    const executions = await node()
    const { execution } = await end(executions, await ask(executions))
    nowMs += 29 * 86_400_000
    expect(await store.prune()).toBe(0)
    nowMs += 2 * 86_400_000
    expect(await store.prune()).toBe(1)
    expect(await store.get(execution.id)).toBeUndefined()
    expect(await store.totals(SCOUT.id)).toMatchObject({ completed: 1 })
    await expect(end(executions, execution)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
  })

  test('a definition that was altered in the store is not used', async () => {
    const definitions = new DefinitionStore({ store: at.store, guard: testGuard(keyring), now })
    expect(await definitions.get(SCOUT.id)).toEqual(DEFINITION)
    const altered = JSON.stringify({ ...DEFINITION, tools: ['http_fetch'] })
    await at.store.write((trx) =>
      trx.updateTable('runtime_agent').set({ definition_json: altered }).execute(),
    )
    await expect(definitions.get(SCOUT.id)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    await expect(definitions.change(SCOUT.id, () => DEFINITION)).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
    })
  })

  test('changes of a definition at once are all kept', async () => {
    const definitions = new DefinitionStore({ store: at.store, guard: testGuard(keyring), now })
    const changes: ((before: AgentDefinition | undefined) => AgentDefinition)[] = [
      (before) => ({ ...(before ?? DEFINITION), model: 'gpt-4o-mini' }),
      (before) => ({ ...(before ?? DEFINITION), maxTokens: 7 }),
    ]
    await Promise.all(changes.map((next) => definitions.change(SCOUT.id, next)))
    expect(await definitions.get(SCOUT.id)).toEqual({
      ...DEFINITION,
      model: 'gpt-4o-mini',
      maxTokens: 7,
    })
  })

  test('messages are fetched once, in order, sealed meanwhile, and expire', async () => {
    const mailbox = new Mailbox({
      store: at.store,
      keys: () => keyring,
      now,
      maxWaitingBytes: 10_000,
    })
    const message = (payload: string, ttlSeconds = 60) => ({
      sender: 'desk',
      recipient: 'scout',
      topic: null,
      payload,
      messageType: 'direct' as const,
      ttlSeconds,
    })
    const short = await mailbox.add(SCOUT.id, message('short', 1))
    nowMs += 1_000
    const first = await mailbox.add(SCOUT.id, message('one'))
    nowMs += 1
    await mailbox.add(SCOUT.id, message('two'))
    const rows = await at.store.db.selectFrom('agent_message').select('record').execute()
    expect(rows.some(({ record }) => Buffer.from(record).includes('two'))).toBe(false)
    const [one, other] = await Promise.all([mailbox.drain(SCOUT.id), mailbox.drain(SCOUT.id)])
    expect([...one, ...other].map(({ payload }) => payload).sort()).toEqual(['one', 'two'])
    expect(await mailbox.drain(SCOUT.id)).toEqual([])
    const left = await at.store.db.selectFrom('agent_message').selectAll().execute()
    expect(
      left.filter(({ status }) => status === 'delivered').map(({ record }) => record.length),
    ).toEqual([0, 0])
    expect((await mailbox.status(first))?.status).toBe('delivered')
    expect((await mailbox.status(short))?.status).toBe('expired')
    expect(await mailbox.status('msg_nobody')).toBeUndefined()
    await expect(
      (async () => {
        for (;;) await mailbox.add(SCOUT.id, message('x'.repeat(2_000)))
      })(),
    ).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    nowMs += 2 * 86_400_000
    expect(await mailbox.prune()).toBeGreaterThan(3)
  })

  test('of an agent elsewhere the last sign is kept, and its last hundred events', async () => {
    const reports = new ReportStore({ store: at.store, now })
    const beat = (state: string) =>
      reports.put(SCOUT.id, { state, metadata: { n: 1 }, lastResult: undefined }, 3_000)
    await beat('Running')
    const sinceMs = nowMs
    nowMs += 2_999
    await beat('Waiting')
    expect(await reports.get(SCOUT.id)).toMatchObject({ state: 'Waiting', sinceMs, atMs: nowMs })
    expect(await reports.alive(nowMs - 1)).toEqual([SCOUT.id])
    nowMs += 3_000
    await beat('Running')
    expect(await reports.get(SCOUT.id)).toMatchObject({ sinceMs: nowMs })
    for (let n = 1; n <= 105; n += 1)
      await reports.addEvent(SCOUT.id, { event_type: 'RunStarted', payload: n, timestamp: '' })
    const events = await reports.events(SCOUT.id)
    expect([events.length, events[0]?.payload, events.at(-1)?.payload]).toEqual([100, 105, 6])
    const records = new AgentStore({
      store: at.store,
      guard: testGuard(keyring),
      trustDomain: 'test.local',
      now,
    })
    const { value: gone } = await records.add({ name: 'gone' })
    await reports.addEvent(gone.id, { event_type: 'RunStarted', payload: 1, timestamp: '' })
    expect(await reports.prune()).toBe(0)
    await records.revoke('gone')
    expect([await reports.prune(), await reports.events(gone.id)]).toEqual([1, []])
    await reports.forget(SCOUT.id)
    expect([await reports.get(SCOUT.id), await reports.events(SCOUT.id)]).toEqual([undefined, []])
  })
})
