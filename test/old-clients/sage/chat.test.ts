import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noPython } from '../client-process.ts'
import { PROVIDERS, result, type SageWorld, says, startSageWorld } from './sage-world.ts'

const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const READ_FILE = {
  type: 'function',
  function: {
    name: 'read_file',
    description: 'Reads a file',
    parameters: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
  },
}
const LIST = {
  type: 'function',
  function: { name: 'list', description: 'Lists', parameters: { type: 'object', properties: {} } },
}

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  let env: Record<string, string>
  beforeAll(async () => {
    world = await startSageWorld()
    env = await world.run()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  describe.each(PROVIDERS)('with $provider', ({ provider, model }) => {
    const ref = `${provider}:${model}`
    const ask = async (args: object) =>
      result(await world.ask(env, 'chat', { model: ref, ...args }))
    const fake = () => world.providers[provider]
    const lastBody = (): string => fake().requests.at(-1)?.text ?? ''

    test('sage §21.21: a plain answer, with the provider’s own counts', async () => {
      fake().script({ text: 'grün ✓', usage: { prompt: 210, completion: 9 } })
      expect(await ask({ messages: says('Größe?') })).toMatchObject({
        content: 'grün ✓',
        tool_calls: [],
        usage: { input_tokens: 210, output_tokens: 9, total_tokens: 219 },
      })
      expect(lastBody()).toContain('Größe?')
    })

    test('sage §21.21: a conversation of several turns', async () => {
      fake().script({ text: 'Yes.' })
      const messages = [
        { type: 'system', content: 'Be brief.' },
        ...says('Is it safe?'),
        { type: 'ai', content: 'Looks so.' },
        ...says('Sure?'),
      ]
      expect(await ask({ messages })).toMatchObject({ content: 'Yes.' })
      for (const text of ['Be brief.', 'Is it safe?', 'Looks so.', 'Sure?'])
        expect(lastBody()).toContain(text)
    })

    test('sage §21.21: tool calls without a text, one without arguments, two at once', async () => {
      fake().script({
        tools: [
          { name: 'read_file', arguments: { path: 'src/app.ts' } },
          { name: 'list', arguments: {} },
        ],
      })
      const { content, tool_calls } = await ask({
        messages: says('Look.'),
        tools: [READ_FILE, LIST],
      })
      expect(content).toBe('')
      expect(tool_calls).toMatchObject([
        { name: 'read_file', args: { path: 'src/app.ts' } },
        { name: 'list', args: {} },
      ])
      expect(new Set(tool_calls.map(({ id }: { id: string }) => id)).size).toBe(2)
    })

    test('sage §21.21: the results of tool calls go back, as text and as parts', async () => {
      fake().script({
        tools: [
          { name: 'read_file', arguments: { path: 'a.ts' } },
          { name: 'list', arguments: {} },
        ],
      })
      const tools = [READ_FILE, LIST]
      const { tool_calls } = await ask({ messages: says('Look.'), tools })
      fake().script({ text: 'Seen.' })
      const results = [
        { type: 'tool', tool_call_id: tool_calls[0].id, content: 'file content' },
        {
          type: 'tool',
          tool_call_id: tool_calls[1].id,
          content: [{ type: 'text', text: 'list content' }],
        },
      ]
      const messages = [...says('Look.'), { type: 'ai', content: '', tool_calls }, ...results]
      expect(await ask({ messages, tools })).toMatchObject({ content: 'Seen.' })
      for (const text of ['file content', 'list content']) expect(lastBody()).toContain(text)
    })

    test.each([
      ['OpenAI’s', { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } }],
      [
        'an older block',
        { type: 'image', source_type: 'base64', mime_type: 'image/png', data: PIXEL },
      ],
      ['a newer block', { type: 'image', base64: PIXEL, mime_type: 'image/png' }],
    ])('sage §21.21: parts of several kinds, an image as %s', async (_what, image) => {
      fake().script({ text: 'A pixel.' })
      const messages = says([{ type: 'text', text: 'What is it?' }, image])
      expect(await ask({ messages })).toMatchObject({ content: 'A pixel.' })
      expect(lastBody()).toContain(PIXEL)
    })

    test('sage §21.21: stop, max_tokens, top_p and seed', async () => {
      fake().script({ text: 'short' })
      const wish = { stop: ['STOP-HERE'], max_tokens: 77, top_p: 0.25, seed: 4_242 }
      expect(await ask({ messages: says('x'), ...wish })).toMatchObject({ content: 'short' })
      for (const sent of ['STOP-HERE', '77', '0.25']) expect(lastBody()).toContain(sent)
      // Anthropic has no seed.
      expect(lastBody().includes('4242')).toBe(provider !== 'anthropic')
    })
  })

  test('sage §21.22: a reasoning model, with the temperature that this client always sends', async () => {
    world.providers.openai.script({ text: 'Thought through.' })
    const args = { model: 'openai:o3', messages: says('x'), max_tokens: 50 }
    expect(result(await world.ask(env, 'chat', args))).toMatchObject({
      content: 'Thought through.',
    })
    expect(world.providers.openai.requests.at(-1)?.body).not.toHaveProperty('temperature')
  })

  test('sage §21.30: a thought signature survives this client, which gives back no more than id, name and arguments', async () => {
    const model = 'google:gemini-3-pro-preview'
    const signed = await world.run({ allowed_models: { analysis: [model] } })
    world.providers.google.script({ tools: [{ name: 'read_file', arguments: { path: 'a.ts' } }] })
    const args = { model, messages: says('Look.'), tools: [READ_FILE] }
    const { tool_calls } = result(await world.ask(signed, 'chat', args))
    expect(
      Object.keys(tool_calls[0]).filter((name) => !/^(?:id|name|args|type)$/.test(name)),
    ).toEqual([])
    // The fake refuses a history without the signature, as the real API does.
    world.providers.google.script({ text: 'Seen.' })
    const messages = [
      ...says('Look.'),
      { type: 'ai', content: '', tool_calls },
      { type: 'tool', tool_call_id: tool_calls[0].id, content: 'file content' },
    ]
    const answer = await world.ask(signed, 'chat', { ...args, messages })
    expect(result(answer)).toMatchObject({ content: 'Seen.' })
    const other = await world.run({ allowed_models: { analysis: [model] } })
    const refused = await world.ask(other, 'chat', { ...args, messages })
    expect(refused.raised?.message).toContain('400')
  })
})
