import { type ChatRequest, checkChat } from '@vestry/sdk/llm/providers'
import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import { answerTo } from './answer.ts'

const CODE = [
  '```python',
  '1: import os',
  '2: eval(input())',
  '3: os.system("ls " + name)',
  '```',
].join('\n')
const request = (more: object = {}): ChatRequest =>
  checkChat({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Say hello.' }], ...more })

const FINDINGS = {
  type: 'object',
  properties: {
    findings: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          rule_id: { type: 'string' },
          severity: { enum: ['high', 'low'] },
          start_line: { type: 'integer', minimum: 1 },
          snippet: { type: 'string', maxLength: 12 },
          confidence: { type: 'number', minimum: 0, maximum: 1 },
          fix: { anyOf: [{ type: 'null' }, { type: 'string' }] },
          parent: { $ref: '#/$defs/Ref' },
        },
        required: ['rule_id', 'severity', 'start_line', 'snippet', 'confidence', 'fix', 'parent'],
        additionalProperties: false,
      },
    },
    suspicious: { type: 'boolean' },
  },
  required: ['findings', 'suspicious'],
  additionalProperties: false,
  $defs: { Ref: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] } },
}

test('the same request is answered the same, and another one differently', () => {
  expect(answerTo(request())).toEqual(answerTo(request()))
  const other = answerTo(request({ messages: [{ role: 'user', content: 'Say goodbye.' }] }))
  expect(other.text).not.toBe(answerTo(request()).text)
  expect(other.text).toContain('Say goodbye.')
})

test('counts are whole numbers that add up', () => {
  const { usage } = answerTo(request())
  expect(usage.prompt_tokens).toBeGreaterThan(0)
  expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens)
})

test('a limit cuts the answer, and says so', () => {
  expect(answerTo(request({ max_tokens: 2 }))).toMatchObject({ finishReason: 'length' })
  expect(answerTo(request({ max_tokens: 2 })).text).toHaveLength(8)
})

describe('a prompt with code', () => {
  const messages = [{ role: 'user', content: `Review this.\n${CODE}` }]

  test('names the lines that stand out', () => {
    expect(answerTo(request({ messages })).text).toMatch(/^Line 2: .+\nLine 3: /)
  })

  test('fills a schema with them', () => {
    const schema = { name: 'report', schema: FINDINGS, strict: true }
    const { text } = answerTo(
      request({ messages, response_format: { type: 'json_schema', json_schema: schema } }),
    )
    const value = JSON.parse(text)
    expect(new Ajv().validate(FINDINGS, value)).toBe(true)
    expect(value).toMatchObject({
      suspicious: true,
      findings: [
        { rule_id: 'code-injection', start_line: 2, severity: 'high', snippet: 'eval(input()' },
        { rule_id: 'command-injection', start_line: 3 },
      ],
    })
  })

  test('is answered in JSON when JSON is asked for', () => {
    const asked = [
      { role: 'system', content: 'Answer with a JSON array of findings.' },
      ...messages,
    ]
    expect(JSON.parse(answerTo(request({ messages: asked })).text)).toHaveLength(2)
    const object = answerTo(request({ messages, response_format: { type: 'json_object' } }))
    expect(JSON.parse(object.text).findings).toHaveLength(2)
  })
})

test('without anything suspicious a schema is filled all the same', () => {
  const schema = { name: 'report', schema: FINDINGS, strict: true }
  const { text } = answerTo(
    request({ response_format: { type: 'json_schema', json_schema: schema } }),
  )
  expect(JSON.parse(text)).toEqual({ findings: [], suspicious: false })
})

test('a schema that refers to itself comes to an end', () => {
  const node = {
    type: 'object',
    properties: { next: { $ref: '#' }, again: { $ref: '#/properties/again' } },
  }
  const schema = { name: 'x', schema: node }
  const { text } = answerTo(
    request({ response_format: { type: 'json_schema', json_schema: schema } }),
  )
  expect(JSON.parse(text)).toBeTypeOf('object')
})

describe('tools', () => {
  const tool = (name: string, parameters?: object) => ({
    type: 'function',
    function: { name, ...(parameters && { parameters }) },
  })
  const tools = [
    tool('look', { type: 'object', properties: { at: { type: 'string' } }, required: ['at'] }),
    tool('wait'),
  ]

  test.each([
    [undefined, []],
    ['auto', []],
    ['none', []],
    ['required', ['look', 'wait']],
    [{ type: 'function', function: { name: 'wait' } }, ['wait']],
  ])('with the choice %j these are called: %j', (tool_choice, names) => {
    const { toolCalls, finishReason, text } = answerTo(
      request({ tools, ...(tool_choice !== undefined && { tool_choice }) }),
    )
    expect(toolCalls.map((call) => call.function.name)).toEqual(names)
    if (names.length === 0) return
    expect([finishReason, text]).toEqual(['tool_calls', ''])
    for (const call of toolCalls) expect(JSON.parse(call.function.arguments)).toBeTypeOf('object')
    expect(new Set(toolCalls.map(({ id }) => id)).size).toBe(names.length)
  })

  test('one at a time where several at once are not wanted', () => {
    const { toolCalls } = answerTo(
      request({ tools, tool_choice: 'required', parallel_tool_calls: false }),
    )
    expect(toolCalls).toHaveLength(1)
  })
})
