import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GatewayClient } from '@vestry/sdk/gateway'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CliHome } from './cli.test-kit.ts'

const KEY = 'sk-crm-77aa01f3c2b9'
const cli = new CliHome()
let provider: Server
let agent: GatewayClient

/** Answers with the key it was given, as careless providers do. */
async function startProvider(): Promise<string> {
  provider = createServer((request, response) => {
    request.resume()
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ id: 'c1', seen: request.headers.authorization ?? null }))
  })
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(provider.address() as AddressInfo).port}`
}

beforeAll(async () => {
  const url = await startProvider()
  cli.file(
    'h/vestry.yaml',
    [
      'limits: { authenticate: { per_second: 500, burst: 500 } }',
      'egress: { allow_cidrs: ["127.0.0.1/32"] }',
      'gateway: { agent_auth_mode: signed }',
    ].join('\n'),
  )
  cli.file(
    'crm.yaml',
    [
      'name: crm',
      'description: Contacts',
      `base_url: ${url}`,
      'credential: { header_type: bearer }',
      'actions:',
      '  contact:',
      '    method: GET',
      '    path: /contacts/{id}',
      '    params: { type: object, properties: { id: { type: string } }, required: [id] }',
      '    cache_seconds: 60',
      '  create:',
      '    method: POST',
      '    path: /contacts',
      '    cost_usd: 0.01',
      '    params: { type: object, properties: { name: { type: string } } }',
    ].join('\n'),
  )
  cli.file(
    'tools.cedar',
    [
      '@id("crm") permit (principal, action == Action::"tool:call", resource in Tool::"crm");',
      '@id("mail") @approve("operator") permit (principal, action == Action::"tool:call",',
      '  resource in Tool::"gmail_send");',
    ].join('\n'),
  )
  await cli.up(['--dev'])
  expect((await cli.json(['agent', 'add', 'scout', '--role', 'sales'])).exitCode).toBe(0)
  const added = await cli.json(['policy', 'add', `${cli.base}/tools.cedar`, '--i-understand'])
  expect(added.exitCode, added.out).toBe(0)
})

afterAll(async () => {
  await agent?.[Symbol.asyncDispose]()
  provider.close()
  await cli[Symbol.asyncDispose]()
})

describe('tools', () => {
  test('add, list, show and rm, with what is missing told', async () => {
    const file = `${cli.base}/crm.yaml`
    const added = await cli.json(['tool', 'add', file])
    expect(added).toMatchObject({ exitCode: 0, json: { name: 'crm', origin: 'operator' } })
    const stored = await cli.json(['cred', 'add', 'tools/crm', '--value-stdin'], KEY)
    expect(stored.exitCode).toBe(0)
    const { out } = await cli.vestry(['tool', 'list'])
    expect(out).toMatch(/^crm +operator +live +ready +tools\/crm +contact, create$/m)
    const shown = await cli.vestry(['tool', 'show', 'crm'])
    expect(shown.out).toMatch(/^create +write +no +\$0\.01/m)
    expect(shown.out).toMatch(/^id +contact +string +yes/m)
    expect((await cli.json(['tool', 'rm', 'openai'])).json.error.code).toBe('NOT_FOUND')
  })

  test('a file that is no tool is refused with the place of each problem', async () => {
    const wrong = cli.file('wrong.yaml', 'name: x\ndescription: d\nbase_url: nowhere\n')
    const refused = await cli.vestry(['tool', 'add', wrong])
    expect(refused.exitCode).toBe(1)
    expect(refused.err).toMatch(/^CONFIG_INVALID: .*wrong\.yaml:\d+:\d+: /)
    const absent = await cli.json(['tool', 'add', `${cli.base}/absent.yaml`])
    expect(absent).toMatchObject({ exitCode: 1, json: { error: { code: 'NOT_FOUND' } } })
    const empty = await cli.json(['tool', 'add', cli.file('empty.yaml', '')])
    expect(empty).toMatchObject({ exitCode: 2, json: { error: { code: 'INVALID_PARAMS' } } })
  })

  test('a trial says what would be sent, what is wrong and what policy answers; nothing is sent', async () => {
    const seen: unknown[] = []
    provider.on('request', (request) => seen.push(request.url))
    const trial = (...more: string[]) => cli.vestry(['tool', 'test', 'crm:contact', ...more])
    const good = await trial('--agent', 'scout', '--params', '{"id":"x1"}')
    expect(good.exitCode).toBe(0)
    expect(good.out).toMatch(/^ALLOW {2}scout {2}allowed by "crm"/m)
    expect(good.out).toMatch(/^would send +GET http:\/\/127\.0\.0\.1:\d+\/contacts\/x1$/m)
    const wrong = await trial('--params', '{}')
    expect(wrong).toMatchObject({ exitCode: 1, out: expect.stringContaining('✗ id: is required') })
    await cli.json(['agent', 'add', 'idle', '--role', 'scraper'])
    await cli.json(['policy', 'rm', 'crm'])
    const denied = await trial('--agent', 'idle', '--params', '{"id":"x1"}')
    expect(denied).toMatchObject({ exitCode: 3, out: expect.stringMatching(/^DENY {2}idle/m) })
    await cli.json(['policy', 'add', `${cli.base}/tools.cedar`, '--i-understand'])
    const unnamed = await cli.json(['tool', 'test', 'crm'])
    expect(unnamed).toMatchObject({ exitCode: 2, json: { error: { code: 'USAGE' } } })
    expect(seen).toEqual([])
  })
})

describe('tokens', () => {
  test('what "agent env" prints is all a client needs to sign its token requests', async () => {
    const { json } = await cli.json(['agent', 'env', 'scout'])
    agent = GatewayClient.fromEnvironment(json)
    await agent.getToken({ tools: ['crm'], permissions: ['*'], ttlMinutes: 10 })
    const { records } = (await cli.json(['audit', 'query', '--action', 'token.mint'])).json
    expect(records.at(-1)).toMatchObject({
      actor: 'agent:scout',
      data: { proof: 'signed', tools: ['crm'] },
    })
  })

  test('a token by an operator is shown once, listed without itself, works, and ends when revoked', async () => {
    const words = ['token', 'mint', '--agent', 'scout', '--tool', 'crm', '--permission', 'read']
    expect((await cli.vestry(words)).err).toContain('--force-stdout')
    const { json } = await cli.json([...words, '--ttl', '30m'])
    expect(Date.parse(json.expires_at) - Date.now()).toBeGreaterThan(29 * 60_000)
    const call = () => agent.proxy('crm', 'contact', { id: 'by-operator' }, json.agent_token)
    await expect(call()).resolves.toMatchObject({ id: 'c1' })

    const listed = await cli.vestry(['token', 'list', '--agent', 'scout', '--live'])
    expect(listed.out).toMatch(new RegExp(`^${json.token_id} +scout +crm +read .* live$`, 'm'))
    expect(listed.out).not.toContain(json.agent_token.slice(0, 40))

    const traced = await cli.vestry(['trace', json.token_id])
    expect(traced.out).toMatch(/^└─ token\.mint {2}scout/m)
    expect(traced.out).toMatch(/^ {3}└─ tool\.call {2}crm:contact/m)

    const pasted = await cli.vestry(['token', 'revoke', json.agent_token])
    expect(pasted.exitCode).toBe(2)
    expect(pasted.out + pasted.err).not.toContain(json.agent_token.slice(0, 40))
    expect((await cli.vestry(['token', 'revoke', json.token_id])).out).toBe(
      `revoked ${json.token_id}\n`,
    )
    await expect(call()).rejects.toThrow()
    const after = await cli.vestry(['token', 'list', '--agent', 'scout'])
    expect(after.out).toMatch(new RegExp(`^${json.token_id} .* revoked$`, 'm'))
  })

  test('a lifetime that is no number of minutes is bad usage', async () => {
    const words = ['token', 'mint', '--agent', 'a', '--tool', 't', '--permission', 'read', '--ttl']
    for (const ttl of ['90s', '0', '2d', 'soon']) {
      expect(await cli.json([...words, ttl])).toMatchObject({ exitCode: 2 })
    }
  })
})

describe('what was recorded of a call', () => {
  /** With a correlation id of the caller's own, as operators get it from a log. */
  async function call(correlationId: string, body: object) {
    const { json } = await cli.json([
      ...['token', 'mint', '--agent', 'scout', '--tool', '*', '--permission', '*'],
    ])
    const { GATEWAY_URL: url } = (await cli.json(['agent', 'env', 'scout'])).json
    const response = await fetch(`${url}/api/proxy-request`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-correlation-id': correlationId },
      body: JSON.stringify({ agent_token: json.agent_token, ...body }),
    })
    return { status: response.status, reply: (await response.json()) as { job_id: string } }
  }

  test('a correlation id leads from the token to the status of the provider', async () => {
    const { status } = await call('order-4711', {
      tool: 'crm',
      action: 'contact',
      params: { id: 'a7' },
    })
    expect(status).toBe(200)
    const { out } = await cli.vestry(['trace', 'order-4711'])
    expect(out).toMatch(/^└─ token\.mint/m)
    expect(out).toMatch(/├─ decision {2}allow {2}allowed by "crm"/)
    expect(out).toMatch(/├─ tool {2}crm:contact {2}sha256:[0-9a-f]{12}$/m)
    expect(out).toMatch(/├─ credential {2}tools\/crm {2}version 1$/m)
    expect(out).toMatch(
      /├─ upstream {2}127\.0\.0\.1\/contacts\/a7 {2}200 {2}\d+ms {2}1 redaction$/m,
    )
    expect(out).not.toContain(KEY)
    const [, decision = ''] = /(dec_\w+)$/m.exec(out.split('tool.call')[1] ?? '') ?? []
    for (const id of [decision, 'order-4711'])
      expect((await cli.vestry(['why', id])).out).toMatch(/^ALLOWED {2}agent:scout {2}crm:contact/)
  })

  test('an answer from the cache says so', async () => {
    await call('order-4712', { tool: 'crm', action: 'contact', params: { id: 'a7' } })
    const { out } = await cli.vestry(['trace', 'order-4712'])
    expect(out).toMatch(/├─ answer {2}from the cache$/m)
    expect(out).not.toContain('upstream')
  })

  test('a job is listed, shown with its result, and traced from submission to run', async () => {
    const params = { name: 'Ada' }
    const { status, reply } = await call('order-4713', {
      ...{ tool: 'crm', action: 'create', params },
      async: true,
    })
    expect(status).toBe(202)
    const id = reply.job_id
    await expect
      .poll(async () => (await cli.json(['job', 'show', id])).json.status, { timeout: 10_000 })
      .toBe('done')
    const listed = await cli.vestry(['job', 'list', '--state', 'done'])
    expect(listed.out).toMatch(new RegExp(`^${id} +crm:create +scout +queued +done`, 'm'))
    const shown = await cli.vestry(['job', 'show', id])
    expect(shown.out).toContain('"id": "c1"')
    expect(shown.out).not.toContain(KEY)
    const { out } = await cli.vestry(['trace', id])
    expect(out).toMatch(/^ {3}└─ tool\.submit {2}crm:create/m)
    expect(out).toMatch(/^ {6}└─ tool\.call {2}crm:create/m)
    expect(out).toMatch(/upstream {2}127\.0\.0\.1\/contacts {2}200/)
    const unknown = await cli.json(['job', 'show', `${id.slice(0, -4)}none`])
    expect(unknown.json.error).toMatchObject({
      code: 'JOB_NOT_FOUND',
      hint: expect.stringContaining('vestry job list'),
    })
    expect((await cli.json(['trace', 'order-0000'])).json.error.code).toBe('NOT_FOUND')
  })

  test('who is asked to allow a call reads where it goes and how large it is, and nothing of it', async () => {
    const params = { to: 'ada@example.com', subject: 'the-hidden-subject', body: 'b' }
    await call('order-4714', { tool: 'gmail_send', action: 'send', params })
    const { approvals } = (await cli.json(['approval', 'list', '--state', 'pending'])).json
    expect(approvals).toMatchObject([
      { summary: expect.stringMatching(/^gmail_send:send to example\.com, \d+ bytes$/) },
    ])
    expect(JSON.stringify(approvals)).not.toContain('the-hidden-subject')
  })
})
