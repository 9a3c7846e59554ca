import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BY_ITSELF } from './connect/process-record.ts'
import { commandOf, type TestHub, testHub } from './testing/hub.test-kit.ts'

const failing = (code: string, message = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(message) })
const TOKEN = 'tok-4f1e77c2b90d'

let hub: TestHub
beforeAll(async () => {
  hub = await testHub({
    secrets: { 'mcp:notes secret://crm': TOKEN },
    env: { OPENAI_API_KEY: 'sk-of-the-daemon', LANG: 'C.UTF-8', VESTRY_HOME: '/somewhere' },
  })
  await hub.connect(
    'notes',
    { extraTools: 30, pageSize: 7, resources: 3, templates: true, greeting: 'Welcome!' },
    { env: { NODE_ENV: 'production', CRM_TOKEN: 'secret://crm', AUTH: 'Bearer secret://crm' } },
  )
})
afterAll(() => hub[Symbol.asyncDispose]())

const isRunning = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

test('runtime §20.17: a stdio server is started, shaken hands with, and listed over all pages', () => {
  const state = hub.servers.server('notes')
  expect(state).toMatchObject({
    status: 'connected',
    transport: 'stdio',
    pid: expect.any(Number),
    lastError: undefined,
    protocolVersion: '2025-11-25',
    serverInfo: { name: 'scripted', version: '1.2.3' },
  })
  expect(isRunning(state?.pid ?? 0)).toBe(true)
  expect(hub.servers.tools('notes').map(({ name }) => name)).toEqual(
    expect.arrayContaining(['echo', 'extra-0', 'extra-29']),
  )
  expect(hub.servers.resources('notes').map(({ uri, isTemplate }) => [uri, isTemplate])).toEqual([
    ['note://0', false],
    ['note://1', false],
    ['note://2', false],
    ['note://{id}', true],
  ])
})

test('runtime §20.19: counts are those of the lists, and no description is missing', () => {
  const state = hub.servers.server('notes')
  expect(state?.toolsCount).toBe(hub.servers.tools('notes').length)
  expect(state?.resourcesCount).toBe(hub.servers.resources('notes').length)
  for (const { description } of hub.servers.tools()) expect(description).toEqual(expect.any(String))
  expect(hub.servers.tool('notes', 'extra-0')?.description).toBe('')
})

test('runtime §20.19: the child sees its own variables and secrets, and none of ours', async () => {
  const environment = await hub.call('notes', 'env')
  const variables = JSON.parse(environment) as Record<string, string>
  expect(Object.keys(variables).sort()).toEqual([
    'AUTH',
    'CRM_TOKEN',
    'HOME',
    'LANG',
    'NODE_ENV',
    'PATH',
    'TMPDIR',
    'VESTRY_MCP_CHILD',
  ])
  // It has the secret; what it says of it does not get back to anybody.
  expect(variables).toMatchObject({ CRM_TOKEN: '[REDACTED]', AUTH: 'Bearer [REDACTED]' })
  const pid = hub.servers.server('notes')?.pid
  expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain(`CRM_TOKEN=${TOKEN}\0`)
})

test('the child gets three pipes and no descriptor of ours', async () => {
  const open = JSON.parse(await hub.call('notes', 'fds')) as string[]
  expect(open.filter((target) => target.endsWith('mcp.db') || target.includes('postgres'))).toEqual(
    [],
  )
  expect(open.filter((target) => target.includes(hub.dir))).toEqual([])
})

test('a secret is in no log, no record and no state, whatever the server writes', async () => {
  await hub.call('notes', 'say', { text: `half a line with ${TOKEN.slice(0, 7)}` })
  await hub.call('notes', 'say', { text: `${TOKEN.slice(7)} and the rest\n` })
  await expect.poll(() => hub.servers.logs('notes')).toContain('and the rest')
  expect(hub.servers.logs('notes')).toContain('half a line with [REDACTED] and the rest')
  expect(hub.servers.logs('notes')).toContain('[stdout] Welcome!')
  const everything = JSON.stringify([hub.servers.servers(), hub.records, hub.notes])
  expect(everything + hub.servers.logs('notes')).not.toContain(TOKEN)
})

test('calls answer with content, with failure of the tool, and take our trace with them', async () => {
  expect(await hub.call('notes', 'echo', { text: 'grüß dich 👋' })).toBe('grüß dich 👋')
  const signal = AbortSignal.timeout(10_000)
  const failed = await hub.servers.call('notes', 'fail', {}, { signal, timeoutMs: 5_000 })
  expect(failed).toEqual({
    content: [{ type: 'text', text: 'no such note' }],
    structuredContent: undefined,
    isError: true,
  })
  const meta = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }
  const traced = await hub.servers.call('notes', 'meta', {}, { signal, timeoutMs: 5_000, meta })
  expect(JSON.parse(String(traced.content[0]?.['text']))).toEqual(meta)
})

test('calls that cannot be made are refused with their reason', async () => {
  await expect(hub.call('notes', 'echo', { text: 5 })).rejects.toEqual(
    failing('INVALID_PARAMS', '/text'),
  )
  await expect(hub.call('notes', 'nope')).rejects.toEqual(failing('MCP_TOOL_NOT_FOUND', 'nope'))
  await expect(hub.call('nobody', 'echo')).rejects.toEqual(failing('MCP_SERVER_NOT_FOUND'))
  await expect(hub.call('notes', 'echo', { text: 'x', big: 'y'.repeat(5e6) })).rejects.toEqual(
    failing('INVALID_PARAMS', '4194304'),
  )
  await expect(hub.call('notes', 'nothing')).rejects.toEqual(
    failing('MCP_PROTOCOL_ERROR', 'content'),
  )
  // A code that the protocol library uses for its own timeouts.
  await expect(hub.call('notes', 'refuse')).rejects.toEqual(
    failing('MCP_PROTOCOL_ERROR', 'answered: No such note'),
  )
  await expect(hub.call('notes', 'deep')).rejects.toEqual(
    failing('MCP_PROTOCOL_ERROR', 'deeper than 64'),
  )
})

test('a call that takes too long is cancelled at the server, and one that nobody waits for, too', async () => {
  await expect(hub.call('notes', 'hang', {}, 60)).rejects.toEqual(failing('MCP_TIMEOUT', '60 ms'))
  const left = new AbortController()
  const call = hub.servers.call('notes', 'hang', {}, { signal: left.signal, timeoutMs: 5_000 })
  const reason = new Error('the client has gone')
  setTimeout(() => left.abort(reason), 30)
  await expect(call).rejects.toBe(reason)
  expect(JSON.parse(await hub.call('notes', 'cancelled'))).toHaveLength(2)
})

test('the server’s own ping and roots are answered, and sampling is refused', async () => {
  const ask = async (method: string) => JSON.parse(await hub.call('notes', 'ask', { method }))
  expect(await ask('ping')).toMatchObject({ result: {} })
  expect(await ask('roots/list')).toMatchObject({ result: { roots: [] } })
  expect(await ask('sampling/createMessage')).toMatchObject({ error: { code: -32601 } })
  expect(await ask('elicitation/create')).toMatchObject({ error: { code: -32601 } })
})

test('resources are read and prompts listed when somebody asks', async () => {
  const signal = AbortSignal.timeout(10_000)
  expect(await hub.servers.read('notes', 'note://1', signal)).toEqual([
    { uri: 'note://1', text: 'about note://1' },
  ])
  expect(await hub.servers.prompts('notes', signal)).toEqual([{ name: 'summarise' }])
  // They count among what may be under way at once.
  await Promise.all(
    Array.from({ length: 100 }, () => hub.servers.read('notes', 'note://slow', signal)),
  )
  expect(await hub.call('notes', 'most-reading')).toBe('64')
})

test('runtime §20.17: a changed list is read again before the next call; who decided on the old tool is told', async () => {
  const before = hub.servers.tool('notes', 'echo')
  const same = hub.servers.tool('notes', 'fail')
  const heard: string[] = []
  hub.servers.onTools((server, tools) => {
    heard.push(`${server}: ${tools.find(({ name }) => name === 'echo')?.description}`)
  })
  await hub.call('notes', 'swap', { description: 'Says it, and sends it elsewhere' })
  await expect(
    hub.servers.call(
      'notes',
      'echo',
      { text: 'x' },
      {
        signal: AbortSignal.timeout(10_000),
        timeoutMs: 5_000,
        ...(before !== undefined && { expected: before }),
      },
    ),
  ).rejects.toEqual(failing('TOOL_NOT_VERIFIED', 'changed "echo"'))
  expect(hub.servers.tool('notes', 'echo')?.description).toBe('Says it, and sends it elsewhere')
  expect(hub.servers.tool('notes', 'fail')).toBe(same)
  expect(heard).toEqual(['notes: Says it, and sends it elsewhere'])
})

test('runtime §20.17: what crashes in the middle of a call is in error, with its last words and no process', async () => {
  await hub.connect('weak')
  const pid = hub.servers.server('weak')?.pid ?? 0
  const others = hub.call('weak', 'hang')
  others.catch(() => undefined)
  await expect(hub.call('weak', 'crash')).rejects.toEqual(
    failing('MCP_PROTOCOL_ERROR', 'Server "weak" ended with exit code 3'),
  )
  await expect(others).rejects.toEqual(failing('MCP_PROTOCOL_ERROR', 'exit code 3'))
  expect(hub.servers.server('weak')).toMatchObject({
    status: 'error',
    pid: undefined,
    toolsCount: 0,
    lastError: 'ended with exit code 3\nsomething terrible happened',
  })
  expect(isRunning(pid)).toBe(false)
  expect(hub.servers.logs('weak')).toContain('something terrible happened')
  await expect(hub.call('weak', 'echo')).rejects.toEqual(failing('MCP_NOT_CONNECTED', 'is error'))
  expect(hub.servers.tools('weak')).toEqual([])
})

test('runtime §20.17: disconnecting leaves no child, whether it stayed in the group, left it, or hid', async () => {
  await hub.connect('parent')
  const pids = [hub.servers.server('parent')?.pid ?? 0]
  for (const given of [{}, { detached: true }, { detached: true, bare: true }])
    pids.push(Number(await hub.call('parent', 'child', given)))
  expect(pids.map(isRunning)).toEqual([true, true, true, true])
  await hub.servers.disconnect('parent', BY_ITSELF)
  expect(pids.map(isRunning)).toEqual([false, false, false, false])
  expect(hub.servers.server('parent')).toMatchObject({ status: 'disconnected', pid: undefined })
  await hub.servers.disconnect('parent', BY_ITSELF)
}, 15_000)

test('runtime §20.17: slow to start is connecting, and then connected', async () => {
  await hub.add({ name: 'slow', command: commandOf({ slowMs: 250 }) })
  const early = await hub.servers.connect('slow', { waitMs: 50, cause: BY_ITSELF })
  expect(early).toMatchObject({ status: 'connecting', pid: expect.any(Number), toolsCount: 0 })
  await expect(hub.call('slow', 'echo')).rejects.toEqual(failing('MCP_NOT_CONNECTED', 'connecting'))
  const [one, other] = await Promise.all(
    [1, 2].map(() => hub.servers.connect('slow', { waitMs: 10_000, cause: BY_ITSELF })),
  )
  expect(one).toMatchObject({ status: 'connected' })
  expect(other?.pid).toBe(early.pid)
  await hub.servers.disconnect('slow', BY_ITSELF)
})

test('what is disconnected while it connects ends at once', async () => {
  await hub.add({ name: 'waiting', command: commandOf({ fault: 'hang' }) })
  const { pid = 0 } = await hub.servers.connect('waiting', { waitMs: 100, cause: BY_ITSELF })
  const late = hub.servers.connect('waiting', { waitMs: 10_000, cause: BY_ITSELF })
  late.catch(() => undefined)
  await hub.servers.disconnect('waiting', BY_ITSELF)
  await expect(late).rejects.toEqual(failing('MCP_NOT_CONNECTED', 'meanwhile'))
  expect(isRunning(pid)).toBe(false)
  expect(hub.servers.server('waiting')?.status).toBe('disconnected')
})

test('who waits to connect a server while all are ended comes too late', async () => {
  await using own = await testHub()
  await own.connect('leaving')
  const leaving = own.servers.disconnect('leaving', BY_ITSELF)
  const late = own.servers.connect('leaving', { waitMs: 10_000, cause: BY_ITSELF })
  const sealed = own.servers.close('seal')
  await expect(late).rejects.toEqual(failing('MCP_NOT_CONNECTED', 'meanwhile'))
  await Promise.all([leaving, sealed])
  expect(own.records.filter(({ action }) => action === 'mcp.start')).toHaveLength(1)
})

test.each([
  ['is not there', { command: ['/no/such/program'] }, '"/no/such/program" was not found'],
  ['may not be run', { command: ['/etc/passwd'] }, 'may not be run'],
  ['has no working directory', { command: commandOf(), cwd: '/no/such/place' }, 'was not'],
  [
    'ends at once',
    { command: commandOf({ fault: 'crash' }) },
    'exit code 7\ncannot read the configuration',
  ],
  ['speaks an unknown revision', { command: commandOf({ fault: 'old-version' }) }, '1999-01-01'],
  ['floods its output', { command: commandOf({ fault: 'flood' }) }, 'no messages'],
  [
    'lists a schema that is too deep',
    { command: commandOf({ fault: 'deep-list' }) },
    'deeper than 64',
  ],
  [
    'lacks its secret',
    { command: commandOf(), env: { A: 'vault://gone' } },
    'no secret vault://gone',
  ],
])('runtime §20.17: a server that %s is in error, and says why', async (_, given, reason) => {
  await hub.add({ name: 'faulty', timeout_seconds: 10, ...given })
  await expect(hub.servers.connect('faulty', { waitMs: 20_000, cause: BY_ITSELF })).rejects.toEqual(
    failing('MCP_PROTOCOL_ERROR'),
  )
  expect(hub.servers.server('faulty')).toMatchObject({
    status: 'error',
    pid: undefined,
    lastError: expect.stringContaining(reason),
  })
})

test('a key that was pasted as a program is not repeated in its error', async () => {
  const key = `sk-proj-${'a1B2'.repeat(8)}`
  await hub.add({ name: 'pasted', timeout_seconds: 10, command: [`/nowhere/${key}`] })
  const connected = hub.servers.connect('pasted', { waitMs: 20_000, cause: BY_ITSELF })
  await expect(connected).rejects.toEqual(failing('MCP_PROTOCOL_ERROR'))
  expect(hub.servers.server('pasted')?.lastError).toContain('[redacted:openai]')
})

test('numbers of schemas are kept as they were written', async () => {
  const inputSchema = { type: 'object', properties: { n: { maximum: 0 } } }
  await hub.connect('exact', { echo: { inputSchema } })
  const schema = hub.servers.tool('exact', 'echo')?.inputSchema
  expect(JSON.stringify(schema)).toBe(JSON.stringify(inputSchema))
  await hub.servers.disconnect('exact', BY_ITSELF)
})

test('each start, connection and end is recorded, with who wanted it and what was run as a digest', () => {
  const of = (server: string) =>
    hub.records
      .filter(({ data }) => data?.['server'] === server)
      .map(({ action, phase, success, outcome }) =>
        [action, phase, success, ...(outcome === undefined ? [] : [outcome.code])].join(' '),
      )
  expect(of('weak')).toEqual([
    'mcp.connect intent true',
    'mcp.start single true',
    'mcp.connect outcome true OK',
    'mcp.stop single true',
  ])
  expect(of('waiting').slice(-1)).toEqual(['mcp.connect outcome false MCP_NOT_CONNECTED'])
  for (const record of hub.records) {
    expect(record).toMatchObject({
      actor: 'system',
      source: 'mcp',
      data: { command_digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
    })
    expect(JSON.stringify(record)).not.toContain('stdio-server')
  }
})

test('two hundred calls at once all come back', async () => {
  await hub.connect('busy')
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, at) => hub.call('busy', 'echo', { text: `${at}` })),
  )
  expect(answers).toEqual(Array.from({ length: 200 }, (_, at) => `${at}`))
  await hub.servers.disconnect('busy', BY_ITSELF)
})

test('who is removed is gone, and who is replaced is disconnected first', async () => {
  await hub.connect('shifting')
  const pid = hub.servers.server('shifting')?.pid ?? 0
  await hub.add({ name: 'shifting', command: commandOf({ resources: 1 }) })
  expect(isRunning(pid)).toBe(false)
  expect(hub.servers.server('shifting')?.status).toBe('disconnected')
  await hub.servers.remove('shifting', BY_ITSELF)
  expect(hub.servers.server('shifting')).toBeUndefined()
  await expect(hub.servers.remove('shifting', BY_ITSELF)).rejects.toEqual(
    failing('MCP_SERVER_NOT_FOUND'),
  )
  await sleep(0)
})
