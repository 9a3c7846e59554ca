/** What mostly waits: patience, pauses, daemons that are killed, and servers that other people wrote. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BY_ITSELF } from './connect/process-record.ts'
import { commandOf, type TestHub, testHub } from './testing/hub.test-kit.ts'

const failing = (code: string, message = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(message) })
const MODULES = join(import.meta.dirname, '../../../../node_modules')
const KILLED_HUB = join(import.meta.dirname, 'testing/killed-hub.test-kit.ts')

const isRunning = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

describe('a server that does not behave', () => {
  let hub: TestHub
  beforeAll(async () => {
    hub = await testHub()
  })
  afterAll(() => hub[Symbol.asyncDispose]())

  test('runtime §20.17: one that hears neither the end of its input nor SIGTERM is killed with its children', async () => {
    await hub.connect('stubborn', { fault: 'stubborn' })
    const pid = hub.servers.server('stubborn')?.pid ?? 0
    const child = Number(await hub.call('stubborn', 'child', { detached: true, stubborn: true }))
    const startedMs = performance.now()
    await hub.servers.disconnect('stubborn', BY_ITSELF)
    // Five seconds of patience with the pipe, five after the signal.
    expect(performance.now() - startedMs).toBeGreaterThan(9_000)
    expect([pid, child].map(isRunning)).toEqual([false, false])
    expect(hub.servers.logs('stubborn')).toBe('')
  })

  test('runtime §20.17: one that never answers is connecting, and in error when its time is over', async () => {
    await hub.add({ name: 'silent', command: commandOf({ fault: 'hang' }), timeout_seconds: 1 })
    const early = await hub.servers.connect('silent', { waitMs: 300, cause: BY_ITSELF })
    expect(early.status).toBe('connecting')
    await expect
      .poll(() => hub.servers.server('silent'), { timeout: 10_000 })
      .toMatchObject({ status: 'error', lastError: 'was not ready within 1 s' })
    expect(isRunning(early.pid ?? 0)).toBe(false)
    await expect(
      hub.servers.connect('silent', { waitMs: 10_000, cause: BY_ITSELF }),
    ).rejects.toEqual(failing('MCP_TIMEOUT'))
  })

  test.each([
    ['writes one line without an end', { fault: 'long-line' }, '4194304 bytes'],
    ['talks of other things', { fault: 'stray' }, 'no messages'],
    ['sends a page again and again', { fault: 'same-cursor', pageSize: 2 }, 'again and again'],
    ['lists a schema with a key twice', { fault: 'twice-list' }, 'key twice'],
    ['lists too many tools', { extraTools: 5_000 }, 'more than 5000 tools'],
  ] as const)(
    'runtime §20.17: one that %s is in error, and says why',
    async (_, script, reason) => {
      await expect(hub.connect('faulty', script)).rejects.toEqual(failing('MCP_PROTOCOL_ERROR'))
      expect(hub.servers.server('faulty')).toMatchObject({
        status: 'error',
        lastError: expect.stringContaining(reason),
      })
    },
  )

  test('one that does not read is told so, and holds nothing up', async () => {
    await hub.add({ name: 'deaf', command: commandOf({ fault: 'deaf' }), timeout_seconds: 1 })
    await expect(hub.servers.connect('deaf', { waitMs: 10_000, cause: BY_ITSELF })).rejects.toEqual(
      failing('MCP_TIMEOUT'),
    )
  })

  test('one that talks without an end is ended', async () => {
    await hub.connect('chatter', { fault: 'chatter' }).catch(() => undefined)
    await expect
      .poll(() => hub.servers.server('chatter'), { timeout: 10_000 })
      .toMatchObject({ status: 'error', lastError: expect.stringContaining('nobody asked for') })
  })

  test('one that ends by itself comes back after a pause, if it is meant to', async () => {
    await hub.connect('restless', {}, { restart: true })
    const pid = hub.servers.server('restless')?.pid
    for (const _ of [1, 2]) {
      await hub.call('restless', 'crash').catch(() => undefined)
      expect(hub.servers.server('restless')?.status).toBe('error')
      await expect
        .poll(() => hub.servers.server('restless')?.status, { timeout: 10_000 })
        .toBe('connected')
    }
    expect(hub.servers.server('restless')?.pid).not.toBe(pid)
    await hub.servers.disconnect('restless', BY_ITSELF)
    expect(hub.servers.server('restless')?.status).toBe('disconnected')
  })

  test('two hundred calls over ten servers all come back', async () => {
    const names = Array.from({ length: 10 }, (_, at) => `many-${at}`)
    await Promise.all(names.map((name) => hub.connect(name)))
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, at) =>
        hub.call(`many-${at % 10}`, 'echo', { text: `${at}` }),
      ),
    )
    expect(answers).toEqual(Array.from({ length: 200 }, (_, at) => `${at}`))
    await Promise.all(names.map((name) => hub.servers.disconnect(name, BY_ITSELF)))
  })
})

describe('a daemon that is killed', () => {
  let dir: string
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'mcp-'))
  })
  afterAll(() => {
    for (const pid of started) if (isRunning(pid)) process.kill(pid, 'SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  const started: number[] = []

  /** @returns Pids of its servers and of what they started. */
  async function killed(): Promise<{ daemon: ChildProcess; pids: number[] }> {
    const daemon = spawn(process.execPath, ['--conditions=source', KILLED_HUB, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const told = once(daemon.stdout as NodeJS.ReadableStream, 'data')
    const over = once(daemon, 'exit').then(() => expect.unreachable('it ended by itself'))
    const [line] = (await Promise.race([told, over])) as [Buffer]
    const pids = JSON.parse(String(line)) as number[]
    started.push(...pids)
    return { daemon, pids }
  }

  test('runtime §20.17: nothing that it started outlives it by more than moments, wherever it went', async () => {
    const { daemon, pids } = await killed()
    expect(pids.map(isRunning)).toEqual([true, true, true])
    daemon.kill('SIGKILL')
    await expect.poll(() => pids.map(isRunning), { timeout: 15_000 }).toEqual([false, false, false])
  })

  test('and what should be left is ended by the next daemon of its home', async () => {
    const { daemon, pids } = await killed()
    // Its watcher, too: as when somebody kills by name.
    const watcher = readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number)
      .filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('vestry-mcp-watcher'))
    expect(watcher).toHaveLength(1)
    for (const pid of watcher) process.kill(pid, 'SIGKILL')
    daemon.kill('SIGKILL')
    await once(daemon, 'exit')
    // One of them notices nothing by itself.
    await expect.poll(() => pids.map(isRunning).includes(true)).toBe(true)
    await using next = await testHub({ dir })
    await expect.poll(() => pids.map(isRunning), { timeout: 10_000 }).toEqual([false, false, false])
    expect(next.notes.join()).toContain('had outlived their daemon')
  })
})

const everything = join(MODULES, '@modelcontextprotocol/server-everything/dist/index.js')
const filesystem = join(MODULES, '@modelcontextprotocol/server-filesystem/dist/index.js')
const absent = existsSync(everything) && existsSync(filesystem) ? '' : ' (not installed)'

describe.skipIf(absent !== '')(`servers that other people wrote${absent}`, () => {
  let hub: TestHub
  const children: ChildProcess[] = []
  beforeAll(async () => {
    hub = await testHub({ env: { OPENAI_API_KEY: 'sk-of-the-daemon' } })
  })
  afterAll(async () => {
    await hub[Symbol.asyncDispose]()
    for (const child of children) child.kill()
  })

  async function served(mode: string): Promise<number> {
    const free = createServer().listen(0, '127.0.0.1')
    await once(free, 'listening')
    const { port } = free.address() as { port: number }
    await new Promise((resolve) => free.close(resolve))
    const child = spawn(process.execPath, [everything, mode], {
      env: { ...process.env, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    children.push(child)
    await once(child.stderr as NodeJS.ReadableStream, 'data')
    return port
  }

  test('runtime §20.17: server-everything over stdio: tools, resources, prompts, calls', async () => {
    await hub.add({
      name: 'everything',
      command: [process.execPath, everything, 'stdio'],
      env: { A: 'b' },
    })
    const state = await hub.servers.connect('everything', { waitMs: 20_000, cause: BY_ITSELF })
    expect(state).toMatchObject({ status: 'connected', protocolVersion: '2025-11-25' })
    expect(state.toolsCount).toBeGreaterThan(5)
    expect(await hub.call('everything', 'echo', { message: 'hello' })).toContain('hello')
    await expect(hub.call('everything', 'echo', {})).rejects.toEqual(
      failing('INVALID_PARAMS', 'message'),
    )
    const environment = await hub.call('everything', 'get-env')
    expect(JSON.parse(environment)).toMatchObject({ A: 'b' })
    expect(environment).not.toContain('sk-of-the-daemon')
    const signal = AbortSignal.timeout(20_000)
    expect((await hub.servers.prompts('everything', signal)).length).toBeGreaterThan(0)
    await hub.servers.disconnect('everything', BY_ITSELF)
  })

  test('server-filesystem reads what it may, and says no to what it may not', async () => {
    const root = realpathSync(hub.dir)
    writeFileSync(join(root, 'note.txt'), 'Backups run at 02:30.\n')
    await hub.add({ name: 'files', command: [process.execPath, filesystem, root] })
    await hub.servers.connect('files', { waitMs: 20_000, cause: BY_ITSELF })
    expect(await hub.call('files', 'read_text_file', { path: join(root, 'note.txt') })).toContain(
      '02:30',
    )
    const signal = AbortSignal.timeout(20_000)
    const refused = await hub.servers.call(
      'files',
      'read_text_file',
      { path: '/etc/passwd' },
      { signal, timeoutMs: 5_000 },
    )
    expect(refused.isError).toBe(true)
  })

  test('runtime §20.18: server-everything over streamable HTTP, and over the older transport', async () => {
    for (const [mode, path, transport] of [
      ['streamableHttp', 'mcp', 'streamable_http'],
      ['sse', 'sse', 'sse'],
    ] as const) {
      const port = await served(mode)
      await hub.add({ name: mode, url: `http://127.0.0.1:${port}/${path}` })
      const state = await hub.servers.connect(mode, { waitMs: 20_000, cause: BY_ITSELF })
      expect(state).toMatchObject({ status: 'connected', transport })
      expect(state.toolsCount).toBeGreaterThan(5)
      expect(await hub.call(mode, 'echo', { message: mode })).toContain(mode)
      await hub.servers.disconnect(mode, BY_ITSELF)
    }
  })
})
