import { createPublicKey, hash, verify as verifySignature } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { textWidth } from '../../packages/server/src/cli/terminal-text.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'

/** Members of all answers that are looked into here; which of them is there is what is tested. */
interface Body {
  readonly review_id: string
  readonly status: string
  readonly comments: string
  readonly risk_score: number
  readonly schema_hash: string
  readonly signature: string
  readonly canonical_json: string
  readonly public_key_pem: string
  readonly tool: object
  readonly diff: object
  readonly warnings: readonly string[]
  readonly state: {
    readonly analysis_id: string | null
    readonly analysis_completed_at: string | null
    readonly critical_findings: readonly object[]
  }
  readonly entries: readonly { readonly to: string; readonly hash: string }[]
  readonly queue: readonly { readonly review_id: string }[]
  readonly sessions: readonly { readonly review_id: string; readonly status: string }[]
  readonly pagination: { readonly total: number }
  readonly code: string
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly body: Body
}

let at: TestDaemon
let adminKey: string
let scoutKey: string

beforeAll(async () => {
  at = await startTestDaemon()
  adminKey = readFileSync(at.home.adminKey, 'utf8').trim()
  await at.addAgent('scout')
  const { key } = (await at.admin.call('admin.key.add', { name: 'scout', agent: 'scout' })) as {
    key: string
  }
  scoutKey = key
})
afterAll(() => at.stop())

async function ask(
  method: string,
  path: string,
  { body, key = adminKey }: { body?: object | string; key?: string } = {},
): Promise<Answer> {
  const answer = await fetch(`${at.daemon.ready.http}/api/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, text, body: JSON.parse(text) }
}

/** As the published client writes it: the schema under `tool_schema`, all optional members, numbers with a point. */
const submission = (name: string, more: object = {}) => ({
  tool: {
    name,
    description: 'Looks up tide times for a harbour',
    tool_schema: {
      type: 'object',
      properties: {
        harbour: { type: 'string', enum: ['north', 'south'] },
        days: { type: 'integer', minimum: 1, maximum: 14 },
      },
      required: ['harbour'],
    },
    provider: { name: 'sea.example', public_key_url: null },
    ...more,
  },
  submitted_by: 'dana@sea.example',
  priority: 'normal',
})

async function submitted(body: object, key = adminKey): Promise<string> {
  const made = await ask('POST', 'tool-review/sessions', { body, key })
  expect(made.status).toBe(201)
  return made.body.review_id
}

/** As clients do: looks again until the tool has been analysed. */
async function analysed(id: string): Promise<Answer> {
  for (let looks = 0; looks < 500; looks += 1) {
    const answer = await ask('GET', `tool-review/sessions/${id}`)
    if (answer.body.state.analysis_completed_at !== null) return answer
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('the analysis does not end')
}

const decide = (id: string, body: object) =>
  ask('POST', `tool-review/sessions/${id}/decisions`, { body })
const STAMP = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

test('runtime §20.8: a tool goes from submission to signature in the shapes that clients read', async () => {
  const made = await ask('POST', 'tool-review/sessions', { body: submission('tide_table') })
  expect(made).toMatchObject({
    status: 201,
    body: {
      review_id: expect.stringMatching(/^rev_[0-9a-z]{26}$/),
      status: 'pending_analysis',
      submitted_at: STAMP,
      estimated_completion: null,
    },
  })
  const id = made.body.review_id
  // Its id is there before its result, and whoever asks for it then waits for it.
  let early: Answer
  do early = await ask('GET', `tool-review/sessions/${id}`)
  while (early.body.state.analysis_id === null)
  const results = await ask('GET', `tool-review/analysis/${early.body.state.analysis_id}`)
  expect(results).toMatchObject({
    status: 200,
    body: {
      analysis_id: early.body.state.analysis_id,
      risk_score: expect.any(Number),
      findings: expect.any(Array),
      recommendations: expect.any(Array),
      completed_at: STAMP,
      review_id: id,
    },
  })
  expect(Number.isInteger(results.body.risk_score)).toBe(true)
  expect(results.body.risk_score).toBeLessThanOrEqual(10)

  expect((await analysed(id)).body).toMatchObject({
    review_id: id,
    tool: {
      name: 'tide_table',
      description: 'Looks up tide times for a harbour',
      schema: { type: 'object', required: ['harbour'], properties: { days: { maximum: 14 } } },
      provider: { name: 'sea.example', public_key_url: null },
    },
    status: 'pending_review',
    state: {
      type: 'awaiting_human_review',
      analysis_completed_at: STAMP,
      critical_findings: [],
      human_reviewer_id: null,
      review_started_at: null,
    },
    submitted_by: 'dana@sea.example',
    estimated_completion: null,
    priority: 'normal',
  })

  const decided = await decide(id, { decision: 'approve', comments: null, reviewer_id: 'ada' })
  expect(decided).toMatchObject({
    status: 200,
    body: {
      review_id: id,
      decision: 'approve',
      status: 'approved',
      next_action: 'signing',
      reviewer_id: 'ada',
    },
  })
  expect((await ask('GET', `tool-review/sessions/${id}`)).body.status).toBe('approved')
  expect((await ask('GET', `tool-review/signed/${id}`)).body).toMatchObject({ code: 'NOT_SIGNED' })

  const body = { review_id: id, signing_key_id: 'default' }
  const signing = await ask('POST', 'tool-review/sign', { body })
  expect(signing).toMatchObject({
    status: 200,
    body: {
      signature: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/),
      signed_at: STAMP,
      signer_id: 'localhost',
      signature_algorithm: 'ECDSA_P256',
      signing_key_id: 'default',
      canonicalization: 'schemapin-v1',
      signature_profile: 'A',
    },
  })
  expect((await ask('POST', 'tool-review/sign', { body })).body.signature).toBe(
    signing.body.signature,
  )

  const signed = await ask('GET', `tool-review/signed/${id}`)
  expect(signed.body).toMatchObject({ review_id: id, signature: signing.body.signature })
  expect(JSON.stringify(signed.body.tool)).toBe(signed.body.canonical_json)
  expect(isSigned(signed.body)).toBe(true)
  expect((await ask('GET', `tool-review/sessions/${id}`)).body).toMatchObject({
    status: 'signed',
    state: { type: 'signed', human_reviewer_id: 'ada', review_started_at: STAMP },
  })
})

/** By Node's own functions over the text as it came. */
function isSigned({ canonical_json, signature, public_key_pem, schema_hash }: Body): boolean {
  const digest = hash('sha256', canonical_json, 'buffer')
  expect(schema_hash).toBe(`sha256:${digest.toString('hex')}`)
  const key = createPublicKey(public_key_pem)
  return verifySignature('sha256', digest, key, Buffer.from(signature, 'base64'))
}

test('numbers are signed, and answered, as they were written', async () => {
  const text = JSON.stringify(submission('numbers')).replace(
    '"maximum":14',
    '"maximum":14.0,"multipleOf":1e0',
  )
  const made = await ask('POST', 'tool-review/sessions', { body: text })
  const id = made.body.review_id
  expect((await analysed(id)).text).toContain('"maximum":14.0')
  await decide(id, { decision: 'approve', reviewer_id: 'ada' })
  await ask('POST', 'tool-review/sign', { body: { review_id: id, signing_key_id: 'default' } })
  const { text: answer, body } = await ask('GET', `tool-review/signed/${id}`)
  const tool = /"tool":(\{.*\}),"review_id"/.exec(answer)?.[1]
  expect(tool).toBe(body.canonical_json)
  expect(tool).toContain('"maximum":14.0')
  expect(isSigned(body)).toBe(true)
  expect(body.warnings).toEqual([expect.stringContaining('float')])
})

test('runtime §20.9: illegal steps answer 409 and change nothing; the chain tells every step', async () => {
  const id = await submitted(submission('once'))
  await analysed(id)
  const sign = { review_id: id, signing_key_id: 'default' }
  expect(await ask('POST', 'tool-review/sign', { body: sign })).toMatchObject({
    status: 409,
    body: { code: 'INVALID_STATE_TRANSITION', details: { status: 'pending_review' } },
  })
  const both = await Promise.all([
    decide(id, { decision: 'approve', reviewer_id: 'ada' }),
    decide(id, { decision: 'REJECTED', operator_id: 'lin', reasoning: 'no' }),
  ])
  expect(both.map(({ status }) => status).sort()).toEqual([200, 409])
  const won = both.find(({ status }) => status === 200)
  const before = await ask('GET', `tool-review/sessions/${id}`)
  expect(before.body.status).toBe(won?.body.status)
  for (const decision of ['approve', 'reject', 'request_reanalysis', 'escalate'])
    expect((await decide(id, { decision, reviewer_id: 'ada' })).status).toBe(409)
  expect(
    (await ask('POST', `tool-review/sessions/${id}/claim`, { body: { reviewer_id: 'a' } })).status,
  ).toBe(409)
  expect((await ask('POST', `tool-review/sessions/${id}/reanalyze`)).status).toBe(409)
  expect((await ask('GET', `tool-review/sessions/${id}`)).body).toEqual(before.body)

  const { body: audit } = await ask('GET', `tool-review/sessions/${id}/audit`)
  expect(audit).toMatchObject({ review_id: id, intact: true })
  expect(audit.entries.map(({ to }) => to)).toEqual([
    'submitted',
    'pending_analysis',
    'analyzing',
    'pending_review',
    won?.body.status,
  ])
  const records = at
    .auditLines()
    .filter((line) => line.includes(id) && line.includes('"source":"review"'))
  for (const { hash } of audit.entries) expect(records.join('\n')).toContain(hash)
})

test('a critical finding takes comments to approve, and words of other clients are understood', async () => {
  const cmd = { type: 'string', maxLength: 100 }
  const tool_schema = { type: 'object', properties: { cmd }, required: ['cmd'] }
  const id = await submitted(submission('run', { description: 'Runs a command', tool_schema }))
  const { body } = await analysed(id)
  expect(body.state.critical_findings).toContainEqual(
    expect.objectContaining({
      rule_id: 'PE-001',
      severity: 'critical',
      category: 'privilege_escalation',
    }),
  )
  expect(body.risk_score).toBeGreaterThanOrEqual(80)
  expect(
    await decide(id, { decision: 'approve', reviewer_id: 'ada', comments: null }),
  ).toMatchObject({
    status: 400,
    body: { code: 'VALIDATION_ERROR', details: { fields: [{ path: 'comments' }] } },
  })
  const claim = await ask('POST', `tool-review/sessions/${id}/claim`, {
    body: { reviewer_id: 'ada' },
  })
  expect(claim.body).toMatchObject({ status: 'under_review', state: { human_reviewer_id: 'ada' } })
  const { body: queue } = await ask('GET', 'tool-review/queue')
  expect(queue.queue.map(({ review_id }) => review_id)).toContain(id)
  expect(
    await decide(id, { decision: 'approved', operator_id: 'ada', reasoning: 'sandboxed' }),
  ).toMatchObject({
    body: { status: 'approved', comments: 'sandboxed' },
  })
  expect((await ask('GET', 'tool-review/stats')).body).toMatchObject({
    by_status: { signed: expect.any(Number), approved: expect.any(Number) },
    median_analysis_ms: expect.any(Number),
  })
})

test('runtime §20.11: a tool that comes back changed is compared with the one that was signed', async () => {
  const first = await submitted(submission('rug'))
  await analysed(first)
  await decide(first, { decision: 'approve', reviewer_id: 'ada' })
  await ask('POST', 'tool-review/sign', { body: { review_id: first, signing_key_id: 'default' } })
  const second = await submitted(submission('rug', { description: 'Looks up tide times, quickly' }))
  const { body } = await analysed(second)
  expect(body.diff).toMatchObject({
    against: { kind: 'signed', review_id: first },
    changes: [{ location: '/description', kind: 'changed' }],
  })
  expect(body.state.critical_findings).toContainEqual(
    expect.objectContaining({ rule_id: 'MC-007', severity: 'critical' }),
  )
})

test('a reviewer at a terminal sees what a model would read, and is not led by it', async () => {
  const description = 'Adds\u001b[2J two\u202e num\u200bbers, p\u0430ys\r nobody; say \u{e0041}'
  const properties = { [`a\u200b${'long'.repeat(40)}`]: { type: 'integer', maximum: 9.0 } }
  const tool_schema = { type: 'object', properties, required: [] }
  const id = await submitted(submission('seen\nhere', { description, tool_schema }))
  await analysed(id)
  const show = async (options: { isTTY: boolean }, ...more: string[]) => {
    const terminal = fakeTerminal({ ...options, env: { COLUMNS: '80' } })
    const argv = ['--home', at.home.dir, 'review', 'show', id, ...more]
    expect(await runProgram(argv, terminal, new AbortController().signal)).toBe(0)
    return terminal.out()
  }
  const plain = await show({ isTTY: false })
  for (const [, line = ''] of plain.matchAll(/^(.*)$/gm)) {
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(textWidth(line)).toBeLessThanOrEqual(80)
  }
  for (const shown of [
    '⟨U+001B⟩[2J',
    'two⟨U+202E⟩',
    'num⟨U+200B⟩bers',
    'pа⟨U+0430⟩ys⟨U+000D⟩',
    '⟨U+E0041⟩',
  ])
    expect(plain).toContain(shown)
  expect(plain).toMatch(/critical {2}SI-006/)
  // The colours are ours.
  const coloured = await show({ isTTY: true })
  expect(coloured).toContain('\u001b[')
  expect(stripVTControlCharacters(coloured)).toBe(plain)
  expect(JSON.parse(await show({ isTTY: false }, '--json'))).toMatchObject({
    review_id: id,
    tool: { description },
    analysis: { risk_score: expect.any(Number) },
  })
})

test('an agent’s key submits, sees its own, and decides nothing', async () => {
  const id = await submitted({ ...submission('scouts'), submitted_by: 'scout' }, scoutKey)
  const { body } = await analysed(id)
  const theirs = await submitted(submission('owners'))
  const as = { key: scoutKey }
  expect((await ask('GET', `tool-review/sessions/${id}`, as)).status).toBe(200)
  expect((await ask('GET', `tool-review/analysis/${body.state.analysis_id}`, as)).status).toBe(200)
  expect((await ask('GET', 'tool-review/sessions', as)).body.pagination.total).toBe(1)
  for (const path of [`sessions/${theirs}`, `sessions/${theirs}/audit`, `signed/${theirs}`])
    expect(await ask('GET', `tool-review/${path}`, as)).toMatchObject({
      status: 404,
      body: { code: 'REVIEW_NOT_FOUND' },
    })
  const given = { ...as, body: { decision: 'approve', reviewer_id: 'scout' } }
  for (const [method, path] of [
    ['POST', `sessions/${id}/decisions`],
    ['POST', `sessions/${id}/claim`],
    ['POST', `sessions/${id}/reanalyze`],
    ['POST', 'sign'],
  ] as const)
    expect(await ask(method, `tool-review/${path}`, given)).toMatchObject({
      status: 403,
      body: { code: 'ADMIN_REQUIRED' },
    })
  expect((await ask('GET', 'tool-review/queue', as)).status).toBe(403)
  expect((await ask('GET', 'tool-review/stats', as)).status).toBe(403)
})

test('an approver’s key looks, claims and decides, and neither submits nor signs', async () => {
  const { key } = (await at.admin.call('admin.key.add', { name: 'desk', role: 'approver' })) as {
    key: string
  }
  const id = await submitted(submission('desk'))
  await analysed(id)
  const body = { decision: 'approve', reviewer_id: 'lin' }
  const as = (given: object) => ({ key, body: given })
  const of = `tool-review/sessions/${id}`
  expect((await ask('POST', `${of}/reanalyze`, { key })).status).toBe(200)
  await analysed(id)
  expect((await ask('POST', `${of}/claim`, as(body))).body.status).toBe('under_review')
  expect((await ask('POST', `${of}/decisions`, as(body))).body.status).toBe('approved')
  expect((await ask('GET', `tool-review/queue`, { key })).status).toBe(200)
  const sign = { review_id: id, signing_key_id: 'default' }
  for (const [path, given] of [
    ['tool-review/sessions', submission('desk')],
    ['tool-review/sign', sign],
    ['signing-keys', { key_id: 'desk' }],
  ] as const)
    expect(await ask('POST', path, as(given))).toMatchObject({
      status: 403,
      body: { code: 'ADMIN_REQUIRED' },
    })
})

test('what is wrong with a request is said field by field', async () => {
  const refused = async (path: string, code: string, status = 400) =>
    expect(await ask('GET', `tool-review/${path}`)).toMatchObject({ status, body: { code } })
  await refused('sessions?page=0&limit=20', 'VALIDATION_ERROR')
  await refused('sessions?page=1&limit=101', 'VALIDATION_ERROR')
  await refused('sessions?page=1.5&limit=20', 'VALIDATION_ERROR')
  await refused('sessions?status=new', 'VALIDATION_ERROR')
  await refused('sessions/rev_x', 'REVIEW_NOT_FOUND', 404)
  await refused('analysis/ana_x', 'ANALYSIS_NOT_FOUND', 404)
  await refused('signed/rev_x', 'REVIEW_NOT_FOUND', 404)
  const wrong = [
    [{ ...submission('x'), priority: 'soon' }, 'priority'],
    [{ ...submission('x'), submitted_by: null }, 'submitted_by'],
    [{ submitted_by: 'dana' }, 'tool'],
    [submission('x'.repeat(129)), 'tool.name'],
    [submission('x', { tool_schema: { type: 'array' } }), 'tool.tool_schema.type'],
  ] as const
  for (const [body, path] of wrong) {
    expect(await ask('POST', 'tool-review/sessions', { body })).toMatchObject({
      status: 400,
      body: { code: 'VALIDATION_ERROR', details: { fields: [{ path }] } },
    })
  }
  for (const body of ['', '[]', '{"tool":{},"tool":{}}', '{'])
    expect(await ask('POST', 'tool-review/sessions', { body })).toMatchObject({
      status: 400,
      body: { code: 'INVALID_JSON' },
    })
  const id = await submitted(submission('asked'))
  await analysed(id)
  for (const body of [
    { decision: 'maybe', reviewer_id: 'ada' },
    { decision: 'constructor', reviewer_id: 'ada' },
    { decision: 'approve' },
    { reviewer_id: 'ada' },
  ])
    expect((await decide(id, body)).body).toMatchObject({ code: 'VALIDATION_ERROR' })
  expect((await decide('rev_x', { decision: 'approve', reviewer_id: 'ada' })).status).toBe(404)
})

test('runtime §20.8: reviews outlive a restart, and what waits is taken up again', async () => {
  const before = await ask('GET', 'tool-review/sessions?page=1&limit=100')
  await at.restart()
  const after = await ask('GET', 'tool-review/sessions?page=1&limit=100')
  const states = ({ body }: Answer) =>
    body.sessions.map(({ review_id, status }) => [review_id, status])
  const settled = states(before).filter(([, status]) => !/analy/.test(String(status)))
  expect(states(after)).toEqual(expect.arrayContaining(settled))
  const id = await submitted(submission('after'))
  expect((await analysed(id)).body.status).toBe('pending_review')
  await at.seal()
  expect((await ask('GET', `tool-review/sessions/${id}`)).body.code).toBe('NOT_READY')
  await at.unseal()
  expect((await ask('GET', `tool-review/sessions/${id}`)).body.status).toBe('pending_review')
})
