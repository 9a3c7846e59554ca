/**
 * What the document says that the agent-side library was founded on, a test for each statement that only shows where a
 * program, the daemon and the command line work together.
 */
import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { CORE_KINDS, type Envelope } from '@vestry/coat/aot'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AuditRecord } from '../../packages/server/src/audit/record.ts'
import { verifyLog } from '../../packages/server/src/audit/verify.ts'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { envelope, QueueClient, records } from './queue-client.ts'

const ROOT = join(import.meta.dirname, '../..')
const EXAMPLES = join(ROOT, 'examples/telemetry')

let vestry: TestDaemon
beforeAll(async () => {
  vestry = await startTestDaemon({ config: { telemetry: { pod_name: 'ledger' } } })
  await vestry.addAgent('reviewer')
  await vestry.admin.call('admin.agent.set_claim_terms', {
    name: 'reviewer',
    capabilities: ['read', 'commit'],
  })
})
afterAll(() => vestry?.stop())

const inPod = (): Record<string, string> => ({
  ENVPOD_POD_ID: vestry.daemon.ready.pod_id ?? '',
  ENVPOD_SOCKET: vestry.home.queueSocket,
  ENVPOD_IDENTITY_SOCKET: vestry.home.identitySocket,
})

interface Ended {
  readonly pid: number
  readonly stdout: string
  readonly stderr: string
}

/** A program of its own: a file, or code that imports the library. */
async function program(what: { file: string } | { code: string }, env: object): Promise<Ended> {
  const rest = 'file' in what ? [what.file] : ['--input-type=module', '-e', what.code]
  const running = promisify(execFile)(
    process.execPath,
    ['--no-warnings', '--conditions=source', ...rest],
    {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
        ...env,
      },
      timeout: 60_000,
    },
  )
  const { stdout, stderr } = await running
  return { pid: running.child.pid ?? -1, stdout, stderr }
}

const AGENT = `
import { coat, tie, flush } from '@vestry/coat'
const ask = coat('llm', async (messages) => ({ text: 'b'.repeat(900), asked: messages.length }))
await coat('run', async function refactor(what) {
  await ask([{ role: 'user', content: 'a'.repeat(900) }])
  coat('ledger.close', function close() { return 'closed' })()
  tie('batch', { i: 0, size: 100 })
})('main.ts')
await flush(5000)
`

const eventsOf = ({ pid }: Ended): AuditRecord[] =>
  records(vestry, 'agent_event').filter((record) => record.pid === pid)
const envelopeOf = ({ event }: AuditRecord): Envelope => event as unknown as Envelope

function linesOf({ stderr }: Ended): Envelope[] {
  const lines = stderr.trimEnd().split('\n')
  return lines
    .filter((line) => line.startsWith('[coat] '))
    .map((line) => JSON.parse(line.slice('[coat] '.length)) as Envelope)
}

async function command(...argv: string[]) {
  const terminal = fakeTerminal({ input: '', env: {} })
  const signal = new AbortController().signal
  const exitCode = await runProgram(['--home', vestry.home.dir, ...argv], terminal, signal)
  expect(exitCode, terminal.err()).toBe(0)
  return terminal.out()
}

test('quick start: inside a pod nothing is printed; every event is a record of the one chain', async () => {
  const ended = await program({ file: join(EXAMPLES, 'quick-start.ts') }, inPod())
  const [, path = ''] = /path: '([^']+)'/.exec(ended.stdout) ?? []
  rmSync(dirname(path), { recursive: true })
  expect(ended.stderr).toBe('')
  const stored = eventsOf(ended)
  const shown = stored
    .map(envelopeOf)
    .map(({ kind, payload }) => `${kind} ${payload['fn'] ?? payload['name']}`)
  expect(shown).toEqual([
    'agent.llm.request askModel',
    'agent.llm.response askModel',
    'agent.tool.call writeFile',
    'agent.tool.result writeFile',
    'agent.tool.call processBatch',
    'x.coat.tie batch',
    'x.coat.tie batch',
    'x.coat.tie batch',
    'agent.tool.result processBatch',
  ])
  for (const record of stored) {
    expect(record).toMatchObject({ actor: 'anonymous', source: 'coat', pid: ended.pid })
    expect(record.hash).toMatch(/^[0-9a-f]{64}$/)
  }
  // Nobody asked for content, so there is none.
  expect(JSON.stringify(stored)).not.toContain('refactor')
  await vestry.daemon.rotateLog()
  expect(await verifyLog(vestry.home.audit)).toMatchObject({ status: 'intact' })
})

test('claim sample: `vestry trace` and the tree of the record tell claimed from anonymous', async () => {
  const claimed = await program({ file: join(EXAMPLES, 'claim.ts') }, inPod())
  const { claimId } = JSON.parse(claimed.stdout) as { claimId: string }
  const anonymous = await program({ code: AGENT }, inPod())
  const traceOf = (ended: Ended) => String(eventsOf(ended)[0]?.span?.trace_id)
  const firstOf = async (...argv: string[]) => (await command(...argv)).split('\n')[0]

  expect(await firstOf('trace', traceOf(claimed))).toContain(`agent reviewer (${claimId})`)
  const nobody = await firstOf('trace', traceOf(anonymous))
  expect(nobody).toContain(`anonymous anon_pid${anonymous.pid}_uid${process.getuid?.()}_sess`)
  expect(nobody).not.toContain('reviewer')

  const ofAgent = await command('audit', '--all', '--group-by-span', '--agent', 'reviewer')
  expect(ofAgent).toContain(traceOf(claimed))
  expect(ofAgent).not.toContain(traceOf(anonymous))
  const ofNobody = await command('audit', '--all', '--group-by-span', '--anonymous')
  expect(ofNobody).toContain(traceOf(anonymous))
  expect(ofNobody).not.toContain(traceOf(claimed))
})

test('wire format, claimed caller: every member is there, identity as the daemon granted it', async () => {
  const ended = await program({ file: join(EXAMPLES, 'claim.ts') }, inPod())
  const { claimId } = JSON.parse(ended.stdout) as { claimId: string }
  const [event] = eventsOf(ended).map(envelopeOf)
  expect(event).toMatchObject({
    spec: 'aotp/0.1',
    kind: 'agent.llm.request',
    ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    ids: {
      session_id: expect.stringMatching(/^sess_/),
      run_id: expect.stringMatching(/^run_/),
      step_id: '',
      trace_id: expect.stringMatching(/^tr_/),
      span_id: expect.stringMatching(/^sp_/),
      parent_span_id: '',
    },
    subject: {
      agent_id: 'reviewer',
      agent_role: 'agent',
      framework: 'envpod-coat',
      framework_version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    },
    capture: { mode: 'none' },
    payload: { fn: 'review', preview: { args: ['<string len=19>'], kwargs: {} } },
    envpod: {
      pod_id: vestry.daemon.ready.pod_id,
      pid: ended.pid,
      claim_kind: 'claimed',
      agent_claim_id: claimId,
      capabilities: ['read', 'commit'],
      session: expect.stringMatching(/^sess_/),
    },
  })
  expect(event?.envpod).not.toHaveProperty('anonymous')
})

test('wire format, bare anonymous caller: one line without a greeting, and a forged name that does not stay', async () => {
  const before = records(vestry, 'agent_event').length
  const forged = envelope({
    kind: 'agent.llm.request',
    subject: {
      agent_id: 'reviewer',
      agent_role: 'admin',
      framework: 'bare',
      framework_version: '1',
    },
  })
  const socket = createConnection(vestry.home.queueSocket)
  const told: Buffer[] = []
  socket.on('data', (chunk: Buffer) => told.push(chunk))
  socket.end(`${JSON.stringify(forged)}\n`)
  await expect.poll(() => records(vestry, 'agent_event').length).toBe(before + 1)
  expect(told).toEqual([])
  const record = records(vestry, 'agent_event').at(-1)
  const { pid } = process
  const uid = process.getuid?.()
  expect(record).toMatchObject({ actor: 'anonymous', pid, uid })
  expect(record).not.toHaveProperty('agent')
  const { subject, envpod } = envelopeOf(record as AuditRecord)
  expect(subject).toMatchObject({ agent_id: '', agent_role: '', framework: 'bare' })
  const session = String(Object(envpod).anonymous.session)
  expect(session).toMatch(/^sess_\d+$/)
  expect(envpod).toMatchObject({
    pod_id: vestry.daemon.ready.pod_id,
    pid,
    uid,
    claim_kind: 'anonymous',
    anonymous: { pid, uid, session, fingerprint: `anon_pid${pid}_uid${uid}_sess${session}` },
    overwrote: expect.arrayContaining(['subject.agent_id', 'subject.agent_role']),
  })
})

test('correlation: what one of several overlapping spans of a process caused is marked, over all pods', async () => {
  const queue = await QueueClient.connect(vestry.home.queueSocket)
  const trace_id = `tr_${'8'.repeat(32)}`
  const begun = (span: string, fn: string) =>
    envelope({
      ids: { session_id: '', run_id: '', step_id: '', trace_id, span_id: span, parent_span_id: '' },
      payload: { fn, op: 'step' },
    })
  const stored = records(vestry, 'agent_event').length
  queue.send(
    begun('sp_8888888888888881', 'oneCoroutine'),
    begun('sp_8888888888888882', 'otherCoroutine'),
  )
  await expect.poll(() => records(vestry, 'agent_event').length).toBe(stored + 2)
  // This process does something itself, as either of the two might have.
  const keys = await vestry.addAgent('concurrent')
  const vault = await vestry.agent(keys)
  await vault.call('list', {})
  vault.destroy()
  queue.end()
  const text = await command('audit', '--all', '--group-by-span', '--trace', trace_id)
  const caused = text.split('\n').filter((line) => line.includes('credential.list'))
  expect(caused).toHaveLength(1)
  expect(caused[0]).toMatch(/\[heuristic\]$/)
})

test('transport: without the socket there is one warning, and the agent does what it does', async () => {
  const env = { ENVPOD_POD_ID: 'pod_x', ENVPOD_SOCKET: join(vestry.home.run, 'none.sock') }
  const ended = await program({ code: `${AGENT}; console.log('done')` }, env)
  expect(ended.stdout).toBe('done\n')
  const lines = ended.stderr.trimEnd().split('\n')
  expect(lines.filter((line) => !line.startsWith('[coat] {'))).toEqual([
    '[coat:warn] telemetry socket unavailable (ENOENT); writing events to stderr',
  ])
  const kinds = linesOf(ended).map(({ kind }) => kind)
  expect(kinds.filter((kind) => kind.startsWith('agent.'))).toHaveLength(6)
})

test('environment: names of the agent are told outside a pod, and decided by the daemon inside', async () => {
  const names = { ENVPOD_AGENT_ID: 'scout', ENVPOD_AGENT_ROLE: 'research' }
  for (const event of linesOf(await program({ code: AGENT }, names)))
    expect(event.subject).toMatchObject({ agent_id: 'scout', agent_role: 'research' })
  const inside = eventsOf(await program({ code: AGENT }, { ...inPod(), ...names }))
  expect(inside).toHaveLength(7)
  for (const event of inside.map(envelopeOf))
    expect(event.subject).toMatchObject({ agent_id: '', agent_role: '' })
  // An honest library does not even send them there.
  expect(Object(envelopeOf(inside[0] as AuditRecord).envpod)).not.toHaveProperty('overwrote')
})

test.each([
  ['', 'none', '<array len=1>'],
  ['none', 'none', '<array len=1>'],
  ['hash', 'hash', /^h:[0-9a-f]{32}:len=1$/],
  ['summary', 'summary', undefined],
  ['redacted', 'redacted', `${'a'.repeat(200)}…[+700]`],
  ['raw', 'raw', `${'a'.repeat(200)}…[+700]`],
])(
  'environment: ENVPOD_COAT_CAPTURE=%s captures %s, 200 characters of a value',
  async (value, mode, shown) => {
    const ended = await program({ code: AGENT }, value === '' ? {} : { ENVPOD_COAT_CAPTURE: value })
    const request = linesOf(ended).find(({ kind }) => kind === 'agent.llm.request')
    expect(request?.capture.mode).toBe(mode)
    const first = Object(request?.payload.preview).args[0]
    const text = Array.isArray(first) ? Object(first[0]).content : first
    if (shown instanceof RegExp) expect(text).toMatch(shown)
    else if (shown !== undefined) expect(text).toBe(shown)
    else expect(JSON.stringify(first)).not.toContain('aaaa')
  },
)

test('environment: ENVPOD_COAT_PREVIEW_LEN says how many characters of a value', async () => {
  const env = { ENVPOD_COAT_CAPTURE: 'redacted', ENVPOD_COAT_PREVIEW_LEN: '7' }
  const ended = await program({ code: AGENT }, env)
  const response = linesOf(ended).find(({ kind }) => kind === 'agent.llm.response')
  expect(Object(response?.payload.preview).result).toEqual({ text: 'bbbbbbb…[+893]', asked: 1 })
})

test('tags of one’s own still work, and are steps', async () => {
  const [start] = linesOf(await program({ code: AGENT }, {})).filter(
    ({ payload }) => payload['fn'] === 'close',
  )
  expect(start).toMatchObject({ kind: 'agent.step.start', payload: { op: 'ledger.close' } })
})

test('taxonomy: sixteen operations, of the seven families and a request to a person', () => {
  expect(CORE_KINDS).toHaveLength(16)
  expect(new Set(CORE_KINDS).size).toBe(16)
  const families = CORE_KINDS.filter((kind) => kind !== 'agent.human.request').map(
    (kind) => kind.split('.')[1],
  )
  expect([...new Set(families)]).toEqual([
    'session',
    'run',
    'step',
    'llm',
    'tool',
    'memory',
    'subagent',
  ])
})

test.each([
  ['agent.llm', 'LLM'],
  ['agent.tool', 'TOOL'],
  ['agent.run', 'AGENT'],
  ['agent.subagent', 'AGENT'],
  ['agent.step', 'CHAIN'],
  ['agent.memory.read', 'RETRIEVER'],
])(
  'export: a log record of %s says OpenInference’s %s beside envpod’s attributes',
  (name, kind) => {
    const golden = JSON.parse(
      readFileSync(join(import.meta.dirname, 'golden', `${name}.json`), 'utf8'),
    ) as Record<string, { logs: { attributes: Record<string, unknown> }[] }>
    const logs = Object.values(golden).flatMap((sent) => sent.logs)
    const ofKind = logs.filter(({ attributes }) =>
      String(Object(attributes['envpod.kind']).stringValue).startsWith(name),
    )
    expect(ofKind.length).toBeGreaterThanOrEqual(4)
    for (const { attributes } of ofKind) {
      expect(attributes['openinference.span.kind']).toEqual({ stringValue: kind })
      for (const own of ['envpod.kind', 'envpod.pid', 'envpod.claim_kind', 'envpod.pod_id'])
        expect(attributes).toHaveProperty([own])
    }
  },
)
