/** Who an event is from, with a real daemon, real processes and what the kernel says of them. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, chmodSync, constants, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { AuditRecord } from '../../packages/server/src/audit/record.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { envelope, records, recordsOnce } from './queue-client.ts'

type Message = Record<string, unknown>

const ROOT = join(import.meta.dirname, '../..')
const AGENT = join(import.meta.dirname, 'identity-agent.mjs')
const EXAMPLE = join(ROOT, 'examples/telemetry/claim.ts')

let vestry: TestDaemon
beforeAll(async () => {
  vestry = await startTestDaemon({
    config: { telemetry: { pod_name: 'ledger', claims_per_minute: 1_000 } },
  })
  for (const name of ['reviewer', 'committer', 'strict', 'lead']) await vestry.addAgent(name)
})
afterAll(() => vestry?.stop())

interface AgentProcess {
  readonly child: ChildProcess
  /** One request on the identity socket, on a connection of its own. */
  identity(request: Message): Promise<Message>
  /** Sends an event; `name` finds it in the log. */
  event(name: string, changes?: Message): Promise<AuditRecord>
  /** What its child sends. */
  childEvent(name: string): Promise<AuditRecord>
  end(): Promise<void>
}

/** A process that does on its standard input what it is told. */
function agent(options: { uid?: number; gid?: number; detached?: boolean } = {}): AgentProcess {
  const { home } = vestry
  const child = spawn(process.execPath, [AGENT], {
    ...options,
    cwd: '/',
    env: {
      QUEUE: join(home.podSockets, 'queue.sock'),
      IDENTITY: join(home.podSockets, 'identity.sock'),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const tell = async (order: Message): Promise<Message> => {
    child.stdin.write(`${JSON.stringify(order)}\n`)
    const { value, done } = await answers.next()
    if (done === true) throw new Error('the agent process has ended')
    return JSON.parse(value) as Message
  }
  const sent = async (order: string, name: string, changes: Message = {}) => {
    const { payload, ...more } = changes
    const line = envelope({
      payload: { ...(payload as Message), fn: name, op: 'step' },
      ...more,
    })
    await tell({ order, line })
    const endsAt = performance.now() + 20_000
    for (;;) {
      const found = records(vestry, 'agent_event').find((record) => fnOf(record) === name)
      if (found !== undefined) return found
      if (performance.now() > endsAt) throw new Error(`${name} is not in the log`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return {
    child,
    identity: (request) => tell({ order: 'identity', line: request }),
    event: (name, changes) => sent('event', name, changes),
    childEvent: (name) => sent('child', name),
    end: async () => {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}

function fnOf({ event }: AuditRecord): unknown {
  return (event?.['payload'] as Message | undefined)?.['fn']
}

/** What the log says of the sender. */
function speaker(record: AuditRecord) {
  const { subject, envpod } = record.event as { subject: Message; envpod: Message }
  return { agent: record.agent, agent_id: subject['agent_id'], envpod }
}

const claimIdOf = ({ claim }: Message): string => String((claim as Message)['claim_id'])

let count = 0
const unique = (name: string): string => {
  count += 1
  return `${name}${count}`
}

/** Waits for what is noticed within a second. */
async function endOf(action: string, claimId: string): Promise<AuditRecord> {
  const endsAt = performance.now() + 20_000
  for (;;) {
    const found = records(vestry, action).find(({ data }) => data?.['claim_id'] === claimId)
    if (found !== undefined) return found
    if (performance.now() > endsAt) throw new Error(`no ${action} of ${claimId}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe.runIf(process.platform === 'linux')('identity', () => {
  test('telemetry §16.27: the line after a claim is the agent’s, the one after its release is nobody’s, all on one connection', async () => {
    const process_ = agent()
    const before = await process_.event(unique('before'))
    expect(speaker(before)).toMatchObject({
      agent: undefined,
      agent_id: '',
      envpod: { claim_kind: 'anonymous', pid: process_.child.pid },
    })
    const granted = await process_.identity({ type: 'claim', agent: 'reviewer', id: 'x' })
    expect(granted).toMatchObject({ ok: true, id: 'x', claim: { agent_id: 'reviewer' } })
    const id = claimIdOf(granted)
    const after = speaker(await process_.event(unique('after')))
    expect(after).toMatchObject({
      agent: 'reviewer',
      agent_id: 'reviewer',
      envpod: { claim_kind: 'claimed', agent_claim_id: id, pid: process_.child.pid },
    })
    const who = await process_.identity({ type: 'whoami' })
    for (const member of ['claim_kind', 'agent_claim_id', 'session', 'agent_uuid', 'pod_id'])
      expect(who[member], member).toEqual(after.envpod[member])
    expect(await process_.identity({ type: 'release' })).toMatchObject({ released: id })
    expect(speaker(await process_.event(unique('released')))).toMatchObject({
      agent: undefined,
      agent_id: '',
      envpod: { claim_kind: 'anonymous' },
    })
    expect((await endOf('identity_release', id)).pid).toBe(process_.child.pid)
  })

  test('telemetry §16.27: a claim that has expired counts for the next line no more', async () => {
    const process_ = agent()
    const granted = await process_.identity({ type: 'claim', agent: 'reviewer', ttl_secs: 1 })
    expect(speaker(await process_.event(unique('live'))).agent).toBe('reviewer')
    await endOf('identity_expire', claimIdOf(granted))
    expect(speaker(await process_.event(unique('expired'))).agent).toBeUndefined()
  })

  test('telemetry §16.27: a claim ends with its process, and the agent can be claimed anew', async () => {
    const first = agent()
    const granted = await first.identity({ type: 'claim', agent: 'reviewer' })
    await first.end()
    const second = agent()
    expect(await second.identity({ type: 'claim', agent: 'reviewer' })).toMatchObject({ ok: true })
    const ended = await endOf('identity_exit', claimIdOf(granted))
    expect(ended).toMatchObject({ pid: first.child.pid, agent: 'reviewer', success: true })
  })

  test.skipIf(!canChooseNumbers())(
    'telemetry §16.28: the next process that gets the number is not the agent',
    async ({ skip }) => {
      const first = agent()
      const granted = await first.identity({ type: 'claim', agent: 'reviewer' })
      await first.end()
      const second = agentWithNumber(Number(first.child.pid))
      if (second === undefined) return skip('somebody else took the number each time')
      const who = await second.identity({ type: 'whoami' })
      expect(who).toMatchObject({ claim_kind: 'anonymous', pid: first.child.pid })
      expect(speaker(await second.event(unique('reused')))).toMatchObject({
        agent: undefined,
        envpod: { claim_kind: 'anonymous', pid: first.child.pid },
      })
      await endOf('identity_exit', claimIdOf(granted))
    },
  )

  test('telemetry §16.28: a child is anonymous, unless the claim is for the tree', async () => {
    const set = (scope: 'process' | 'tree') =>
      vestry.admin.call('admin.agent.set_claim_terms', { name: 'lead', scope_allowed: scope })
    const process_ = agent()
    const ask = (scope: string) =>
      process_.identity({ type: 'claim', agent: 'lead', scope, replace: true })
    expect(await ask('tree')).toMatchObject({ ok: false, error: 'not_permitted' })
    await ask('process')
    expect(speaker(await process_.childEvent(unique('child'))).agent).toBeUndefined()
    await set('tree')
    const granted = await ask('tree')
    const inherited = await process_.childEvent(unique('child'))
    expect(speaker(inherited)).toMatchObject({
      agent: 'lead',
      envpod: { agent_claim_id: claimIdOf(granted) },
    })
    expect(inherited.pid).not.toBe(process_.child.pid)
    // Terms that allow less end what is held under them.
    await set('process')
    expect(speaker(await process_.event(unique('own'))).agent).toBeUndefined()
  })

  test('telemetry §16.26: what a process writes about who it is, is not believed', async () => {
    const process_ = agent()
    const forged = {
      subject: {
        agent_id: 'owner',
        agent_role: 'boss',
        framework: 'x',
        framework_version: '1',
      },
      envpod: { claim_kind: 'claimed', agent_claim_id: 'jti_0', pid: 1, uid: 0 },
    }
    const anonymous = speaker(await process_.event(unique('forged'), forged))
    expect(anonymous).toMatchObject({
      agent: undefined,
      agent_id: '',
      envpod: { claim_kind: 'anonymous', pid: process_.child.pid, uid: process.getuid?.() },
    })
    expect(anonymous.envpod['overwrote']).toEqual(
      expect.arrayContaining(['subject.agent_id', 'subject.agent_role', 'envpod.claim_kind']),
    )
    await process_.identity({ type: 'claim', agent: 'committer' })
    const claimed = speaker(await process_.event(unique('forged'), forged))
    expect(claimed).toMatchObject({ agent: 'committer', agent_id: 'committer' })
    expect(claimed.envpod['overwrote']).toEqual(expect.arrayContaining(['subject.agent_id']))
  })

  test('telemetry §16.29: each refusal has its code and its record', async () => {
    const process_ = agent()
    const refused = async (request: Message, code: string) => {
      const before = records(vestry, 'identity_reject').length
      expect(await process_.identity(request)).toMatchObject({ ok: false, error: code })
      const all = await recordsOnce(vestry, 'identity_reject', before + 1)
      expect(all.at(-1)).toMatchObject({
        success: false,
        pid: process_.child.pid,
        source: 'identity',
        data: { code, exe: process.execPath, exe_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      })
    }
    const claim = { type: 'claim', agent: 'strict' }
    await refused({ ...claim, agent: 'nobody' }, 'unknown_agent')
    await refused({ ...claim, ttl_secs: 3_601 }, 'ttl_out_of_range')
    await refused({ ...claim, capabilities: ['fly'] }, 'capability_not_granted')
    await refused({ type: 'renew' }, 'not_claimed')
    const terms = (change: Message) =>
      vestry.admin.call('admin.agent.set_claim_terms', { name: 'strict', ...change })
    await terms({ require_token: true })
    await refused(claim, 'token_required')
    await refused({ ...claim, token: 'x.y.z' }, 'token_invalid')
    const { token } = await vestry.admin.call('admin.token.pod', {
      agent: 'strict',
    })
    await terms({ exe_sha256: ['0'.repeat(64)] })
    await refused({ ...claim, token }, 'not_permitted')
    await terms({ exe_sha256: null, uids: [1] })
    await refused({ ...claim, token }, 'not_permitted')
    await terms({ uids: null })
    expect(await process_.identity({ ...claim, token })).toMatchObject({ ok: true })
    await refused({ ...claim, token }, 'already_claimed')
    const second = agent()
    expect(await second.identity({ ...claim, token })).toMatchObject({ error: 'claim_limit' })
    expect(JSON.stringify(vestry.auditLines())).not.toContain(token)
  })

  test.runIf(canBeSomebodyElse())(
    'telemetry §16.29: a process of another user is not the agent, and its events say whose they are',
    async () => {
      const process_ = agent({ uid: 65_534, gid: 65_534 })
      await opened(vestry)
      expect(await process_.identity({ type: 'claim', agent: 'reviewer' })).toMatchObject({
        error: 'not_permitted',
      })
      const { envpod } = speaker(await process_.event(unique('other')))
      expect(envpod).toMatchObject({ uid: 65_534, claim_kind: 'anonymous' })
    },
  )

  test('telemetry §16.32: the fingerprint of a session leader and of another process', async () => {
    for (const detached of [true, false]) {
      const process_ = agent({ detached })
      const { envpod } = speaker(await process_.event(unique('fingerprint')))
      const stat = readFileSync(`/proc/${process_.child.pid}/stat`, 'latin1')
      const session = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]
      expect(session === String(process_.child.pid)).toBe(detached)
      const uid = process.getuid?.()
      expect(envpod['anonymous']).toMatchObject({
        session: `sess_${session}`,
        fingerprint: `anon_pid${process_.child.pid}_uid${uid}_sesssess_${session}`,
      })
    }
  })

  test('an operator sees claims and ends them; so does the end of the agent', async () => {
    const process_ = agent()
    await vestry.addAgent('short')
    const granted = await process_.identity({ type: 'claim', agent: 'short' })
    const id = claimIdOf(granted)
    const { claims } = await vestry.admin.call('admin.claim.list', {
      agent: 'short',
    })
    expect(claims).toEqual([
      expect.objectContaining({ claim_id: id, agent: 'short', pid: process_.child.pid }),
    ])
    expect(await vestry.admin.call('admin.claim.revoke', { id })).toEqual({ revoked: 1 })
    expect(speaker(await process_.event(unique('revoked'))).agent).toBeUndefined()
    await expect(vestry.admin.call('admin.claim.revoke', { id })).rejects.toThrow('NOT_FOUND')
    expect(await endOf('identity_release', id)).toMatchObject({ actor: 'operator:owner' })

    await process_.identity({ type: 'claim', agent: 'short' })
    expect(speaker(await process_.event(unique('again'))).agent).toBe('short')
    await vestry.admin.call('admin.agent.revoke', { name: 'short' })
    expect(speaker(await process_.event(unique('ended'))).agent).toBeUndefined()
  })

  test('while sealed what was claimed counts, nothing new is claimed, and who asks is told', async () => {
    const process_ = agent()
    const other = agent()
    await process_.identity({ type: 'claim', agent: 'reviewer' })
    await vestry.seal()
    expect(await other.identity({ type: 'claim', agent: 'committer' })).toMatchObject({
      ok: false,
      error: 'unavailable',
      message: expect.stringContaining('sealed'),
    })
    expect(await process_.identity({ type: 'whoami' })).toMatchObject({ claim_kind: 'claimed' })
    expect(await other.identity({ type: 'whoami' })).toMatchObject({ claim_kind: 'anonymous' })
    expect(speaker(await process_.event(unique('sealed'))).agent).toBe('reviewer')
    await vestry.unseal()
    expect(speaker(await process_.event(unique('unsealed'))).agent).toBe('reviewer')
    expect(await process_.identity({ type: 'release' })).toMatchObject({ ok: true })
  })

  test('a claim outlives a restart of the daemon', async () => {
    const process_ = agent()
    const granted = await process_.identity({ type: 'claim', agent: 'reviewer' })
    await vestry.restart()
    expect(await process_.identity({ type: 'whoami' })).toMatchObject({
      claim_kind: 'claimed',
      agent_claim_id: claimIdOf(granted),
    })
  })

  test('telemetry §16.27: the example’s events are the agent’s after its client was closed', async () => {
    const { home, daemon } = vestry
    const child = spawn(process.execPath, ['--conditions=source', EXAMPLE], {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
        ENVPOD_POD_ID: daemon.ready.pod_id,
        ENVPOD_SOCKET: home.queueSocket,
        ENVPOD_IDENTITY_SOCKET: home.identitySocket,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const text = await child.stdout.toArray()
    const { claimId, review } = JSON.parse(Buffer.concat(text).toString()) as Message
    expect(review).toBe('2 lines, none of them wrong')
    const events = records(vestry, 'agent_event').filter((record) => fnOf(record) === 'review')
    expect(events.map(({ event }) => event?.['kind'])).toEqual([
      'agent.llm.request',
      'agent.llm.response',
    ])
    for (const event of events)
      expect(speaker(event)).toMatchObject({
        agent: 'reviewer',
        agent_id: 'reviewer',
        envpod: { claim_kind: 'claimed', agent_claim_id: claimId, pid: child.pid },
      })
  })
})

const LAST_NUMBER = '/proc/sys/kernel/ns_last_pid'

/** Where the kernel can be told which number the next process gets. */
function canChooseNumbers(): boolean {
  try {
    accessSync(LAST_NUMBER, constants.W_OK)
    return process.getuid?.() === 0
  } catch {
    return false
  }
}

/** @returns undefined when others start processes all the time. */
function agentWithNumber(pid: number): AgentProcess | undefined {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    writeFileSync(LAST_NUMBER, String(pid - 1))
    const started = agent()
    if (started.child.pid === pid) return started
    started.child.kill('SIGKILL')
  }
  return undefined
}

/** Root alone can be, and that one must reach Node and the program. */
function canBeSomebodyElse(): boolean {
  if (process.getuid?.() !== 0) return false
  const options = { uid: 65_534, gid: 65_534, cwd: '/', env: {} }
  return spawnSync(process.execPath, ['--check', AGENT], options).status === 0
}

/** The home is closed to everybody else; a sandbox shows the directory of these sockets without what is around it. */
async function opened({ home }: TestDaemon): Promise<void> {
  for (const path of [home.run, home.dir]) {
    const { mode } = statSync(path)
    chmodSync(path, 0o711)
    onTestFinished(() => chmodSync(path, mode & 0o777))
  }
  expect(statSync(dirname(join(home.podSockets, 'x'))).mode & 0o777).toBe(0o755)
}
