import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import type { AgentDefinition } from './definition.ts'
import { type Loop, type ModelAnswer, type ModelDoor, runLoop, type Step } from './loop.ts'
import type { SourceTool, ToolAnswer } from './tool-source.ts'

const definition: AgentDefinition = {
  description: '',
  systemPrompt: 'You sort tickets.',
  tools: ['sort'],
  model: 'gpt-4o',
  temperature: 0.5,
  topP: 0.9,
  maxTokens: 100,
  metadata: {},
}

const text = (said: string): ModelAnswer => ({
  text: said,
  toolCalls: [],
  finishReason: 'stop',
  usage: { prompt: 10, completion: 5 },
})
const calls = (...asked: (readonly [name: string, args: string, id?: string])[]): ModelAnswer => ({
  text: '',
  toolCalls: asked.map(([name, args, id], at) => ({ id: id ?? `c${at}`, name, arguments: args })),
  finishReason: 'tool_calls',
  usage: { prompt: 10, completion: 5 },
})

/** Says one thing after the other, and the last one for ever. */
function scripted(...answers: readonly ModelAnswer[]) {
  const bodies: Readonly<Record<string, unknown>>[] = []
  const model: ModelDoor = async (body) => {
    bodies.push(structuredClone(body))
    return answers[Math.min(bodies.length, answers.length) - 1] as ModelAnswer
  }
  return { model, bodies }
}

function tool(name: string, call: SourceTool['call'] = async () => ok('done')): SourceTool {
  return {
    id: `desk:${name}`,
    names: [name],
    bare: undefined,
    group: undefined,
    description: name,
    parameters: { type: 'object' },
    call,
  }
}

function ok(said: string): ToolAnswer {
  return { text: said, isError: false }
}

interface World {
  model: ModelDoor
  tools?: Record<string, Loop['callTool']>
  signal?: AbortSignal
  maxIterations?: number
  toolTimeoutMs?: number
}

function walk({ model, tools = {}, signal, maxIterations = 15, toolTimeoutMs = 1_000 }: World) {
  const steps: Step[] = []
  let clock = 0
  const end = runLoop({
    definition,
    input: 'Sort ticket 7.',
    model,
    tools: new Map(Object.keys(tools).map((name) => [name, tool(name)])),
    callTool: (found, args, own) =>
      (tools[found.names[0] ?? ''] as Loop['callTool'])(found, args, own),
    limits: { maxIterations, toolTimeoutMs },
    signal: signal ?? new AbortController().signal,
    onStep: (step) => void steps.push(step),
    now: () => {
      clock += 1
      return clock
    },
  })
  return { end, steps }
}

/** The answers to calls that the model was given last. */
function heard(bodies: readonly Readonly<Record<string, unknown>>[]): string[] {
  const messages = bodies.at(-1)?.['messages'] as { role: string; content: string }[]
  return messages.filter(({ role }) => role === 'tool').map(({ content }) => content)
}

const deny = async (): Promise<ToolAnswer> => {
  throw new VestryError('ACCESS_DENIED', 'scout may not sort')
}

test('a model that has nothing to ask answers, and is asked as the definition says', async () => {
  const { model, bodies } = scripted(text('Urgent.'))
  const { end, steps } = walk({ model })
  expect(await end).toEqual({ output: 'Urgent.', finishReason: 'stop' })
  expect(bodies).toEqual([
    {
      model: 'gpt-4o',
      messages: [
        { role: 'system', content: 'You sort tickets.' },
        { role: 'user', content: 'Sort ticket 7.' },
      ],
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 100,
    },
  ])
  expect(steps).toEqual([
    {
      kind: 'model',
      duration_ms: 1,
      prompt_tokens: 10,
      completion_tokens: 5,
      finish_reason: 'stop',
      tool_calls: 0,
    },
  ])
})

test('several calls at once run side by side and are answered in the order asked', async () => {
  const { model, bodies } = scripted(
    calls(['slow', '{"n":1}'], ['fast', '{"n":2}']),
    text('Both done.'),
  )
  const both = Promise.withResolvers<void>()
  const seen: unknown[] = []
  const { end, steps } = walk({
    model,
    tools: {
      slow: async (_, args) => {
        seen.push(args)
        await both.promise
        return ok('slow said so')
      },
      fast: async (_, args) => {
        seen.push(args)
        both.resolve()
        return ok('fast said so')
      },
    },
  })
  expect((await end).output).toBe('Both done.')
  expect(seen).toEqual([{ n: 1 }, { n: 2 }])
  expect(heard(bodies)).toEqual(['slow said so', 'fast said so'])
  expect(steps.map((step) => (step.kind === 'tool' ? step.tool : 'model'))).toEqual([
    'model',
    'desk:fast',
    'desk:slow',
    'model',
  ])
})

test('what a model gets wrong goes back to it in words, and nothing is called', async () => {
  let called = 0
  const { model, bodies } = scripted(
    calls(['sort', '{"n":'], ['sort', '[1]'], ['rm -rf /', '{}'], ['sort', '']),
    text('I see.'),
  )
  const { end, steps } = walk({
    model,
    tools: {
      sort: async (_, args) => {
        called += 1
        expect(args).toEqual({})
        return ok('sorted')
      },
    },
  })
  await end
  expect(called).toBe(1)
  expect(heard(bodies)).toEqual([
    'Error INVALID_PARAMS: the arguments are not one well-formed JSON object',
    'Error INVALID_PARAMS: the arguments are not one well-formed JSON object',
    'Error UNKNOWN_TOOL: there is no tool "rm -rf /"',
    'sorted',
  ])
  expect(bodies[1]).toHaveProperty('messages[2].tool_calls')
  const messages = bodies[1]?.['messages'] as unknown as { tool_calls: { function: unknown }[] }[]
  expect(messages[2]?.tool_calls.map((call) => call.function)).toEqual([
    { name: 'sort', arguments: '{}' },
    { name: 'sort', arguments: '{}' },
    { name: 'rm_-rf__', arguments: '{}' },
    { name: 'sort', arguments: '{}' },
  ])
  expect(
    steps
      .filter(({ kind }) => kind === 'tool')
      .map((step) => 'status' in step && step.status)
      .sort(),
  ).toEqual(['invalid', 'invalid', 'invalid', 'ok'])
})

test('arguments that two readers could take for different things are not read at all', async () => {
  const odd = ['{"n":1,"n":2}', '{"n":1e400}', '{"__proto__":{"n":1}}', '{"n":"\\ud800"}']
  const deep = `{"n":${'['.repeat(100)}${']'.repeat(100)}}`
  const long = JSON.stringify({ n: 'x'.repeat(1_048_576) })
  const asked = [...odd, deep, long].map((args) => ['sort', args] as const)
  let called = 0
  const { model, bodies } = scripted(calls(...asked), text('I see.'))
  await walk({
    model,
    tools: {
      sort: async () => {
        called += 1
        return ok('sorted')
      },
    },
  }).end
  expect(called).toBe(0)
  expect(heard(bodies).map((said) => said.replace(/: .*/, ''))).toEqual(
    Array(6).fill('Error INVALID_PARAMS'),
  )
  expect(JSON.stringify(bodies[1]).length).toBeLessThan(10_000)
})

test('no two calls of a conversation have the same id', async () => {
  const { model, bodies } = scripted(
    calls(['sort', '{}', 'a'], ['sort', '{}', '']),
    calls(['sort', '{}', 'a'], ['sort', '{}', 'b']),
    calls(['sort', '{}', ''], ['sort', '{}', 'b']),
    text('Done.'),
  )
  await walk({ model, tools: { sort: async () => ok('sorted') } }).end
  const messages = bodies.at(-1)?.['messages'] as {
    tool_calls?: { id: string }[]
    tool_call_id?: string
  }[]
  const asked = messages.flatMap(({ tool_calls: made = [] }) => made.map(({ id }) => id))
  expect(new Set(asked).size).toBe(6)
  expect(messages.flatMap(({ tool_call_id: id }) => (id === undefined ? [] : [id]))).toEqual(asked)
})

test('calls without ids, or with the same one, get their own', async () => {
  const { model, bodies } = scripted(
    calls(['sort', '{}', ''], ['sort', '{"n":2}', '']),
    text('Done.'),
  )
  await walk({ model, tools: { sort: async (_, args) => ok(JSON.stringify(args)) } }).end
  const messages = bodies[1]?.['messages']
  expect((messages as unknown[]).slice(3)).toEqual([
    { role: 'tool', tool_call_id: 'call_1_1', content: '{}' },
    { role: 'tool', tool_call_id: 'call_1_2', content: '{"n":2}' },
  ])
})

test('an answer that asks for too many calls has the first of them carried out', async () => {
  let called = 0
  const many = Array.from({ length: 200 }, (_, n) => ['sort', `{"n":${n}}`] as const)
  const { model, bodies } = scripted(calls(...many), text('Enough.'))
  await walk({
    model,
    tools: {
      sort: async () => {
        called += 1
        return ok('sorted')
      },
    },
  }).end
  expect(called).toBe(32)
  expect(heard(bodies)).toHaveLength(128)
  expect(heard(bodies).at(-1)).toBe('Not called: one answer may ask for 32 calls')
})

test('a model that never comes to an end is stopped, and what it asked for last is not done', async () => {
  let called = 0
  const { model, bodies } = scripted(calls(['sort', '{}']))
  const { end } = walk({
    model,
    maxIterations: 4,
    tools: {
      sort: async () => {
        called += 1
        return ok('sorted')
      },
    },
  })
  await expect(end).rejects.toMatchObject({ code: 'ITERATION_LIMIT' })
  expect(bodies).toHaveLength(4)
  expect(called).toBe(3)
})

test('a refusal is told to the model, which may go another way', async () => {
  const { model, bodies } = scripted(
    calls(['sort', '{}']),
    calls(['read', '{}']),
    text('Read instead.'),
  )
  const { end, steps } = walk({ model, tools: { sort: deny, read: async () => ok('text') } })
  expect((await end).output).toBe('Read instead.')
  expect(heard(bodies)[0]).toBe('Error ACCESS_DENIED: scout may not sort')
  expect(steps[1]).toMatchObject({ tool: 'desk:sort', status: 'denied', code: 'ACCESS_DENIED' })
})

test.each([
  ['in three answers running', ['{"n":1}', '{"n":2}', '{"n":3}'], 3],
  ['for the same call', ['{"n":1}', 'read', '{"n":1}', 'read', '{"n":1}'], 5],
])('an agent that is refused %s is stopped', async (_, asked, turns) => {
  const { model, bodies } = scripted(
    ...asked.map((args) => (args === 'read' ? calls(['read', '{}']) : calls(['sort', args]))),
  )
  const { end } = walk({ model, tools: { sort: deny, read: async () => ok('text') } })
  await expect(end).rejects.toMatchObject({ code: 'POLICY_DENIAL_LOOP' })
  expect(bodies).toHaveLength(turns)
})

test('a tool that takes too long is told as such, also when it does not heed its signal', async () => {
  const { model, bodies } = scripted(calls(['deaf', '{}'], ['polite', '{}']), text('Too slow.'))
  let politeHeard = false
  const { end, steps } = walk({
    model,
    toolTimeoutMs: 20,
    tools: {
      deaf: () => new Promise(() => undefined),
      polite: (_, __, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            politeHeard = true
            reject(signal.reason)
          })
        }),
    },
  })
  await end
  expect(politeHeard).toBe(true)
  expect(heard(bodies)).toEqual(Array(2).fill('Error TIMEOUT: No answer within 0.02 seconds'))
  expect(steps.filter((step) => step.kind === 'tool' && step.code === 'TIMEOUT')).toHaveLength(2)
})

test('stopped while a tool runs, it ends with the reason, and so does the tool', async () => {
  const stop = new AbortController()
  const { model } = scripted(calls(['wait', '{}'], ['wait', '{"n":2}']))
  let ended = 0
  const { end } = walk({
    model,
    signal: stop.signal,
    tools: {
      wait: (_, __, signal) => {
        signal.addEventListener('abort', () => {
          ended += 1
        })
        queueMicrotask(() => stop.abort(new VestryError('CANCELLED')))
        return new Promise(() => undefined)
      },
    },
  })
  await expect(end).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(ended).toBeGreaterThan(0)
})

test('what ends everything ends the work and the calls beside it', async () => {
  const { model, bodies } = scripted(calls(['lock', '{}'], ['wait', '{}']))
  let beside: unknown
  const { end } = walk({
    model,
    tools: {
      lock: async () => {
        throw new VestryError('VAULT_LOCKED')
      },
      wait: (_, __, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            beside = signal.reason
            reject(signal.reason)
          })
        }),
    },
  })
  await expect(end).rejects.toMatchObject({ code: 'VAULT_LOCKED' })
  expect(beside).toMatchObject({ code: 'VAULT_LOCKED' })
  expect(bodies).toHaveLength(1)
})

test('a tool that fails is an answer too, and its own error text goes back', async () => {
  const { model, bodies } = scripted(calls(['sort', '{}'], ['crash', '{}']), text('It broke.'))
  const { end, steps } = walk({
    model,
    tools: {
      sort: async () => ({ text: 'no such ticket', isError: true }),
      crash: async () => {
        throw new TypeError('a secret detail')
      },
    },
  })
  await end
  expect(heard(bodies)[0]).toBe('no such ticket')
  expect(heard(bodies)[1]).toMatch(/^Error INTERNAL_ERROR: /)
  expect(heard(bodies)[1]).not.toContain('secret detail')
  expect(steps.flatMap((step) => (step.kind === 'tool' ? [step.status] : []))).toEqual([
    'error',
    'error',
  ])
})

test('long results are cut, and a conversation that grows without end is ended', async () => {
  const { model, bodies } = scripted(calls(['sort', '{}']), text('Long.'))
  await walk({ model, tools: { sort: async () => ok('x'.repeat(100_000)) } }).end
  expect(heard(bodies)[0]).toBe(`${'x'.repeat(65_536)}\n[cut after 65536 characters]`)
  const endless = scripted(
    calls(...Array.from({ length: 32 }, (_, n) => ['sort', `{"n":${n}}`] as const)),
  )
  const { end } = walk({
    model: endless.model,
    tools: { sort: async () => ok('x'.repeat(100_000)) },
  })
  await expect(end).rejects.toMatchObject({ code: 'CONVERSATION_TOO_LARGE' })
  expect(endless.bodies).toHaveLength(1)
})

test('what the model’s door refuses is not tried again', async () => {
  let asked = 0
  const { end } = walk({
    model: async () => {
      asked += 1
      throw new VestryError('PROVIDER_KEY_MISSING')
    },
  })
  await expect(end).rejects.toMatchObject({ code: 'PROVIDER_KEY_MISSING' })
  expect(asked).toBe(1)
})
