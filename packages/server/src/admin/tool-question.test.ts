import { expect, test } from 'vitest'
import { toolQuestion } from './tool-question.ts'

test('a call of a tool is asked with its size, its target, its people and its texts', () => {
  const fetched = toolQuestion({
    tool: 'http_fetch',
    action: 'get',
    params: { url: 'https://Example.com/a?b=1', maxSize: 5 },
    intent: 'look',
  })
  expect(fetched.resource).toMatchObject({ kind: 'tool', tool: 'http_fetch', action: 'get' })
  expect(fetched.context).toMatchObject({
    requestBytes: 47,
    intent: 'look',
    method: 'GET',
    target: { scheme: 'https', host: 'example.com', port: 443, path: '/a' },
    nums: { '/maxSize': 5, '/url#length': 25 },
  })
  const sent = toolQuestion({
    tool: 'gmail_send',
    action: 'send',
    params: { to: ['Ada <ada@Example.com>', 'x@b.test'], cc: 'nobody', subject: 'hi' },
  })
  expect(sent.context).toMatchObject({
    recipients: ['example.com', 'b.test'],
    args: { '/subject': 'hi', '/cc': 'nobody' },
    nums: { '/subject#length': 2 },
  })
})
