/** An agent's spans and what they caused, as an operator reads them from a real daemon's record. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempDisposableSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startUpstream, type Upstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { AgentKeys } from '../harness/keys.ts'
import type { RawClient } from '../harness/raw-client.ts'
import { QueueClient, recordsOnce } from './queue-client.ts'

const TRACE = 'tr_6e1f0a9c5b7d43e28f10c2b4d6e8a0f1'
const RUN_SPAN = 'sp_2b9d4c7e01f3a586'
const LLM_SPAN = 'sp_3b9d4c7e01f3a587'
const TOOL_SPAN = 'sp_4b9d4c7e01f3a588'
const RUN_ID = 'run_51b0c77e2d9a4f38'
const PRODUCER = 'p_77aa10e4c2d98b35'

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
type Whatever = any

let vestry: TestDaemon
let upstream: Upstream
let keys: AgentKeys
let vault: RawClient
let queue: QueueClient
let sent = 0

beforeAll(async () => {
  upstream = await startUpstream((_request, reply) => reply.end('fine'))
  vestry = await startTestDaemon({
    config: {
      egress: { allow_cidrs: ['127.0.0.1/32', '::1/128'] },
      telemetry: { pod_name: 'ledger' },
    },
  })
  keys = await vestry.addAgent('auditor')
  await vestry.addCredential('up/a', 'tok_5f0c2d7be1a94c3f')
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'up',
        principals: ['agent:auditor'],
        resources: ['up/*'],
        actions: ['retrieve', 'use:http_request'],
        hosts: [`localhost:${upstream.port}`],
        methods: ['GET'],
        allow_http: true,
      },
    ],
  })
  vault = await vestry.agent(keys)
  queue = await QueueClient.connect(String(vestry.daemon.ready.queue_socket))
  await pause() // or the login just before is put down to the run, as a guess
  await agentRun()
})
afterAll(async () => {
  queue?.end()
  vault?.destroy()
  await vestry?.stop()
  await upstream?.[Symbol.asyncDispose]()
})

/** Tells one event, and waits until it is stored. */
async function tell(
  kind: string,
  [span_id, parent_span_id = '']: readonly string[],
  payload: Record<string, unknown>,
  trace_id = TRACE,
): Promise<void> {
  sent += 1
  queue.send({
    spec: 'aotp/0.1',
    kind,
    ts: new Date().toISOString(),
    ids: { session_id: '', run_id: RUN_ID, step_id: '', trace_id, span_id, parent_span_id },
    subject: { agent_id: '', agent_role: '', framework: 'envpod-coat', framework_version: '0.1.0' },
    capture: { mode: 'none' },
    payload,
    producer: { id: PRODUCER, seq: sent, pid: process.pid, tid: 0, lang: 'ts' },
  })
  await recordsOnce(vestry, 'agent_event', sent)
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 20))

/** One thing after the other: a call below its own span, one that says nothing of a span, and one by a child. */
async function agentRun(): Promise<void> {
  await tell('agent.run.start', [RUN_SPAN], { fn: 'reconcile', op: 'run' })
  await pause()
  await tell('agent.llm.request', [LLM_SPAN, RUN_SPAN], { fn: 'askModel', model: 'gpt-4o' })
  const traceparent = `00-${TRACE.slice(3)}-${LLM_SPAN.slice(3)}-01`
  const params = { url: `http://localhost:${upstream.port}/x` }
  await vault.call('use', { path: 'up/a', operation: 'http_request', params, traceparent })
  await tell('x.coat.tie', ['sp_7777777777777770', LLM_SPAN], {
    name: 'chosen',
    data: { path: 'up/a' },
  })
  const ended = { fn: 'askModel', status: 'ok', duration_ms: 12, usage: { input: 8, output: 5 } }
  await tell('agent.llm.response', [LLM_SPAN, RUN_SPAN], ended)
  await pause()
  await tell('agent.tool.call', [TOOL_SPAN, RUN_SPAN], { fn: 'write', tool: { name: 'write' } })
  await pause()
  await vault.call('retrieve', { path: 'up/a' })
  await child()
  const failed = {
    fn: 'write',
    tool: { name: 'write' },
    status: 'error',
    error: { type: 'EACCES' },
  }
  await tell('agent.tool.result', [TOOL_SPAN, RUN_SPAN], { ...failed, duration_ms: 40 })
  await tell('agent.run.end', [RUN_SPAN], { fn: 'reconcile', status: 'ok', duration_ms: 90 })
}

async function child(): Promise<void> {
  const file = join(import.meta.dirname, 'vault-child.ts')
  const env = {
    VAULT_SOCKET: vestry.home.vaultSocket,
    AGENT: keys.name,
    SEED: keys.seed.toString('hex'),
  }
  const running = spawn(process.execPath, ['--no-warnings', '--conditions=source', file], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = await once(running, 'exit')
  expect(code).toBe(0)
}

/** The command line, in this process. */
async function vestryCommand(
  argv: readonly string[],
  {
    env = {},
    signal = new AbortController().signal,
  }: { env?: NodeJS.ProcessEnv; signal?: AbortSignal } = {},
) {
  const terminal = fakeTerminal({ input: '', env })
  const exitCode = await runProgram(['--home', vestry.home.dir, ...argv], terminal, signal)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

async function json(...argv: string[]): Promise<Whatever> {
  const { exitCode, out, err } = await vestryCommand([...argv, '--json'])
  expect(exitCode, err + out).toBe(0)
  return JSON.parse(out)
}

const effects = (span: Whatever) => span.events.filter(({ type }: Whatever) => type === 'effect')

test('telemetry §16.37: what a sequential agent caused lies below its spans, without a guess', async () => {
  const { traces, producers } = await json('audit', '--group-by-span', '--trace', TRACE)
  expect(traces).toHaveLength(1)
  const [trace] = traces
  expect(trace).toMatchObject({ trace_id: TRACE, span_count: 3, open: false, run_ids: [RUN_ID] })
  const [run] = trace.spans
  const [llm, tool] = run.spans
  expect(effects(llm)).toMatchObject([
    { action: 'credential.use', attribution: { method: 'exact', span_id: LLM_SPAN } },
    { action: 'dns_query', source: 'dns', attribution: { method: 'exact', span_id: LLM_SPAN } },
  ])
  expect(llm.events).toContainEqual(expect.objectContaining({ type: 'tie', name: 'chosen' }))
  expect(effects(tool)[0]).toMatchObject({
    action: 'credential.retrieve',
    pid: process.pid,
    attribution: { method: 'sole', span_id: TOOL_SPAN },
  })
  expect(JSON.stringify(trace)).not.toContain('"heuristic"')
  expect(producers).toMatchObject([{ id: PRODUCER, missing: 0, dropped: 0, unexplained: 0 }])
})

test('telemetry §16.39: what a child process did belongs to the span that ran it, although the child is gone', async () => {
  const { traces } = await json('audit', '--group-by-span')
  const [run] = traces[0].spans
  const ofChild = effects(run.spans[1]).filter(({ pid }: Whatever) => pid !== process.pid)
  expect(ofChild.map(({ action }: Whatever) => action)).toEqual(
    expect.arrayContaining(['auth.success', 'credential.retrieve']),
  )
  for (const { attribution } of ofChild)
    expect(attribution).toMatchObject({ method: 'sole', span_id: TOOL_SPAN })
})

test('the same is drawn as a tree, for the pod by its name, its id or no name, and for no other pod', async () => {
  const text = (await vestryCommand(['audit', 'ledger', '--group-by-span'])).out
  expect(text).toMatch(
    new RegExp(`^trace ${TRACE} {2}anonymous anon_pid${process.pid}_.* 3 spans \\d+ events$`, 'm'),
  )
  expect(text).toMatch(/^├─ run {3}reconcile +\+0ms +\d+ms +ok/m)
  expect(text).toMatch(/^│ {2}├─ llm {3}askModel .* in 8 out 5$/m)
  expect(text).toMatch(/^│ {2}│ {4}· dns_query {2}localhost A\+AAAA allow/m)
  expect(text).toMatch(/^│ {2}└─ tool {2}write .* error {2}EACCES$/m)
  expect(text).toMatch(
    new RegExp(`^producers: ${PRODUCER} {2}seq 1–${sent} {2}missing 0 {2}dropped 0$`, 'm'),
  )
  const id = String(vestry.daemon.ready.pod_id)
  expect((await vestryCommand(['audit', id, '--group-by-span'])).out).toBe(text)
  expect((await vestryCommand(['audit', '--all', '--group-by-span'])).out).toBe(text)
  const other = await vestryCommand(['audit', 'another', '--group-by-span'])
  expect(other.exitCode).toBe(1)
  expect(other.err).toContain("NOT_FOUND: this daemon has no log of a pod 'another'")
  expect((await vestryCommand(['audit', 'ledger', '--all', '--group-by-span'])).exitCode).toBe(2)
  expect((await vestryCommand(['audit', 'ledger'])).exitCode).toBe(2)
})

test('the record by spans can be narrowed', async () => {
  const spans = async (...argv: string[]) =>
    (await json('audit', '--group-by-span', ...argv)).traces
  expect(await spans('--anonymous')).toHaveLength(1)
  expect(await spans('--agent', 'auditor')).toEqual([])
  expect(await spans('--until', '2026-01-01')).toEqual([])
  expect(await spans('--since', '1h')).toHaveLength(1)
  const [bare] = await spans('--no-kernel')
  expect(JSON.stringify(bare)).not.toContain('"effect"')
  const nobody = await vestryCommand([
    'audit',
    '--group-by-span',
    '--trace',
    `tr_${'e'.repeat(32)}`,
  ])
  expect(nobody.err).toContain('NOT_FOUND')
  const some = await vestryCommand(['audit', '--group-by-span', '--limit', '3'])
  expect(some.err).toContain('only the newest records were read')
})

test('commands of the record keep their own options beside those of "audit" itself', async () => {
  const { out, exitCode } = await vestryCommand(['audit', 'tail', '--trace', TRACE, '-n', '50'])
  expect(exitCode).toBe(0)
  expect(out.trimEnd().split('\n')).toHaveLength(sent)
  expect(out).toMatch(
    /✓ {2}anonymous +agent_event +agent\.llm\.response {2}askModel {2}ok {2}12ms {2}in 8 {2}out 5 {2}sp_/,
  )
  expect((await vestryCommand(['audit', 'tail', '--agent', 'auditor'])).out).not.toContain(
    'agent_event',
  )
})

test.each([
  ['a trace of the agent', TRACE],
  ['a W3C trace', TRACE.slice(3)],
  ['a span', LLM_SPAN],
  ['a run of the agent', RUN_ID],
])('the whole tree is found by %s', async (_, id) => {
  const tree = await json('trace', id)
  const [run] = tree.spans
  expect(run).toMatchObject({ type: 'span', span_id: RUN_SPAN, name: 'reconcile' })
  const [llm, tool] = run.children
  expect(llm.children).toMatchObject([
    {
      action: 'credential.use',
      decision: { allow: true, policies: ['vault:up'] },
      lookups: [{ data: { domain: 'localhost', decision: 'allow' } }],
      attribution: { method: 'exact' },
    },
  ])
  expect(tool.children[0]).toMatchObject({
    action: 'credential.retrieve',
    lease: expect.stringMatching(/^hmac:/),
    attribution: { method: 'sole' },
  })
  expect(tree.callers).toMatchObject([{ claim_kind: 'anonymous', pid: process.pid }])
  expect(tree.agents).toEqual({
    spans: 3,
    open: 0,
    input_tokens: 8,
    output_tokens: 5,
    cost_micros: 0,
  })
})

test('the tree is drawn with bars within the width there is, in ASCII where the locale has nothing else', async () => {
  const { out } = await vestryCommand(['trace', TRACE], { env: { COLUMNS: '120' } })
  expect(out).toMatch(/^└─ run {2}reconcile .*▕█+ *▏$/m)
  expect(out).toMatch(/^ {3}│ {2}└─ credential\.use {2}use:http_request up\/a .*$/m)
  expect(out).toMatch(
    /^ {3}│ {5}├─ dns {2}localhost {2}A\+AAAA {2}allow {2}\d address(es)? {2}[\d.]+ms$/m,
  )
  expect(out).toMatch(/^total {2}3 spans {2}\d calls \(\d credential\) {2}8 in \+ 5 out tokens/m)
  for (const line of out.split('\n').filter((one) => one.includes('▏')))
    expect([...line].length).toBeLessThanOrEqual(120)
  const plain = (await vestryCommand(['trace', TRACE], { env: { LC_ALL: 'C' } })).out
  expect(plain).toMatch(/^`- run {2}reconcile .*\[=+ *\]$/m)
  expect(plain).not.toMatch(/[├└│█▏]/)
})

test('a page of the trace is written for its owner, and over nothing that is there', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'vestry-trace-'))
  const file = join(dir.path, 'trace.html')
  expect((await vestryCommand(['trace', TRACE, '--html', file])).exitCode).toBe(0)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readFileSync(file, 'utf8')).toContain('reconcile')
  writeFileSync(file, 'mine')
  const again = await vestryCommand(['trace', TRACE, '--html', file])
  expect(again).toMatchObject({ exitCode: 1, err: expect.stringContaining('--force') })
  expect(readFileSync(file, 'utf8')).toBe('mine')
  expect((await vestryCommand(['trace', TRACE, '--html', file, '--force'])).exitCode).toBe(0)
  const unknown = join(dir.path, 'none.html')
  expect((await vestryCommand(['trace', 'tr_none', '--html', unknown])).exitCode).toBe(1)
  expect(existsSync(unknown)).toBe(false)
})

test('--follow tells what happens as it happens, and ends well when it is interrupted', async () => {
  const trace = `tr_${'5'.repeat(32)}`
  await tell('agent.run.start', ['sp_5555555555555555'], { fn: 'slow' }, trace)
  const stop = new AbortController()
  const terminal = fakeTerminal({ input: '' })
  const argv = ['--home', vestry.home.dir, 'trace', trace, '--follow']
  const ended = runProgram(argv, terminal, stop.signal)
  await expect.poll(terminal.out, { timeout: 15_000 }).toMatch(/^\+0ms +begins {2}run {2}slow$/m)
  await tell(
    'x.coat.tie',
    ['sp_5555555555555556', 'sp_5555555555555555'],
    { name: 'half', data: 1 },
    trace,
  )
  await expect.poll(terminal.out, { timeout: 15_000 }).toMatch(/tie {2}half {2}1$/m)
  stop.abort()
  expect(await ended).toBe(0)
  await tell('agent.run.end', ['sp_5555555555555555'], { fn: 'slow', status: 'ok' }, trace)
})

test('lost events that nobody reported end in failure, and are told', async () => {
  queue.send({
    spec: 'aotp/0.1',
    kind: 'agent.step.start',
    ts: new Date().toISOString(),
    ids: { trace_id: `tr_${'7'.repeat(32)}`, span_id: 'sp_7777777777777777' },
    subject: {},
    capture: { mode: 'none' },
    payload: { fn: 'late', op: 'step' },
    producer: { id: PRODUCER, seq: sent + 3 },
  })
  await recordsOnce(vestry, 'agent_event', sent + 1)
  const { exitCode, out, err } = await vestryCommand(['audit', '--group-by-span'])
  expect(exitCode).toBe(1)
  expect(out).toMatch(/missing 2 {2}dropped 0 {2}2 lost without a report$/m)
  expect(err).toContain('2 events of agents are missing')
})

test('another process that ends a span of the agent, and says things in its name, is shown as itself', async () => {
  const ids = { session_id: '', run_id: RUN_ID, step_id: '', trace_id: TRACE }
  const told = (kind: string, span_id: string, parent_span_id: string, payload: object) =>
    JSON.stringify({
      ...{ spec: 'aotp/0.1', kind, ts: new Date().toISOString(), capture: { mode: 'none' } },
      ...{ subject: { agent_id: 'auditor' }, payload, ids: { ...ids, span_id, parent_span_id } },
    })
  const lines = [
    told('agent.run.end', RUN_SPAN, '', { fn: 'forged', status: 'error', duration_ms: 1 }),
    told('x.coat.tie', 'sp_9999999999999999', LLM_SPAN, { name: 'lie', data: 1 }),
  ]
  const program = `const s = require('node:net').connect(process.argv[1], () => s.end(process.argv[2]))`
  const socket = String(vestry.daemon.ready.queue_socket)
  const forger = spawn(process.execPath, ['-e', program, socket, `${lines.join('\n')}\n`])
  await once(forger, 'exit')
  await recordsOnce(vestry, 'agent_event', sent + 3)

  const tree = await json('trace', TRACE)
  expect(tree.callers.map(({ pid }: Whatever) => pid)).toEqual([process.pid, forger.pid])
  const run = tree.spans.find(({ name }: Whatever) => name === 'reconcile')
  expect(run).toMatchObject({ status: 'ok', caller: 0 })
  const forged = tree.spans.find(({ name }: Whatever) => name === 'forged')
  expect(forged).toMatchObject({ span_id: RUN_SPAN, status: 'error', caller: 1, children: [] })
  const { out } = await vestryCommand(['trace', TRACE])
  const by = `by anonymous anon_pid${forger.pid}_`
  expect(out).toMatch(new RegExp(`run {2}forged {2}${by}`))
  expect(out).toMatch(new RegExp(`tie {2}lie {2}1 {2}${by}`))
})
