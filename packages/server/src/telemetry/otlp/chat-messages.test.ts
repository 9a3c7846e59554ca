import { expect, test } from 'vitest'
import { inputMessages, outputMessages, rolesOnly } from './chat-messages.ts'

const user = { role: 'user', content: 'hello' }

test.each([
  ['a list of messages', { args: [[user]], kwargs: {} }],
  ['options with messages', { args: [], kwargs: { messages: [user] } }],
  ['an object that is the only argument', { args: [{ messages: [user] }], kwargs: {} }],
  ['a prompt', { args: [], kwargs: { prompt: 'hello' } }],
  ['an input of the Responses API', { args: [], kwargs: { input: 'hello' } }],
  ['a text', { args: ['hello'], kwargs: {} }],
  [
    'contents of Gemini',
    { args: [], kwargs: { contents: [{ role: 'user', parts: [{ text: 'hello' }] }] } },
  ],
])('the messages asked with are found in %s', (_name, preview) => {
  expect(inputMessages(preview)).toEqual([user])
})

test('a system prompt comes first, wherever it stands', () => {
  const preview = {
    args: [],
    kwargs: { system: [{ type: 'text', text: 'be kind' }], messages: [user] },
  }
  expect(inputMessages(preview)).toEqual([{ role: 'system', content: 'be kind' }, user])
})

test('parts that are no text are told by their type, calls of tools by name', () => {
  const content = [
    { type: 'text', text: 'see' },
    { type: 'image', source: { data: 'AAAA' } },
    { type: 'tool_use', id: 'toolu_1', name: 'read', input: { secret: 1 } },
  ]
  expect(outputMessages({ role: 'assistant', content })).toEqual([
    { role: 'assistant', content: 'see\n<image>', toolCalls: [{ id: 'toolu_1', name: 'read' }] },
  ])
})

const answer = [{ role: 'assistant', content: 'hi' }]
test.each([
  ['a text', 'hi'],
  ['a message', { role: 'assistant', content: 'hi' }],
  ['choices', { choices: [{ message: { role: 'assistant', content: 'hi' } }] }],
  ['choices of completions', { choices: [{ text: 'hi' }] }],
  ['candidates', { candidates: [{ content: { role: 'model', parts: [{ text: 'hi' }] } }] }],
  [
    'an output list',
    { output: [{ role: 'assistant', content: [{ type: 'output_text', text: 'hi' }] }] },
  ],
  ['a text beside other things', { text: 'hi', usage: {} }],
])('the answer is found in %s', (_name, result) => {
  expect(outputMessages(result)).toEqual(answer)
})

test('what is no answer is none', () => {
  for (const result of [undefined, null, 7, {}, [], { data: [0.1] }])
    expect(outputMessages(result)).toEqual([])
  expect(inputMessages({})).toEqual([])
})

test('roles alone are told where that is all there is', () => {
  expect(rolesOnly({ count: 2, roles: ['system', 'user', 7] })).toEqual([
    { role: 'system' },
    { role: 'user' },
  ])
  expect(rolesOnly(undefined)).toEqual([])
})
