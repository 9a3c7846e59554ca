/** `vestry exec` and `vestry forward` as people start them: real processes, a real daemon, agents of both SDKs. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { findProgram } from '../../packages/server/src/exec/program-path.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../harness/fake-providers.ts'
import { type AgentRun, RUNNER, watched } from '../old-clients/sage/sage-process.ts'
import { repository } from '../old-clients/sage/sage-world.ts'

const MAIN = join(import.meta.dirname, '../../packages/server/src/cli/main.ts')
const AGENT = join(import.meta.dirname, 'one-question-agent.ts')
const SDK = join(import.meta.dirname, '../../packages/sdk/src/agent/index.ts')
const PATH = process.env['PATH'] ?? ''
const PYTHON = ['/usr/bin/python3', '/usr/local/bin/python3'].find(
  (file) => existsSync(file) && spawnSync(file, ['-c', '']).status === 0,
)

/** Why exec cannot be tried here; undefined when it can. */
const impossible = ((): string | undefined => {
  if (findProgram('bwrap', PATH) === undefined) return 'bubblewrap is not installed'
  const isRoot = process.getuid?.() === 0
  const args = ['--ro-bind', '/', '/', '--unshare-net', ...(isRoot ? [] : ['--unshare-user'])]
  if (spawnSync('bwrap', [...args, '/bin/true']).status !== 0)
    return 'bubblewrap does not work here'
  if (!isRoot) return undefined
  // Root's agents are another user, who has to find its programs.
  for (const path of [process.execPath, AGENT, RUNNER, SDK]) {
    if ((statSync(path).mode & 0o004) === 0) return `${path} is closed to other users`
    for (let at = dirname(path); at !== dirname(at); at = dirname(at))
      if ((statSync(at).mode & 0o001) === 0) return `${at} is closed to other users`
  }
  return undefined
})()

let vestry: TestDaemon
let providers: FakeProviders
beforeAll(async () => {
  providers = await startFakeProviders()
  vestry = await startTestDaemon({
    config: {
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      llm: { providers: { openai: { base_url: providers.openai.url } } },
    },
  })
  await vestry.addCredential('llm/openai', FAKE_KEYS.openai)
  await vestry.addAgent('scanner')
})
afterAll(async () => {
  await providers?.close()
  await vestry?.stop()
})

async function newRun(): Promise<Record<string, string>> {
  const { env } = await vestry.admin.call('admin.run.register', {
    agent: 'scanner',
    org_id: '90210',
    allowed_models: {
      analysis: ['openai:gpt-4o'],
      embeddings: ['openai:text-embedding-3-small'],
    },
  })
  return env as Record<string, string>
}

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'exec-'))
  chmodSync(dir, 0o755) // for the user that root's agents are
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

function vestryProcess(args: readonly string[], env: Record<string, string> = {}): AgentRun {
  const child = spawn(process.execPath, ['--conditions=source', MAIN, ...args], {
    env: { PATH, HOME: '/nonexistent', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return watched(child)
}

const exec = (...args: string[]): AgentRun =>
  vestryProcess(['exec', '--home', vestry.home.dir, ...args])

const report = (env: Record<string, string>) =>
  JSON.parse(readFileSync(join(env['OUTPUT_PATH'] ?? '', 'results.sarif'), 'utf8'))

describe.skipIf(impossible !== undefined)(`exec${impossible ? ` (${impossible})` : ''}`, () => {
  test('sage §21.9: an agent of ours works where every other socket is refused', async () => {
    providers.openai.script({ text: 'Yes.' }, { text: 'Quite sure.' })
    const env = await newRun()
    const repo = repository(directory(), { 'app.py': 'x = 1\n' })
    const { ended } = exec(
      ...['--run', env['RUN_ID'] ?? '', '--repo', repo, '--sandbox', 'bubblewrap', '--'],
      ...[process.execPath, '--conditions=source', AGENT],
    )
    const { code, stdout, stderr } = await ended
    expect([code, stdout], stderr).toEqual([0, ''])
    expect(report(env).runs[0].results[0].message.text).toBe('Yes. Quite sure. 3')
  })

  test.skipIf(PYTHON === undefined)('an agent of the Python SDK works there too', async () => {
    providers.openai.script({ text: 'Two findings.' })
    const env = await newRun()
    const repo = repository(directory(), { 'app.py': 'x = 1\n' })
    const { ended } = exec(
      ...['--agent', 'scanner', '--run', env['RUN_ID'] ?? '', '--repo', repo, '--'],
      ...[PYTHON ?? '', RUNNER, 'scan'],
    )
    const { code, stderr } = await ended
    expect(code, stderr).toBe(0)
    expect(report(env).runs[0].results[0].message.text).toBe('Two findings.')
  })

  test.skipIf(PYTHON === undefined)('the exit code and the signal are the agent’s', async () => {
    const env = await newRun()
    const base = ['--run', env['RUN_ID'] ?? '', '--repo', directory(), '--', PYTHON ?? '', RUNNER]
    expect((await exec(...base, 'findings').ended).code).toBe(3)
    const waiting = exec(...base, 'wait')
    await waiting.logged('waiting')
    waiting.child.kill('SIGTERM')
    expect((await waiting.ended).code).toBe(130)
  })

  test('an agent with one open run gets that run, and one with none its pod alone', async () => {
    await vestry.addAgent('single')
    const show = ['--', '/usr/bin/env']
    const bare = await exec('--agent', 'single', '--pod', 'pod-7', ...show).ended
    expect(bare.stdout).toContain('ENVPOD_AGENT_ID=single')
    expect(bare.stdout).toContain('ENVPOD_POD_NAME=pod-7')
    expect(bare.stdout).not.toContain('RUN_ID=')
    const register = () => vestry.admin.call('admin.run.register', { agent: 'single', org_id: '1' })
    const { run_id } = await register()
    const one = await exec('--agent', 'single', ...show).ended
    expect(one.stdout).toContain(`RUN_ID=${run_id}`)
    expect(one.stdout).toContain('WORK_DIR=/run/vestry/work')
    await register()
    const two = await exec('--agent', 'single', ...show).ended
    expect([two.code, two.stdout]).toEqual([2, ''])
    expect(two.stderr).toContain('--run')
  })

  test('a closed run starts nothing', async () => {
    const env = await newRun()
    await vestry.admin.call('admin.run.close', { id: env['RUN_ID'] })
    const { code, stderr } = await exec('--run', env['RUN_ID'] ?? '', '--', '/bin/true').ended
    expect(code).toBe(1)
    expect(stderr).toMatch(/RUN_CLOSED/)
  })
})

test('exec without a daemon ends in 4, and without a run or an agent in 2', async () => {
  const away = await vestryProcess(['exec', '--home', directory(), '--run', 'r', '--', 'true'])
    .ended
  expect(away.code).toBe(4)
  expect((await exec('--', 'true').ended).code).toBe(2)
})

describe('forward', () => {
  test('a forwarder in front of the daemon needs no home, and ends in good order', async () => {
    const socket = join(directory(), 'llm.sock')
    const to = new URL(vestry.daemon.ready.http).host
    const run = vestryProcess(['forward', '--listen', socket, '--to', to])
    if (run.child.stdout !== null) await once(run.child.stdout, 'data') // its ready line
    const answer = await asked(
      socket,
      'GET /health HTTP/1.1\r\nHost: gateway.local\r\nConnection: close\r\n\r\n',
    )
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    run.child.kill('SIGTERM')
    const { code, stdout } = await run.ended
    expect(code).toBe(0)
    expect(stdout).toContain(`ready  ${socket}`)
    expect(existsSync(socket)).toBe(false)
  })

  test('a forwarder that was given a key does not start', async () => {
    const args = ['forward', '--listen', join(directory(), 's'), '--to', '127.0.0.1:9']
    const { code, stderr } = await vestryProcess(args, { OPENAI_API_KEY: 'sk-marker' }).ended
    expect(code).toBe(1)
    expect(stderr).toContain('OPENAI_API_KEY')
    expect(stderr).not.toContain('sk-marker')
  })

  test('a forwarder whose gateway is away answers for it', async () => {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    server.close()
    const place = directory()
    mkdirSync(join(place, 'run'))
    const socket = join(place, 'run', 'llm.sock')
    const run = vestryProcess(['forward', '--listen', socket, '--to', `http://127.0.0.1:${port}`])
    if (run.child.stdout !== null) await once(run.child.stdout, 'data') // its ready line
    expect(await asked(socket, 'GET /trat HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 503 /)
    run.child.kill('SIGTERM')
    expect((await run.ended).stderr).toContain('cannot be reached')
  })
})

async function asked(socket: string, request: string): Promise<string> {
  const { connect } = await import('node:net')
  const { text } = await import('node:stream/consumers')
  const client = connect({ path: socket })
  client.write(request)
  return text(client)
}
