import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { VestryError } from '@vestry/contract/errors'
import { expect, onTestFinished, test } from 'vitest'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import { Approvals } from '../../call/approval.ts'
import { Taint } from '../../call/taint.ts'
import { newCaller } from '../../identity/caller.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import type { TokenObject } from '../../json/raw-number.ts'
import { Limits } from '../../limits/limits.ts'
import { PolicyEngine } from '../../policy/engine.ts'
import { readPolicyFiles } from '../../policy/policy-file.ts'
import { openStore } from '../../store/store.ts'
import type { LiveTool, McpHub, ToolResult } from '../hub.ts'
import type { Standing } from '../pins/standing.ts'
import { callMcpTool } from './call.ts'

const SCOUT = {
  id: '018f3c5e-0000-7000-8000-000000000001',
  name: 'scout',
  displayName: 'scout',
  role: 'worker',
  status: 'enabled',
  keys: [],
  spiffeId: 'spiffe://test/agent/1',
  meta: {},
  requireSigV2: false,
  createdAt: 0,
  updatedAt: 0,
} as const

const TOOL: LiveTool = {
  server: 'notes',
  name: 'append',
  description: '',
  inputSchema: { type: 'object', properties: { text: { type: 'string' } } } as TokenObject,
  outputSchema: undefined,
  annotations: undefined,
  meta: undefined,
}
const GOOD: Standing = { verified: true, hash: 'sha256:1', reviewId: 'rev_1', refusal: undefined }
const BAD: Standing = {
  verified: false,
  hash: 'sha256:2',
  reviewId: 'rev_1',
  refusal: { reason: 'definition_differs', detail: 'It differs', hint: 'Review it' },
}
const PERMIT = 'permit (principal, action == Action::"mcp:call", resource in Tool::"mcp/notes");'
const text = (value: string): ToolResult => ({
  content: [{ type: 'text', text: value }],
  structuredContent: undefined,
  isError: false,
})

/** Real stations but for the log, which keeps what it is given. */
async function world(cedar: string) {
  const dir = mkdtempDisposableSync(`${tmpdir()}/mcp-call-`)
  onTestFinished(() => dir.remove())
  const store = await openStore(`sqlite:${dir.path}/store.db`)
  onTestFinished(() => store.close())
  const policy = new PolicyEngine()
  const settings = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }
  const text = cedar
  const { policies } = await readPolicyFiles([{ name: 'r.cedar', text }], settings)
  policy.load(policies.map((row, position) => ({ ...row, position })))
  const written: AuditEntry[] = []
  const audit = {
    append: async (entry: AuditEntry) => written.push(entry),
  } as unknown as AuditLog // perform appends and nothing else
  const stations = {
    policy,
    limits: new Limits({ store, now: Date.now, monotonic: () => performance.now() }),
    approvals: new Approvals(store, testGuard(testKeyring()), Date.now),
    taint: new Taint({ store: store, now: Date.now, warn: () => undefined }),
    audit,
    refused: () => undefined,
    now: Date.now,
  }
  const sent: Parameters<McpHub['call']>[] = []
  const server = {
    tool: TOOL as LiveTool | undefined,
    status: 'connected' as 'connected' | 'error' | undefined,
    answer: async (): Promise<ToolResult> => text0('done'),
    standings: [GOOD],
  }
  const counted: string[] = []
  const deps = {
    stations,
    hub: {
      server: (name: string) =>
        name === 'notes' && server.status !== undefined
          ? ({ status: server.status } as ReturnType<McpHub['server']>)
          : undefined,
      tool: (_: string, name: string) => (name === 'append' ? server.tool : undefined),
      call: async (...given: Parameters<McpHub['call']>) => {
        sent.push(given)
        return server.answer()
      },
    },
    known: {
      standing: async () =>
        (server.standings.length > 1 ? server.standings.shift() : server.standings[0]) ?? GOOD,
    },
    counted: (name: string, code: string) => void counted.push(`${name} ${code}`),
  }
  const call = (args: Record<string, unknown> = {}, more: object = {}) =>
    callMcpTool(deps, {
      caller: newCaller({
        principal: { kind: 'agent', agent: SCOUT },
        peer: { transport: 'http' },
        txn: 'txn_1',
      }),
      requestId: 'r-1',
      server: 'notes',
      tool: 'append',
      args,
      signal: new AbortController().signal,
      timeoutMs: 1_000,
      ...more,
    })
  return { call, server, sent, written, counted, stations }
}
const text0 = text

const codes = (written: readonly AuditEntry[]) =>
  written.map(({ phase, outcome }) => `${phase} ${outcome?.code ?? ''}`.trim())

test('a call is decided, recorded, sent with its trace, and recorded again', async () => {
  const { call, sent, written, counted } = await world(`@id("p") ${PERMIT}`)
  expect(await call({ text: 'hello' })).toEqual(text('done'))
  expect(codes(written)).toEqual(['intent', 'outcome OK'])
  const [intent] = written
  const traceparent = `00-${intent?.span?.trace_id}-${intent?.span?.span_id}-01`
  expect(sent[0]?.[3]).toMatchObject({ meta: { traceparent }, expected: TOOL, timeoutMs: 1_000 })
  expect(intent?.data).toEqual({
    operation: 'mcp:call',
    server: 'notes',
    tool: 'append',
    digest: 'sha256:1',
    reviewed: true,
    review_id: 'rev_1',
  })
  expect(counted).toEqual(['notes OK'])
})

test('policy sees the arguments, the digest, and whether it was reviewed', async () => {
  const { call, server } = await world(
    `@id("p") permit (principal, action == Action::"mcp:call", resource)
     when { resource.reviewed && resource.digest == "sha256:1" && context.args.hasTag("/to/0") && context.args.getTag("/to/0") == "ada" && context.nums.hasTag("/n") && context.nums.getTag("/n") < 5 };`,
  )
  expect(await call({ to: ['ada'], n: 4 })).toEqual(text('done'))
  for (const args of [{ to: ['lin'], n: 4 }, { to: ['ada'], n: 5 }, {}])
    await expect(call(args)).rejects.toMatchObject({ code: 'ACCESS_DENIED' })
  server.standings = [{ ...GOOD, verified: false }]
  await expect(call({ to: ['ada'], n: 4 })).rejects.toMatchObject({ code: 'ACCESS_DENIED' })
})

test('runtime §9.6: a tool that is not what was reviewed is refused, also when it changes in the last moment', async () => {
  const { call, server, sent, written } = await world(`@id("p") ${PERMIT}`)
  server.standings = [BAD]
  const refused = {
    code: 'TOOL_NOT_VERIFIED',
    status: 409,
    context: { reason: 'definition_differs', digest: 'sha256:2', review_id: 'rev_1' },
  }
  await expect(call()).rejects.toMatchObject(refused)
  expect(codes(written)).toEqual(['single TOOL_NOT_VERIFIED'])
  server.standings = [GOOD, BAD]
  await expect(call()).rejects.toMatchObject(refused)
  expect(codes(written).slice(1)).toEqual(['intent', 'outcome TOOL_NOT_VERIFIED'])
  expect(sent).toEqual([])
})

test('whoever may not call hears the same of a tool that is there, refused, absent, or of no server at all', async () => {
  const { call, server } = await world(
    '@id("p") permit (principal, action == Action::"mcp:call", resource) when { resource.reviewed };@id("f") forbid (principal, action == Action::"mcp:call", resource);',
  )
  const heard = async () => {
    const error = await call().catch((thrown: VestryError) => thrown)
    if (!(error instanceof VestryError)) throw new Error('it was allowed')
    return `${error.code} ${error.message} ${error.hint}`.replaceAll(/dec_\w+/g, '')
  }
  const there = await heard()
  expect(there).toMatch(/^ACCESS_DENIED/)
  server.standings = [BAD]
  expect(await heard()).toBe(there)
  server.tool = undefined
  expect(await heard()).toBe(there)
  server.status = undefined
  expect(await heard()).toBe(there)
})

test('whoever may call hears what is missing, and nothing was sent or used up', async () => {
  const { call, server, sent } = await world(`@id("p") @quota("1/24h") ${PERMIT}`)
  await expect(call({ text: 7 })).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  server.tool = undefined
  await expect(call()).rejects.toMatchObject({ code: 'MCP_TOOL_NOT_FOUND' })
  server.status = 'error'
  await expect(call()).rejects.toMatchObject({ code: 'MCP_NOT_CONNECTED' })
  server.status = undefined
  await expect(call()).rejects.toMatchObject({ code: 'MCP_SERVER_NOT_FOUND' })
  Object.assign(server, { tool: TOOL, status: 'connected' })
  server.answer = () => Promise.reject(new VestryError('MCP_NOT_CONNECTED'))
  await expect(call()).rejects.toMatchObject({ code: 'MCP_NOT_CONNECTED' })
  server.answer = async () => text('done')
  expect(await call()).toEqual(text('done'))
  await expect(call()).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  expect(sent).toHaveLength(2)
})

test('arguments that policy could not look at are refused', async () => {
  const { call, sent } = await world(`@id("p") ${PERMIT}`)
  const many = { list: Array.from({ length: 10_001 }, (_, at) => at) }
  await expect(call(many)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  expect(sent).toEqual([])
})

test('an approval is for this tool, as it is defined, with these arguments', async () => {
  const { call, server, stations } = await world(`@id("p") @approve("operator") ${PERMIT}`)
  const asked = async (args: object) => {
    const error = await call({ ...args }).catch((thrown: VestryError) => thrown)
    if (!(error instanceof VestryError)) throw new Error('it was allowed')
    expect(error.code).toBe('APPROVAL_REQUIRED')
    return String(error.context['approval_id'])
  }
  const id = await asked({ text: 'one' })
  await stations.approvals.decide(id, 'allowed', 'ada')
  expect(await asked({ text: 'two' })).not.toBe(id)
  server.standings = [{ ...GOOD, hash: 'sha256:9' }]
  expect(await asked({ text: 'one' })).not.toBe(id)
  server.standings = [GOOD]
  expect(await call({ text: 'one' })).toEqual(text('done'))
})

test('policy filters results: in the texts that are JSON, too, and in what a server says of its failure', async () => {
  const { call, server, written } = await world(
    `@id("p") @redact("password") @pii("email") @block("top secret") ${PERMIT}`,
  )
  server.answer = async () => ({
    content: [
      { type: 'text', text: '{"password":"hunter2","user":"ada"}' },
      { type: 'text', text: 'ask dana@sea.example' },
      { type: 'resource', resource: { uri: 'a:b', text: '[{"Password":"x"}]' } },
    ],
    structuredContent: { password: 'hunter2', n: 1 },
    isError: false,
  })
  const told = await call()
  expect(JSON.stringify(told)).not.toMatch(/hunter2|dana@|"x"/)
  expect(told.structuredContent).toEqual({ password: '[REDACTED]', n: 1 })
  expect(written.at(-1)?.outcome).toMatchObject({ code: 'OK', filtered: 4 })
  server.answer = async () => text('this is top secret')
  await expect(call()).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
    context: { reason_code: 'RESPONSE_BLOCKED', executed: true },
  })
  server.answer = () =>
    Promise.reject(new VestryError('MCP_PROTOCOL_ERROR', 'answered: dana@sea.example'))
  const failed = await call().catch((error: Error) => error)
  expect(String(failed)).not.toContain('dana@')
})

test('a result that is too large is withheld', async () => {
  const { call, server } = await world(`@id("p") @max_response_bytes("100") ${PERMIT}`)
  server.answer = async () => text('x'.repeat(200))
  await expect(call()).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
    context: { reason_code: 'RESPONSE_TOO_LARGE' },
  })
})
