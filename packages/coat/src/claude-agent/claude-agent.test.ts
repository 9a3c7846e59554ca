import { expect, test } from 'vitest'
import { spanOf, tree, usageOf } from '../adapters/tree.test-kit.ts'
import { record } from '../recorder.test-kit.ts'
import { coatHooks, coatQuery } from './index.ts'
import {
  assistant,
  init,
  METHODS,
  type Message,
  type Options,
  type Played,
  RecordedQuery,
  recordedQuery,
  result,
  results,
  type Scene,
  text,
  use,
} from './recorded-query.test-kit.ts'

let sessions = 0
const newSession = () => `native-${process.pid}-${++sessions}`

async function play(
  scenes: Scene[],
  options: Options = {},
  played: Played = { answers: [], called: [] },
): Promise<Message[]> {
  const query = coatQuery(recordedQuery(scenes, played))
  const messages: Message[] = []
  for await (const message of query({ prompt: 'secret-value', options })) messages.push(message)
  return messages
}

test('telemetry §16.44: a chat of the Claude Agent SDK, message by message', async () => {
  const recorder = record()
  const session = newSession()
  const scenes = [
    init(session),
    assistant('msg_1', [10, 3, 100, 20], [{ type: 'thinking', thinking: 'secret-value' }]),
    assistant('msg_1', [10, 8, 100, 20], [text('secret-value')]),
    result([10, 8, 100, 20], { num_turns: 1 }),
  ]
  const messages = await play(scenes, { model: 'claude-sonnet-4-6' })

  expect(messages.map(({ type }) => type)).toEqual(['system', 'assistant', 'assistant', 'result'])
  expect(tree(recorder)).toEqual([
    'run query ok in 130 out 8',
    '  session session ok',
    '  llm messages ok in 130 out 8',
  ])
  expect(spanOf(recorder, 'agent.session').start.payload).toMatchObject({
    conversation_id: session,
    model: 'claude-sonnet-4-6',
    tools: 3,
    permission_mode: 'default',
    mcp_servers: ['files'],
  })
  const llm = spanOf(recorder, 'agent.llm')
  expect(llm.start.payload).toMatchObject({ inferred: true, provider: 'anthropic' })
  expect(llm.end.payload).toMatchObject({
    response_id: 'msg_1',
    response_model: 'claude-sonnet-4-6',
    finish_reasons: ['end_turn'],
    usage: { input: 130, output: 8, total: 138, cache_read: 100, cache_write: 20 },
  })
  expect(spanOf(recorder, 'agent.run').end.payload).toMatchObject({
    turns: 1,
    totals: { llm: 1, tools: 0, input_tokens: 130, output_tokens: 8, cost_usd: 0.0125 },
    permission_denials: 0,
  })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a stream of the Claude Agent SDK is counted, not emitted', async () => {
  const recorder = record()
  const piece = (event: Record<string, unknown>): Message => ({
    type: 'stream_event',
    event,
    parent_tool_use_id: null,
  })
  const delta = { type: 'content_block_delta', delta: { type: 'text_delta', text: 'secret-value' } }
  await play([
    init(newSession()),
    piece({
      type: 'message_start',
      message: { id: 'msg_2', model: 'm', usage: { input_tokens: 7, output_tokens: 1 } },
    }),
    piece(delta),
    piece(delta),
    assistant('msg_2', [7, 1], [text('secret-value')]),
    piece({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn' },
      usage: { output_tokens: 9 },
    }),
    piece({ type: 'message_stop' }),
    result([7, 9]),
  ])
  expect(tree(recorder)).toEqual([
    'run query ok in 7 out 9',
    '  session session ok',
    '  llm messages ok in 7 out 9',
  ])
  expect(spanOf(recorder, 'agent.llm').end.payload).toMatchObject({
    chunks: 2,
    ttft_ms: expect.any(Number),
    finish_reasons: ['end_turn'],
  })
  expect(recorder.text()).not.toContain('secret-value')
})

const withTools: Scene[] = [
  { hook: 'UserPromptSubmit', input: { prompt: 'secret-value' } },
  assistant('msg_3', [20, 8], [text('two things')]),
  assistant('msg_3', [20, 8], [use('toolu_1', 'Bash', { command: 'secret-value' })]),
  assistant('msg_3', [20, 8], [use('toolu_2', 'mcp__files__read_text', { path: 'a' })]),
  { hook: 'PreToolUse', id: 'toolu_1', input: { tool_name: 'Bash', tool_input: {} } },
  { hook: 'PreToolUse', id: 'toolu_2', input: { tool_name: 'mcp__files__read_text' } },
  {
    hook: 'PostToolUse',
    id: 'toolu_2',
    input: { tool_name: 'mcp__files__read_text', tool_response: 'secret-value' },
  },
  {
    hook: 'PostToolUseFailure',
    id: 'toolu_1',
    input: { tool_name: 'Bash', error: 'secret-value: not found' },
  },
  results(['toolu_1', 'secret-value', true], ['toolu_2', 'secret-value']),
  assistant('msg_4', [40, 2], [text('four')]),
  { hook: 'Stop' },
  result([60, 10]),
]

test('telemetry §16.44: tools of the Claude Agent SDK in parallel, one of which fails', async () => {
  const recorder = record()
  await play([init(newSession()), ...withTools])
  expect(tree(recorder)).toEqual([
    'run query ok in 60 out 10',
    '  session session ok',
    '  step turn 1 ok',
    '    llm messages ok in 20 out 8',
    '    tool Bash error tool_error',
    '    tool mcp__files__read_text ok',
    '    llm messages ok in 40 out 2',
  ])
  expect(usageOf(recorder)).toEqual({ input: 60, output: 10 })
  const read = spanOf(recorder, 'agent.tool', 'mcp__files__read_text')
  expect(read.start.payload).toMatchObject({
    tool: { name: 'mcp__files__read_text', type: 'mcp', call_id: 'toolu_2' },
    mcp: { method: 'tools/call', server: 'files' },
  })
  const [llm] = recorder.spans().filter(({ start }) => start.kind === 'agent.llm.request')
  expect(llm?.end?.payload['tool_calls']).toEqual([
    { id: 'toolu_1', name: 'Bash' },
    { id: 'toolu_2', name: 'mcp__files__read_text' },
  ])
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: where hooks are missing, messages tell of the tools', async () => {
  const recorder = record()
  await play([init(newSession()), ...withTools.filter((scene) => !('hook' in scene))])
  expect(tree(recorder)).toEqual([
    'run query ok in 60 out 10',
    '  session session ok',
    '  llm messages ok in 20 out 8',
    '  tool Bash error tool_error',
    '  tool mcp__files__read_text ok',
    '  llm messages ok in 40 out 2',
  ])
})

test('telemetry §16.44: a subagent holds its own messages and tools, by call and by hook', async () => {
  const recorder = record()
  await play([
    init(newSession()),
    assistant(
      'msg_5',
      [9, 4],
      [
        use('toolu_5', 'Task', {
          subagent_type: 'reviewer',
          description: 'secret-value',
          prompt: 'secret-value',
        }),
      ],
    ),
    { hook: 'PreToolUse', id: 'toolu_5', input: { tool_name: 'Task', tool_input: {} } },
    { hook: 'SubagentStart', input: { agent_id: 'agent-1', agent_type: 'reviewer' } },
    assistant('msg_6', [5, 1], [use('toolu_6', 'Read', { path: 'a' })], 'toolu_5'),
    { hook: 'PreToolUse', id: 'toolu_7', input: { tool_name: 'Glob', agent_id: 'agent-1' } },
    results(['toolu_6', 'x', false, 'toolu_5']),
    { hook: 'PostToolUse', id: 'toolu_7', input: { tool_name: 'Glob', tool_response: [] } },
    assistant('msg_7', [6, 2], [text('fine')], 'toolu_5'),
    { hook: 'SubagentStop', input: { agent_id: 'agent-1', agent_type: 'reviewer' } },
    results(['toolu_5', 'secret-value']),
    assistant('msg_8', [11, 2], [text('done')]),
    result([31, 9]),
  ])
  expect(tree(recorder)).toEqual([
    'run query ok in 31 out 9',
    '  session session ok',
    '  llm messages ok in 9 out 4',
    '  subagent reviewer ok',
    '    llm messages ok in 5 out 1',
    '    tool Read ok',
    '    tool Glob ok',
    '    llm messages ok in 6 out 2',
    '  llm messages ok in 11 out 2',
  ])
  expect(usageOf(recorder)).toEqual({ input: 31, output: 9 })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a permission asks a person, whose answer passes through', async () => {
  const recorder = record()
  const played: Played = { answers: [], called: [] }
  const deny = { behavior: 'deny' as const, message: 'no' }
  await play(
    [
      init(newSession()),
      assistant('msg_9', [1, 1], [use('toolu_9', 'Bash', { command: 'rm' })]),
      { permission: 'Bash', input: { command: 'rm' }, id: 'toolu_9' },
      results(['toolu_9', 'refused', true]),
      result([1, 1], { permission_denials: [{ tool_name: 'Bash', tool_use_id: 'toolu_9' }] }),
    ],
    { canUseTool: async () => deny },
    played,
  )
  expect(played.answers).toEqual([deny])
  expect(tree(recorder)).toEqual([
    'run query ok in 1 out 1',
    '  session session ok',
    '  llm messages ok in 1 out 1',
    '  tool Bash error tool_error',
    '  human Bash ok denied',
  ])
  expect(spanOf(recorder, 'agent.run').end.payload).toMatchObject({ permission_denials: 1 })
})

test('telemetry §16.44: a permission request told by a hook ends with its tool', async () => {
  const recorder = record()
  await play([
    init(newSession()),
    { hook: 'PreToolUse', id: 'toolu_a', input: { tool_name: 'Bash' } },
    { hook: 'PermissionRequest', id: 'toolu_a', input: { tool_name: 'Bash' } },
    { hook: 'PostToolUse', id: 'toolu_a', input: { tool_name: 'Bash', tool_response: 'x' } },
    { hook: 'PreCompact', input: { trigger: 'auto' } },
    {
      type: 'system',
      subtype: 'compact_boundary',
      compact_metadata: { trigger: 'auto', pre_tokens: 9000 },
    },
    result([1, 1]),
    { hook: 'SessionEnd', input: { reason: 'other' } },
  ])
  expect(tree(recorder)).toEqual([
    'run query ok in 1 out 1',
    '  session session ok',
    '  tool Bash ok',
    '  human Bash ok approved',
    '  memory.write compact ok',
  ])
  expect(spanOf(recorder, 'agent.memory.write').end.payload).toMatchObject({
    operation: 'compact',
    pre_tokens: 9000,
  })
  expect(spanOf(recorder, 'agent.session').end.payload).toMatchObject({ reason: 'other' })
})

test('telemetry §16.44: a result that is an error, and an error that is thrown', async () => {
  const recorder = record()
  await play([
    init(newSession()),
    assistant('msg_b', [3, 1], [use('toolu_b', 'Bash')]),
    result([3, 1], { subtype: 'error_max_turns', is_error: true, errors: ['secret-value'] }),
  ])
  expect(tree(recorder)).toEqual([
    'run query error error_max_turns in 3 out 1',
    '  session session ok',
    '  llm messages cancelled in 3 out 1',
    '  tool Bash cancelled',
  ])
  expect(recorder.text()).not.toContain('secret-value')

  const thrown = record()
  const gone = new RangeError('secret-value')
  await expect(play([init(newSession()), { fails: gone }])).rejects.toBe(gone)
  expect(tree(thrown)).toEqual(['run query error RangeError', '  session session ok'])
})

test('telemetry §16.44: an abort, and leaving the loop early, cancel what is open', async () => {
  const recorder = record()
  const abortController = new AbortController()
  const scenes: Scene[] = [
    init(newSession()),
    assistant('msg_c', [3, 1], [use('toolu_c', 'Bash')]),
    { waits: true },
  ]
  const query = coatQuery(recordedQuery(scenes))
  const run = query({ prompt: 'q', options: { abortController } })
  await run.next()
  await run.next()
  const waiting = run.next()
  abortController.abort()
  await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
  expect(tree(recorder)).toEqual([
    'run query cancelled AbortError',
    '  session session ok',
    '  llm messages cancelled in 3 out 1',
    '  tool Bash cancelled',
  ])

  const left = record()
  for await (const message of query({ prompt: 'q' })) if (message.type === 'assistant') break
  expect(tree(left)).toEqual([
    'run query cancelled',
    '  llm messages cancelled in 3 out 1',
    '  tool Bash cancelled',
  ])
})

test('telemetry §16.44: a query that is fed with prompts makes a run of each answer', async () => {
  const recorder = record()
  const one = [assistant('msg_d', [1, 1], [text('a')]), result([1, 1])]
  const other = [assistant('msg_e', [2, 2], [text('b')]), result([2, 2])]
  await play([init(newSession()), ...one, ...other])
  expect(tree(recorder)).toEqual([
    'run query ok in 1 out 1',
    '  session session ok',
    '  llm messages ok in 1 out 1',
    'run query ok in 2 out 2',
    '  llm messages ok in 2 out 2',
  ])
})

test('telemetry §16.45: the query object still answers every original method', async () => {
  record()
  const played: Played = { answers: [], called: [] }
  const original = recordedQuery([init(newSession())], played)
  const query = coatQuery(original)({ prompt: 'q' })
  expect(query).toBeInstanceOf(RecordedQuery)
  const members = new Set([
    ...Reflect.ownKeys(original({ prompt: 'q' })),
    ...Reflect.ownKeys(RecordedQuery.prototype),
  ])
  for (const name of members) {
    expect(typeof Reflect.get(query, name), String(name)).toBe('function')
    expect(name in query).toBe(true)
  }
  for (const name of METHODS) {
    const method = Reflect.get(query, name) as (...args: unknown[]) => Promise<unknown>
    await expect(method('given', 1)).resolves.toEqual(['given', 1])
  }
  expect(played.called).toEqual([...METHODS])
  expect(query[Symbol.asyncIterator]()).toBe(query)
  query.close()
  await query[Symbol.asyncDispose]()
  expect(played.called.slice(-2)).toEqual(['close', 'dispose'])
})

test('telemetry §16.44: our hooks come after the user’s, answer at once and change nothing of theirs', async () => {
  const recorder = record()
  const played: Played = { answers: [], called: [] }
  const order: string[] = []
  const own = {
    PreToolUse: [
      {
        matcher: 'Bash',
        hooks: [
          async () => {
            order.push('own')
            return { decision: 'block' }
          },
        ],
      },
    ],
  }
  const options = { hooks: own }
  await play(
    [init(newSession()), { hook: 'PreToolUse', id: 'toolu_f', input: { tool_name: 'Bash' } }],
    options,
    played,
  )
  expect(played.answers).toEqual([{ decision: 'block' }, {}])
  expect(order).toEqual(['own'])
  expect(options.hooks).toBe(own)
  expect(own.PreToolUse).toHaveLength(1)
  expect(tree(recorder)).toContain('  tool Bash cancelled')
})

test('telemetry §16.44: hooks alone tell of prompts and tools, and are not told twice in a wrapped query', async () => {
  const recorder = record()
  const options: Options = coatHooks({})
  const scenes: Scene[] = [
    { hook: 'UserPromptSubmit', input: { prompt: 'q' } },
    { hook: 'PreToolUse', id: 'toolu_g', input: { tool_name: 'Bash' } },
    { hook: 'PostToolUse', id: 'toolu_g', input: { tool_name: 'Bash', tool_response: 'x' } },
    { hook: 'Stop' },
    { hook: 'SessionEnd', input: { reason: 'other' } },
  ]
  for (let again = 0; again < 2; again += 1) {
    for await (const _message of recordedQuery(scenes)({ prompt: 'q', options })) {
      // Only hooks are played.
    }
  }
  const once = ['run query ok', '  step turn 1 ok', '    tool Bash ok']
  expect(tree(recorder)).toEqual([...once, ...once])

  const wrapped = record()
  await play(scenes, options)
  expect(tree(wrapped)).toEqual(once)
})
