import { afterEach, beforeEach, expect, expectTypeOf, test } from 'vitest'
import * as z from 'zod'
import { ConfigurationError, ModelError } from '../sage/errors.ts'
import type { GatewayReply } from '../testing/fake-gateway.ts'
import { type FakeStack, startFakeStack } from '../testing/fake-stack.ts'
import { createLlmForGateway, type GatewayChatModel } from './chat-model.ts'
import type { StandardSchema } from './standard-schema.ts'
import { withoutFence } from './structured-output.ts'

let stack: FakeStack
beforeEach(async () => {
  const allowedModels = { analysis: ['openai:gpt-4o', 'anthropic:claude-x', 'google:gemini-x'] }
  stack = await startFakeStack({ trat: { allowedModels } })
})
afterEach(() => stack.close())

const FINDING = {
  title: 'Finding',
  type: 'object',
  properties: { rule: { type: 'string' }, line: { type: 'integer', minimum: 1 } },
  required: ['rule'],
} as const

function model(reply?: GatewayReply, ref = 'openai:gpt-4o'): GatewayChatModel {
  if (reply !== undefined) stack.gateway.replies.push(reply)
  return createLlmForGateway(stack.client(), ref)
}

const sent = () => stack.gateway.requests.at(-1)?.body['response_format']

test.each(['openai:gpt-4o', 'anthropic:claude-x', 'google:gemini-x'])(
  'sage §21.27: %s is sent the strict schema, and the answer is a checked value',
  async (ref) => {
    const value = await model('{"rule":"no-eval","line":3}', ref)
      .withStructuredOutput<{ rule: string }>({ schema: FINDING })
      .invoke('x')
    expect(value).toEqual({ rule: 'no-eval', line: 3 })
    expect(sent()).toEqual({
      type: 'json_schema',
      json_schema: {
        name: 'Finding',
        strict: true,
        schema: {
          type: 'object',
          properties: {
            rule: { type: 'string' },
            line: { type: ['integer', 'null'], minimum: 1 },
          },
          required: ['rule', 'line'],
          additionalProperties: false,
        },
      },
    })
  },
)

test('a null that strict mode made of an absent property is absent again', async () => {
  const schema = {
    type: 'object',
    properties: {
      optional: { type: 'string' },
      nullable: { type: ['string', 'null'] },
      list: {
        type: 'array',
        items: { anyOf: [{ $ref: '#/$defs/Node' }, { type: 'null' }] },
      },
    },
    $defs: {
      Node: {
        type: 'object',
        properties: { next: { $ref: '#/$defs/Node' }, n: { type: 'integer' } },
        required: ['n'],
      },
    },
  }
  const text = '{"optional":null,"nullable":null,"list":[null,{"n":1,"next":{"n":2,"next":null}}]}'
  const value = await model(text).withStructuredOutput({ schema }).invoke('x')
  expect(value).toEqual({ nullable: null, list: [null, { n: 1, next: { n: 2 } }] })
})

test('sage §21.27: raw mode gives text, value and error, and does not throw', async () => {
  const asking = (text: string) =>
    model(text).withStructuredOutput({ schema: FINDING, includeRaw: true }).invoke('x')
  expect(await asking('{"rule":"a"}')).toMatchObject({
    raw: { content: '{"rule":"a"}', finishReason: 'stop' },
    parsed: { rule: 'a' },
    parsingError: null,
  })
  expect(await asking('I found nothing.')).toMatchObject({
    raw: { content: 'I found nothing.' },
    parsed: null,
    parsingError: expect.stringContaining('not JSON'),
  })
})

test.each([
  ['I found nothing.', 'it is not JSON'],
  ['{"line":1}', '/rule: is missing'],
  ['{"rule":"a","line":0}', '/line: must be at least 1'],
  ['{"rule":"a","line":1.5}', '/line: must be integer'],
  ['[]', 'the answer: must be object'],
  ['null', 'the answer: must be object'],
])('sage §21.27: the text %s is a ModelError that says what is wrong', async (text, what) => {
  const asking = model(text).withStructuredOutput({ schema: FINDING }).invoke('x')
  await expect(asking).rejects.toThrow(ModelError)
  await expect(asking).rejects.toThrow(what)
  await expect(asking).rejects.toMatchObject({ code: 'invalid_output', exitCode: 60 })
})

test('an answer that was cut off, or refused, says so', async () => {
  const asking = (finishReason: string) =>
    model({ text: '{"rule":', finishReason }).withStructuredOutput({ schema: FINDING }).invoke('x')
  await expect(asking('length')).rejects.toThrow('cut off at the token limit')
  await expect(asking('content_filter')).rejects.toThrow('refused')
})

test('a validator of another library gives its own types and checks', async () => {
  const schema = z.object({
    rule: z.string().transform((rule) => rule.length),
    level: z.enum(['high', 'low']).default('low'),
  })
  const structured = model('```json\n{"rule":"abc","level":null}\n```').withStructuredOutput({
    schema,
    name: 'a finding!',
  })
  const value = await structured.invoke('x')
  expectTypeOf(value).toEqualTypeOf<{ rule: number; level: 'high' | 'low' }>()
  expect(value).toEqual({ rule: 3, level: 'low' })
  expect(sent()).toMatchObject({ json_schema: { name: 'a_finding_', strict: true } })
  const wrong = model('{"rule":1}').withStructuredOutput({ schema }).invoke('x')
  await expect(wrong).rejects.toThrow(/\/rule: /)
})

test('a validator that writes no JSON Schema needs one beside it', async () => {
  const schema: StandardSchema<string> = {
    '~standard': {
      version: 1,
      vendor: 'own',
      validate: async (value) =>
        typeof value === 'string'
          ? { value: value.toUpperCase() }
          : { issues: [{ message: 'no text', path: ['a', { key: 0 }] }] },
    },
  }
  expect(() => model().withStructuredOutput({ schema })).toThrow(ConfigurationError)
  const jsonSchema = { type: 'string' }
  const asking = (text: string) =>
    model(text).withStructuredOutput({ schema, jsonSchema }).invoke('x')
  expect(await asking('"b"')).toBe('B')
  await expect(asking('1')).rejects.toThrow('/a/0: no text')
})

test('non-strict output takes maps, and sends the schema as it is', async () => {
  const schema = { type: 'object', additionalProperties: { type: 'integer' }, title: 'Counts' }
  expect(() => model().withStructuredOutput({ schema })).toThrow('strict: false')
  const value = await model('{"a":1}').withStructuredOutput({ schema, strict: false }).invoke('x')
  expect(value).toEqual({ a: 1 })
  expect(sent()).toEqual({
    type: 'json_schema',
    json_schema: { name: 'Counts', schema, strict: false },
  })
  const wrong = model('{"a":"b"}').withStructuredOutput({ schema, strict: false }).invoke('x')
  await expect(wrong).rejects.toThrow('/a: must be integer')
})

test('a schema that is no plain JSON is refused, strict or not', () => {
  const schema = { type: 'object', properties: {}, check: () => true }
  for (const strict of [true, false]) {
    expect(() => model().withStructuredOutput({ schema, strict })).toThrow(ConfigurationError)
  }
})

test.each([
  ['{"a":1}', '{"a":1}'],
  ['```json\n{"a":1}\n```', '{"a":1}'],
  ['  ```\n{"a":1}\n```\n', '{"a":1}'],
  ['```{"a":1}```', '{"a":1}'],
  ['```json {"a":1}```', '{"a":1}'],
  ['``````', ''],
  ['Use ```x``` here', 'Use ```x``` here'],
])('the code fence around %j is taken off', (text, inside) => {
  expect(withoutFence(text)).toBe(inside)
})
