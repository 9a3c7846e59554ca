/** Marked secrets in every place a caller or an operator can put one: none may be found afterwards. */
import { generateKeyPairSync } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test, vi } from 'vitest'
import { leaksIn } from '../harness/needles.ts'
import { CREDENTIALS, startSecurityWorld } from './security-world.ts'
import { LETTER } from './world.ts'

/** What callers write, and nobody may write down. */
const MARKS = {
  prompt: 'prompt-Vb4Xk8Rj1Lq',
  completion: 'completion-Zt5Hw2Mn9Pd',
  subject: 'subject-Qf7Cg3Ys6Nk',
  mailBody: 'mailbody-Dj9Ue5Bx2Ra',
  html: 'html-Tn6Fs1Wv8Gc',
  recipient: 'kx4pq7rw.zz@example.org',
  query: 'search-Lm3Ky7Vd5Eh',
  secretQuery: 'urlsecret-Hs8Nb4Xz1Jt',
  note: 'note-Pr2Gf6Cu9Kw',
  wrongParam: 'wrong-Ya5Td3Mv7Qs',
  paramName: 'name-Wc1Ej8Zb4Rn',
  proof: 'proof-Uk6Ox2Sl9Fm',
  badToken: 'badtoken-Gv7Ai3Hp5Ty',
  replyEcho: 'reply-Ix9Bn1Dw6Ko',
  setCredential: 'creds-set-Nq4Rz8Jf2Ue',
  activated: 'creds-act-Ol5Vt7Kx3Sb',
} as const

test('gateway §19.29, gateway §19.30: after calls of all kinds, no log, file, row or output holds a secret', async () => {
  const printed: string[] = []
  const listen = (stream: NodeJS.WriteStream) =>
    vi.spyOn(stream, 'write').mockImplementation((chunk) => {
      printed.push(String(chunk))
      return true
    })
  const spies = [listen(process.stdout), listen(process.stderr)]
  const spiedConsole = (['log', 'info', 'warn', 'error', 'debug'] as const).map((name) =>
    vi.spyOn(console, name).mockImplementation((...words) => void printed.push(words.join(' '))),
  )
  await using world = await startSecurityWorld({ retry_max_retries: 0, cb_fail_threshold: 1_000 })
  const { node, home } = world
  const secrets: Record<string, string> = { ...MARKS, ...CREDENTIALS }
  const answers: string[] = []
  const jobs: string[] = []
  const remember = (answer: { json: unknown }) => answers.push(JSON.stringify(answer.json))

  const made = await node.asAdmin('POST', '/api/create-agent', {
    name: 'marked',
    created_by: 'tests',
    role: 'none',
  })
  const [, keyLine = ''] = made.private_key.split('\n')
  secrets['agentKey'] = keyLine
  const { privateKey } = generateKeyPairSync('ed25519')
  secrets['postedKey'] =
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().split('\n')[1] ?? ''
  await node.http(
    'POST',
    '/api/create-agent',
    {
      name: 'x',
      created_by: 'y',
      role: 'z',
      public_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    },
    world.operatorHeaders,
  )
  await node.asAdmin('POST', '/api/admin/creds/set', {
    tool: 'crm',
    version: '1',
    credential: MARKS.setCredential,
  })
  const second = await node.asAdmin('POST', '/api/admin/creds/set', {
    tool: 'openai',
    version: '2',
    credential: { key: MARKS.activated },
  })
  await node.asAdmin('POST', '/api/admin/creds/activate', { id: second.id })
  await node.http(
    'POST',
    '/api/admin/creds/set',
    { tool: 7, version: {}, credential: MARKS.setCredential },
    world.operatorHeaders,
  )

  const id: string = made.agent_id
  await node.allow(id, {
    scopes: ['*'],
    guards: { allowedDomains: [world.host], piiFilters: ['email'] },
    responseFilters: { redactFields: ['password'], blockPatterns: ['blocked-word'] },
  })
  const token = await node.token(id)
  const narrow = await node.token(id, { tools: ['serpapi'], permissions: [] })
  for (const [name, text] of Object.entries({ token, narrow })) {
    const [payload = '', signature = ''] = text.split('.')
    secrets[`${name}Payload`] = payload
    secrets[`${name}Signature`] = signature
  }
  const letter = {
    ...LETTER,
    to: MARKS.recipient,
    subject: MARKS.subject,
    body: MARKS.mailBody,
    html: MARKS.html,
  }
  const calls: [`${string}:${string}`, object][] = [
    ['serpapi:search', { q: MARKS.query }],
    ['openai:chat', { messages: [{ role: 'user', content: MARKS.prompt }] }],
    ['openai:complete', { prompt: MARKS.completion }],
    ['gmail_send:send', letter],
    ['gmail_send:profile', {}],
    ['http_fetch:get', { url: world.at(`/page?key=${MARKS.secretQuery}`) }],
    ['crm:add', { note: MARKS.note }],
    ['crm:find', { q: { [MARKS.paramName]: MARKS.wrongParam } }],
    ['gmail_send:send', { ...letter, to: `${MARKS.recipient}\r\nBcc: ${MARKS.wrongParam}` }],
    ['serpapi:search', { q: MARKS.query, num: MARKS.wrongParam }],
    ['http_fetch:get', { url: `https://user:${MARKS.secretQuery}@example.com/` }],
    ['http_fetch:get', { url: `https://other.example/?key=${MARKS.secretQuery}` }],
    ['nosuch:tool', { x: MARKS.wrongParam }],
  ]
  type Handler = Parameters<typeof world.upstreamDoes>[0]
  const moods: [string, Handler][] = [
    [
      'echoes',
      (request, reply) => void reply.end(JSON.stringify({ echo: request, word: MARKS.replyEcho })),
    ],
    [
      'complains',
      (request, reply) => {
        reply.writeHead(400, { 'content-type': 'application/json', 'x-echo': MARKS.replyEcho })
        reply.end(JSON.stringify({ error: request }))
      },
    ],
    ['fails', (request, reply) => void reply.writeHead(500).end(JSON.stringify(request))],
    ['refuses us', (request, reply) => void reply.writeHead(401).end(JSON.stringify(request))],
    ['says no JSON', (request, reply) => void reply.end(`<p>${MARKS.replyEcho} ${request.url}`)],
    ['resets', (_request, reply) => void reply.socket?.resetAndDestroy()],
    ['is withheld', (_request, reply) => void reply.end(`{"a":"blocked-word ${MARKS.replyEcho}"}`)],
  ]
  for (const [mood, handler] of moods) {
    world.upstreamDoes(handler)
    await Promise.all(
      calls.flatMap(([called, params], n) => [
        node.call(token, called, params).then(remember),
        node
          .call(token, called, params, { idempotency_key: `key-${n}-${mood.replace(/ /g, '_')}` })
          .then(remember),
        node.call(narrow, called, params).then(remember),
        node.call(token, called, params, { async: true }).then(async ({ status, json }) => {
          if (status !== 202) return
          jobs.push(json.job_id)
          remember({ json: await node.ended(json.job_id) })
        }),
        node.call(token, called, params, { proof_payload: { agent_id: MARKS.proof } }),
        node.call(token, called, params, { proof_payload: MARKS.proof }),
        node.call(`${MARKS.badToken}.${MARKS.badToken}`, called, params),
        node.call(`${token}x`, called, params),
        node.call(token, called, params, { token_id: MARKS.proof, proof_payload: MARKS.proof }),
        node.http(
          'POST',
          '/api/proxy-request',
          `{"agent_token":"${token}","params":${JSON.stringify(params)}`,
        ),
        node.http('POST', '/api/generate-token', {
          agent_id: id,
          tools: [params],
          expires_at: MARKS.proof,
          permissions: [],
        }),
      ]),
    )
  }

  // A job that has not ended yet has its input in the store.
  let release = () => {}
  world.upstreamDoes((_request, reply) => {
    release = () => void reply.end('{}')
  })
  await node.call(token, 'crm:add', { note: MARKS.note }, { async: true })
  const dump = dumpOf(home.store)
  expect(dump.length).toBeGreaterThan(10_000)
  release()

  // The bearer of one marker in an answer is its own caller; credentials come back to nobody.
  const heard = answers.join('\n')
  for (const [name, secret] of Object.entries(CREDENTIALS))
    expect(leaksIn(heard, secret), `${name} in an answer`).toEqual([])
  expect(leaksIn(heard, MARKS.activated), 'the activated one').toEqual([])

  const { logs } = await node.asAdmin('GET', '/api/proxy/logs?limit=1000')
  expect(logs.length).toBeGreaterThan(50)
  const admin = JSON.stringify([
    logs,
    await node.asAdmin('GET', '/api/policy-logs?limit=100'),
    await node.asAdmin('GET', '/api/admin/creds'),
    await node.asAdmin('GET', '/api/agents'),
    await (await fetch(`${node.url}/metrics`)).text(),
  ])
  const files = filesUnder(home.dir)
  const warned = world.warnings.join('\n')
  const output = printed.join('\n')
  for (const spy of [...spies, ...spiedConsole]) spy.mockRestore()
  for (const [name, secret] of Object.entries(secrets)) {
    expect(secret.length, name).toBeGreaterThan(8)
    expect(leaksIn(dump, secret), `${name} in the database`).toEqual([])
    expect(leaksIn(files, secret), `${name} in a file`).toEqual([])
    expect(leaksIn(admin, secret), `${name} in an admin listing`).toEqual([])
    expect(leaksIn(warned, secret), `${name} in a warning`).toEqual([])
    expect(leaksIn(output, secret), `${name} in the output`).toEqual([])
  }
  // Whoever knows the id of a job may read its result, so those who read the log must not learn it.
  const log = filesUnder(join(home.dir, 'audit'))
  expect(jobs.length).toBeGreaterThan(20)
  expect(jobs.filter((id) => log.includes(id) || warned.includes(id))).toEqual([])
  // The search was not blind: what may be found is found.
  expect(files).toContain('crm:add')
  expect(files).toContain(id)
})

/** Every row of every table, as text and as bytes. */
function dumpOf(path: string): string {
  using store = new DatabaseSync(path, { readOnly: true })
  const tables = store.prepare(`select name from sqlite_master where type = 'table'`).all()
  return tables
    .flatMap(({ name }) => store.prepare(`select * from "${String(name)}"`).all())
    .flatMap((row) => Object.values(row))
    .map((value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value),
    )
    .join('\n')
}

function filesUnder(dir: string): string {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'))
    .join('\n')
}
