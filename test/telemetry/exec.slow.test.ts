/** Agents in the sandbox say who they are: the kernel tells of them and of nobody between. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { findProgram } from '../../packages/server/src/exec/program-path.ts'
import { agentUid } from '../../packages/server/src/exec/uid.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'
import { records } from './queue-client.ts'

type Message = Record<string, unknown>

const ROOT = join(import.meta.dirname, '../..')
const MAIN = join(ROOT, 'packages/server/src/cli/main.ts')
const EXAMPLE = join(ROOT, 'examples/telemetry/claim.ts')
const PATH = process.env['PATH'] ?? ''
const own = process.getuid?.() ?? 0

/** Why it cannot be tried here; undefined when it can. */
function impossible(kind: 'bubblewrap' | 'namespace'): string | undefined {
  const program = kind === 'bubblewrap' ? 'bwrap' : 'unshare'
  if (findProgram(program, PATH) === undefined) return `${kind} is not installed`
  const args =
    kind === 'bubblewrap'
      ? ['--ro-bind', '/', '/', '--unshare-net', ...(own === 0 ? [] : ['--unshare-user'])]
      : [...(own === 0 ? [] : ['--user', '--map-current-user']), '--net']
  if (spawnSync(program, [...args, '/bin/true']).status !== 0) return `${kind} does not work here`
  if (own !== 0) return undefined
  for (let at = dirname(EXAMPLE); at !== dirname(at); at = dirname(at))
    if ((statSync(at).mode & 0o001) === 0) return `${at} is closed to other users`
  return undefined
}

let vestry: TestDaemon
beforeAll(async () => {
  vestry = await startTestDaemon({ config: { telemetry: { pod_name: 'ledger' } } })
  await vestry.addAgent('reviewer')
})
afterAll(() => vestry?.stop())

const exec = (...args: string[]) => execIn(vestry.home.dir, ...args)

async function execIn(home: string, ...args: string[]) {
  const child = spawn(
    process.execPath,
    ['--conditions=source', MAIN, 'exec', '--home', home, ...args],
    { env: { PATH, HOME: '/nonexistent' }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  onTestFinished(() => void child.kill('SIGKILL'))
  const ended = once(child, 'close')
  const [out, err] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()])
  const [code] = (await ended) as [number | null]
  return {
    pid: child.pid,
    code,
    out: Buffer.concat(out).toString(),
    err: Buffer.concat(err).toString(),
  }
}

const envpodOf = (event: Message | undefined): Message => (event?.['envpod'] ?? {}) as Message

const node = [process.execPath, '--conditions=source']
const uidOf = (agent: string) => agentUid(own, agent, undefined) ?? own

describe.skipIf(impossible('bubblewrap') !== undefined)(
  `bubblewrap${impossible('bubblewrap') ? ` (${impossible('bubblewrap')})` : ''}`,
  () => {
    test('telemetry §16.27: what claims in there is the agent’s own process, and its events are the agent’s', async () => {
      const { out, err, code, pid } = await exec(
        ...['--agent', 'reviewer', '--sandbox', 'bubblewrap', '--', ...node, EXAMPLE],
      )
      expect([code, err]).toEqual([0, ''])
      const { claimId } = JSON.parse(out) as { claimId: string }
      const [claim] = records(vestry, 'identity_claim').filter(
        ({ data }) => data?.['claim_id'] === claimId,
      )
      expect(claim).toMatchObject({
        agent: 'reviewer',
        uid: uidOf('reviewer'),
        data: { exe: process.execPath, exe_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      })
      expect(claim?.pid).not.toBe(pid)
      const events = records(vestry, 'agent_event').filter(
        ({ event }) => envpodOf(event)['agent_claim_id'] === claimId,
      )
      expect(events).toHaveLength(2)
      for (const { event, agent, pid: sender } of events) {
        expect([agent, sender]).toEqual(['reviewer', claim?.pid])
        expect(event?.['envpod']).toMatchObject({
          claim_kind: 'claimed',
          uid: uidOf('reviewer'),
          // In its own namespace it has a small number of its own.
          ns_pid: expect.any(Number),
        })
      }
      const [start] = records(vestry, 'start').filter(({ pid: of }) => of === claim?.pid)
      expect(start).toMatchObject({
        source: 'pod',
        actor: 'operator:owner',
        agent: 'reviewer',
        uid: uidOf('reviewer'),
        data: { command: 'node' },
      })
      const [stop] = records(vestry, 'stop').filter(({ pid: of }) => of === claim?.pid)
      expect(stop).toMatchObject({ success: true, data: { command: 'node', exit_code: 0 } })
      expect(records(vestry, 'identity_exit').length).toBeLessThanOrEqual(1)
    })

    test('it is told who it is, sees two sockets and no others of the daemon', async () => {
      const { out, err, code } = await exec(
        ...['--agent', 'reviewer', '--sandbox', 'bubblewrap', '--'],
        ...['/bin/sh', '-c', 'env | grep ^ENVPOD_ | sort; ls /run /run/envpod'],
      )
      expect([code, err]).toEqual([0, ''])
      const { pod_id } = vestry.daemon.ready
      const { pod_public_key } = await vestry.admin.call('admin.exec.begin', {
        agent: 'reviewer',
        command: 'x',
        uid: own,
      })
      const lines = out.trim().split('\n')
      expect(lines.filter((line) => line.startsWith('ENVPOD_'))).toEqual([
        'ENVPOD_AGENT_ID=reviewer',
        'ENVPOD_AGENT_NAME=reviewer',
        'ENVPOD_AGENT_ROLE=agent',
        'ENVPOD_IDENTITY_SOCKET=/run/envpod/identity.sock',
        `ENVPOD_POD_ID=${pod_id}`,
        'ENVPOD_POD_NAME=ledger',
        `ENVPOD_POD_PUBLIC_KEY=${pod_public_key}`,
        'ENVPOD_SOCKET=/run/envpod/queue.sock',
      ])
      expect(lines.filter((line) => !line.startsWith('ENVPOD_'))).toEqual([
        ...['/run:', 'envpod', 'vestry', '', '/run/envpod:', 'identity.sock', 'queue.sock'],
      ])
    })

    test('an agent that is claimed with a token is given it, and it is in no record', async () => {
      await vestry.addAgent('strict')
      await vestry.admin.call('admin.agent.set_claim_terms', {
        name: 'strict',
        require_token: true,
      })
      const script = `
        import { InPodClient } from ${JSON.stringify(join(ROOT, 'packages/sdk/src/pod/index.ts'))}
        const pod = new InPodClient()
        const { agent_id } = await pod.claim(process.env.ENVPOD_AGENT_NAME)
        console.log(agent_id, process.env.ENVPOD_AGENT_TOKEN)`
      const { out, err, code } = await exec(
        ...['--agent', 'strict', '--sandbox', 'bubblewrap', '--'],
        ...[...node, '--input-type=module', '-e', script],
      )
      expect([code, err]).toEqual([0, ''])
      const [name, token = ''] = out.trim().split(' ')
      expect(name).toBe('strict')
      expect(token.split('.')).toHaveLength(3)
      expect(vestry.auditLines().join('\n')).not.toContain(token)
    })

    test('one agent’s process is not another agent', async () => {
      const script = `
        import { InPodClient } from ${JSON.stringify(join(ROOT, 'packages/sdk/src/pod/index.ts'))}
        console.log(await new InPodClient().claim('reviewer').catch(({ code }) => code))`
      await vestry.addAgent('intruder')
      const { out, code } = await exec(
        ...['--agent', 'intruder', '--sandbox', 'bubblewrap', '--'],
        ...[...node, '--input-type=module', '-e', script],
      )
      expect(code).toBe(0)
      // The user of the daemon may claim every agent that says nothing else.
      expect(out.trim()).toBe(own === 0 ? 'not_permitted' : expect.stringContaining('claim_id'))
    })

    test('a daemon that was started anew is reached again', async () => {
      const script = `
        import { InPodClient } from ${JSON.stringify(join(ROOT, 'packages/sdk/src/pod/index.ts'))}
        const pod = new InPodClient({ timeoutMs: 2_000 })
        const { claim_id } = await pod.claim('reviewer')
        console.log(claim_id)
        for await (const _ of process.stdin) break
        console.log((await pod.whoami()).agent_claim_id)
        process.exit()`
      const child = spawn(
        process.execPath,
        [
          ...['--conditions=source', MAIN, 'exec', '--home', vestry.home.dir],
          ...['--agent', 'reviewer', '--sandbox', 'bubblewrap', '--'],
          ...[...node, '--input-type=module', '-e', script],
        ],
        { env: { PATH, HOME: '/nonexistent' }, stdio: ['pipe', 'pipe', 'inherit'] },
      )
      onTestFinished(() => void child.kill('SIGKILL'))
      const ended = once(child, 'close')
      let out = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text
      })
      await expect.poll(() => out, { timeout: 30_000 }).toContain('jti_')
      await vestry.restart()
      child.stdin.end('go\n')
      await ended
      const [claimed, found] = out.trim().split('\n')
      expect(found).toBe(claimed)
    })
  },
)

const kinds = (['bubblewrap', 'namespace'] as const).filter((kind) => !impossible(kind))

describe.skipIf(kinds.length === 0)('in any sandbox', () => {
  test('one whose starter is killed has an end in the record, too', async () => {
    const child = spawn(
      process.execPath,
      [
        ...['--conditions=source', MAIN, 'exec', '--home', vestry.home.dir],
        ...['--agent', 'reviewer', '--', '/bin/sh', '-c', 'sleep 600'],
      ],
      { env: { PATH, HOME: '/nonexistent' }, stdio: 'ignore' },
    )
    onTestFinished(() => void child.kill('SIGKILL'))
    const begun = records(vestry, 'start').length
    await expect
      .poll(() => records(vestry, 'start').length, { timeout: 30_000 })
      .toBeGreaterThan(begun)
    const [start] = records(vestry, 'start').slice(-1)
    child.kill('SIGKILL')
    const stops = () => records(vestry, 'stop').filter(({ pid }) => pid === start?.pid)
    await expect.poll(stops, { timeout: 60_000, interval: 500 }).toHaveLength(1)
    expect(stops()[0]).toMatchObject({
      actor: 'system',
      agent: 'reviewer',
      success: false,
      data: { command: 'sh', exit_code: null },
    })
  })

  test('whoever may only read the record can write nothing about processes into it', async () => {
    const eve = newAgentKeys('eve')
    await vestry.admin.call('admin.operator.add', {
      ...{ name: eve.name, role: 'auditor', public_key: eve.publicKeyHex },
    })
    const auditor = await RawClient.connect({ path: vestry.home.adminSocket })
    onTestFinished(() => auditor.destroy())
    await auditor.login({ name: eve.name, seed: eve.seed }, 'operator_name')
    const facts = { agent: 'reviewer', command: 'sh', uid: own, pid: process.pid }
    for (const [verb, more] of [
      ['started', {}],
      ['ended', { exit_code: 0, duration_ms: 1 }],
    ] as const) {
      await expect(auditor.call(`admin.exec.${verb}`, { ...facts, ...more })).rejects.toMatchObject(
        {
          code: 'ACCESS_DENIED',
        },
      )
    }
    for (const action of ['start', 'stop'])
      expect(records(vestry, action).filter(({ pid }) => pid === process.pid)).toEqual([])
  })

  test('where telemetry is off it is told of no sockets', async () => {
    await using quiet = await startTestDaemon({ config: { telemetry: { pod_name: 'quiet' } } })
    await quiet.addAgent('reviewer')
    await quiet.restart({ telemetry: { enabled: false } })
    const { out, code } = await execIn(
      quiet.home.dir,
      ...['--agent', 'reviewer', '--', '/bin/sh', '-c', 'env | grep ^ENVPOD_; true'],
    )
    expect(code).toBe(0)
    expect(out).toContain('ENVPOD_AGENT_NAME=reviewer')
    expect(out).not.toContain('SOCKET')
  })
})

describe.skipIf(impossible('namespace') !== undefined)(
  `namespace${impossible('namespace') ? ` (${impossible('namespace')})` : ''}`,
  () => {
    test('a user of its own has no way to the sockets, and is told so; the same user has', async () => {
      const { out, err, code } = await exec(
        ...['--agent', 'reviewer', '--sandbox', 'namespace', '--'],
        ...['/bin/sh', '-c', 'env | grep ^ENVPOD_ | sort'],
      )
      expect(code).toBe(0)
      expect(out).toContain('ENVPOD_AGENT_NAME=reviewer')
      if (own === 0) {
        expect(out).not.toMatch(/ENVPOD_(?:IDENTITY_)?SOCKET/)
        expect(err).toContain('can claim nothing and sends no events')
      } else {
        expect(out).toContain(`ENVPOD_IDENTITY_SOCKET=${vestry.home.podSockets}/identity.sock`)
      }
      const [start] = records(vestry, 'start').slice(-1)
      expect(start).toMatchObject({ agent: 'reviewer', data: { command: 'sh' } })
    })
  },
)
