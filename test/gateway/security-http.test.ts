/** Requests that no route ever sees are answered like all others. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseRaw, type SecurityWorld, sendRaw, startSecurityWorld } from './security-world.ts'

let world: SecurityWorld

beforeAll(async () => {
  world = await startSecurityWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const CORRELATION = /^[A-Za-z0-9._:-]{1,128}$/

test.each([
  ['without a host', 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
  [
    'of an agent without a host',
    'POST /api/proxy-request HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}',
    400,
  ],
  ['to nobody without a host', 'GET /api/nothing HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
  [
    'that expects what nobody offers',
    'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: policy\r\n\r\n',
    417,
  ],
  [
    'whose path cannot be decoded',
    'GET /policy%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    400,
  ],
  ['that is none', 'policy\r\n\r\n', 400],
  [
    'whose headers are too many',
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`,
    431,
  ],
  [
    'to a path of nobody, with a body that is no JSON',
    'POST /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\npolicy',
    400,
  ],
])(
  'gateway §19.6, gateway §19.8: a request %s is told so in an object, under a correlation id, unquoted',
  async (_kind, bytes, status) => {
    const answer = parseRaw(await sendRaw(world.node.url, bytes))
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(answer.headers.get('x-correlation-id')).toMatch(CORRELATION)
    const body = JSON.parse(answer.body) as { error: string; code: string }
    expect(body.error).toMatch(/./)
    expect(answer.body).not.toMatch(/policy|scope/i)
    expect(body.code).toBe('BAD_REQUEST')
  },
)

test.each(['a'.repeat(300), 'a'.repeat(3_000), 'scope%ff', '%00', '%2e%2e%2f'])(
  'gateway §19.6: a job id that is none (%s) is like one that is unknown',
  async (id) => {
    const heard = await sendRaw(
      world.node.url,
      `GET /api/jobs/${id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    const answer = parseRaw(heard)
    expect(answer.headers.get('x-correlation-id')).toMatch(CORRELATION)
    expect([answer.status, JSON.parse(answer.body)]).toEqual([
      404,
      {
        error: 'Job not found',
        code: 'JOB_NOT_FOUND',
        correlation_id: answer.headers.get('x-correlation-id'),
      },
    ])
  },
)
