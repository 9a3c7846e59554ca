import { spawnSync } from 'node:child_process'
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startUpstream, type Upstream } from '../../packages/server/src/egress/testing/upstream.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'

const CONFIG = { runtime: { signing_domain: 'tools.example', insecure_key_discovery: true } }
const DISCOVERY = '/.well-known/schemapin.json'
const REVOCATIONS = '/.well-known/schemapin-revocations.json'

let at: TestDaemon
let provider: Upstream
let published = ''
beforeAll(async () => {
  at = await startTestDaemon({ config: CONFIG })
  provider = await startUpstream(({ url }, reply) => {
    if (url === '/moved.json') reply.writeHead(301, { location: DISCOVERY }).end()
    else if (url === DISCOVERY) reply.end(published)
    else reply.writeHead(404).end()
  })
})
afterAll(async () => {
  await at.stop()
  await provider[Symbol.asyncDispose]()
})

type Json = ReturnType<typeof JSON.parse>
interface Answer {
  status: number
  text: string
  json: Json
}

async function ask(
  method: string,
  path: string,
  body?: string | object,
  key = readFileSync(at.home.adminKey, 'utf8').trim(),
): Promise<Answer> {
  const reply = await fetch(`${at.daemon.ready.http}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await reply.text()
  return { status: reply.status, text, json: JSON.parse(text) }
}

const wellKnown = async (path: string, host?: string): Promise<Answer> => {
  const { hostname, port } = new URL(at.daemon.ready.http)
  // Only the lower library lets a test choose its Host.
  const { request } = await import('node:http')
  return new Promise((resolve, reject) => {
    const headers = host === undefined ? {} : { host }
    const asking = request({ hostname, port, path, headers, agent: false }, async (reply) => {
      const text = Buffer.concat(await reply.toArray()).toString()
      resolve({ status: reply.statusCode ?? 0, text, json: JSON.parse(text) })
    })
    asking.on('error', reject).end()
  })
}

async function command(...argv: string[]): Promise<{ exitCode: number; out: string; json: Json }> {
  const terminal = fakeTerminal({})
  const args = ['--home', at.home.dir, ...argv, '--json']
  const exitCode = await runProgram(args, terminal, new AbortController().signal)
  const out = terminal.out()
  return { exitCode, out, json: JSON.parse(out) }
}

/** All that could be read differently elsewhere: key order, `__proto__`, floats, long integers, astral letters. */
const toolText = (description = 'Plans a route – café 🔧') =>
  `{"name":"route_finder","description":${JSON.stringify(description)},"tool_schema":{"type":"object","properties":{"start":{"type":"string","enum":["\\uffff","a"]},"10":{"type":"integer","minimum":0,"maximum":12345678901234567890},"9":{"type":"number","minimum":-0.0,"maximum":1.50},"__proto__":{"type":"boolean"},"\\ud83d\\ude00":{"type":"boolean"},"\\uffff":{"type":"boolean"}},"required":["start"]},"provider":{"name":"maps.example","public_key_url":null}}`

/** Submitted, analysed, approved. */
async function approved(tool: string): Promise<string> {
  const body = `{"tool":${tool},"submitted_by":"dana@maps.example","priority":"normal"}`
  const made = await ask('POST', 'tool-review/sessions', body)
  expect(made.status, made.text).toBe(201)
  const id: string = made.json.review_id
  const until = Date.now() + 20_000
  while ((await ask('GET', `tool-review/sessions/${id}`)).json.status !== 'pending_review') {
    if (Date.now() > until) throw new Error('the analysis takes too long')
    await sleep(20)
  }
  const decision = { decision: 'approve', comments: 'looked at', reviewer_id: 'ada' }
  const decided = await ask('POST', `tool-review/sessions/${id}/decisions`, decision)
  expect(decided.status, decided.text).toBe(200)
  return id
}

/** Python's own reader and writer of JSON, which is what the reference implementation uses. */
const CANONICAL = `
import json, sys
tool = json.loads(sys.stdin.buffer.read())['tool']
sys.stdout.buffer.write(json.dumps(tool, ensure_ascii=False, separators=(',', ':'), sort_keys=True).encode())
`

/** Without Python the text is taken as told; the vectors beside the source say what it has to be. */
function canonicalElsewhere(reply: Answer): Buffer {
  const { stdout, error } = spawnSync('python3', ['-c', CANONICAL], { input: reply.text })
  return error === undefined ? stdout : Buffer.from(reply.json.canonical_json)
}

describe('a tool that was reviewed', () => {
  let reviewId: string
  let signed: Answer

  test('runtime §20.12: is signed, and everybody else finds the signature valid', async () => {
    reviewId = await approved(toolText())
    const made = await ask('POST', 'tool-review/sign', {
      review_id: reviewId,
      signing_key_id: 'default',
    })
    expect(made.json).toMatchObject({
      signature_algorithm: 'ECDSA_P256',
      signer_id: 'tools.example',
      signing_key_id: 'default',
      signature_profile: 'A',
      canonicalization: 'schemapin-v1',
      warnings: ['float in signed schema, not portable'],
    })
    signed = await ask('GET', `tool-review/signed/${reviewId}`)
    expect(signed.json.signature).toBe(made.json.signature)

    const { json: discovery } = await wellKnown(DISCOVERY)
    const canonical = canonicalElsewhere(signed)
    expect(canonical.toString()).toBe(signed.json.canonical_json)
    expect(canonical.includes('"maximum":1.5,"minimum":-0.0')).toBe(true)
    expect(canonical.includes('"maximum":12345678901234567890')).toBe(true)
    const h1 = createHash('sha256').update(canonical).digest()
    expect(signed.json.schema_hash).toBe(`sha256:${h1.toString('hex')}`)
    const holds = (message: Buffer) =>
      verify(
        'sha256',
        message,
        createPublicKey(discovery.public_key_pem),
        Buffer.from(signed.json.signature, 'base64'),
      )
    expect(holds(h1)).toBe(true)
    expect(holds(canonical)).toBe(false)
  })

  test('runtime §20.12: verifies here by review, by key and by command, and not with a byte changed', async () => {
    const { tool, signature, public_key_pem, schema_hash } = JSON.parse(signed.text)
    const own = await ask('POST', 'tool-review/verify', { review_id: reviewId })
    expect(own.json).toEqual({
      valid: true,
      code: null,
      message: 'The signature is valid.',
      profile: 'A',
      schema_hash,
      key_fingerprint: signed.json.key_fingerprint,
      signer: 'default',
      pin_status: null,
      expired: false,
      warnings: ['float in signed schema, not portable'],
    })
    // As text, because this test's own parser forgets how numbers were written.
    const toolJson = signed.json.canonical_json
    const given = (text: string, more: object = {}) =>
      `{"tool":${text},${JSON.stringify({ signature, public_key_pem, ...more }).slice(1)}`
    const verified = (body: string) => ask('POST', 'tool-review/verify', body)
    expect((await verified(given(toolJson))).json).toMatchObject({ valid: true, profile: 'A' })
    expect((await verified(given(toolJson, { profile: 'B' }))).json).toMatchObject({
      valid: false,
      code: 'SIGNATURE_INVALID',
    })
    for (const [from, to] of [
      ['café', 'cafe'],
      ['1.5', '1.25'],
      ['"__proto__":{"type":"boolean"}', '"__proto__":{"type":"string"}'],
      ['maps.example', 'maqs.example'],
    ] as const) {
      expect(toolJson).toContain(from)
      const changed = await verified(given(toolJson.replace(from, to)))
      expect(changed.json, from).toMatchObject({ valid: false, code: 'SIGNATURE_INVALID' })
    }
    expect(tool.name).toBe('route_finder')

    const file = join(at.home.dir, 'signed.json')
    writeFileSync(file, signed.text)
    expect(await command('tool', 'verify', file, '--review', reviewId)).toMatchObject({
      exitCode: 0,
      json: { valid: true },
    })
    const key = join(at.home.dir, 'key.pem')
    writeFileSync(key, public_key_pem.replaceAll('\n', '\r\n'))
    expect(await command('tool', 'verify', file, '--key', key)).toMatchObject({ exitCode: 0 })
    // A person gave a file, not the body of a request; and a directory is a skill, with its signature in it.
    expect(await command('tool', 'verify', key, '--review', reviewId)).toMatchObject({
      exitCode: 1,
      json: { error: { code: 'INVALID_JSON', message: 'The file is not valid JSON' } },
    })
    expect((await command('tool', 'verify', at.home.keys, '--key', key)).out).toContain(
      'holds no signature (.schemapin.sig)',
    )
    writeFileSync(file, signed.text.replaceAll('route_finder', 'route_finger'))
    expect(await command('tool', 'verify', file, '--key', key)).toMatchObject({
      exitCode: 1,
      json: { valid: false, code: 'SIGNATURE_INVALID' },
    })
  })

  test('is signed by command too, with a key of its own and in the other profile', async () => {
    await command('tool', 'key', 'add', 'release', '--domain', 'other.example')
    const id = await approved(toolText('Another'))
    const made = await command('tool', 'sign', id, '--key', 'release', '--profile', 'B')
    expect(made).toMatchObject({
      exitCode: 0,
      json: {
        signer_id: 'other.example',
        signature_profile: 'B',
        previous_hash: signed.json.schema_hash,
      },
    })
    const again = await ask('POST', 'tool-review/sign', {
      review_id: id,
      signing_key_id: 'default',
    })
    expect(again).toMatchObject({ status: 409, json: { code: 'SIGNATURE_CONFLICT' } })
    expect((await ask('POST', 'tool-review/verify', { review_id: id })).json).toMatchObject({
      valid: true,
      profile: 'B',
    })
  })

  test('a key that was revoked signs nothing more, and what it signed counts no more', async () => {
    const { json: keys } = await ask('GET', 'signing-keys')
    expect(keys.map((one: Json) => [one.key_id, one.status])).toEqual([
      ['default', 'active'],
      ['release', 'active'],
    ])
    await ask('POST', 'signing-keys', { key_id: 'spare', domain: null, developer_name: 'Ada' })
    const id = await approved(toolText('A third'))
    const given = { review_id: id, signing_key_id: 'spare' }
    expect((await ask('POST', 'tool-review/sign', given)).status).toBe(200)
    const revoked = await ask('POST', 'signing-keys/spare/revoke', { reason: 'key_compromise' })
    expect(revoked.json).toMatchObject({ key_id: 'spare', status: 'revoked' })
    expect((await ask('POST', 'tool-review/verify', { review_id: id })).json).toMatchObject({
      valid: false,
      code: 'KEY_REVOKED',
    })
    const other = await approved(toolText('A fourth'))
    expect(
      await ask('POST', 'tool-review/sign', { review_id: other, signing_key_id: 'spare' }),
    ).toMatchObject({ status: 409, json: { code: 'INVALID_STATE_TRANSITION' } })
    const fingerprint = revoked.json.key_fingerprint
    expect((await wellKnown(DISCOVERY, 'tools.example')).json.revoked_keys).toEqual([fingerprint])
    expect((await wellKnown(REVOCATIONS, 'tools.example')).json).toMatchObject({
      domain: 'tools.example',
      revoked_keys: [{ fingerprint, reason: 'key_compromise' }],
    })
    const { json: others } = await wellKnown(DISCOVERY, 'other.example')
    expect(others).toMatchObject({ revoked_keys: [] })
    expect(others.public_key_pem).toBe(keys[1].public_key_pem)
  })
})

describe('what is asked wrongly has a clear answer', () => {
  test.each([
    [{}, 400, 'VALIDATION_ERROR', 'tool: required'],
    [{ tool: {} }, 400, 'VALIDATION_ERROR', 'tool.name: required'],
    [{ document: {} }, 400, 'VALIDATION_ERROR', 'signature: required'],
    [{ document: [], signature: 'x' }, 400, 'VALIDATION_ERROR', 'document: must be an object'],
    [{ document: {}, tool: {}, signature: 'x' }, 400, 'VALIDATION_ERROR', 'exclude each other'],
    [{ document: {}, signature: 'x' }, 400, 'VALIDATION_ERROR', 'public_key_pem: required'],
    [{ document: {}, signature: 'x', domain: 'a.b' }, 400, 'VALIDATION_ERROR', 'tool_id: required'],
    [{ document: {}, signature: 7 }, 400, 'VALIDATION_ERROR', 'signature: must be a string'],
    [{ document: {}, signature: 'x', pem: 'k' }, 400, 'VALIDATION_ERROR', 'pem: is not known'],
    [
      { document: {}, signature: 'x', public_key_pem: 'k', domain: 'a.b' },
      400,
      'VALIDATION_ERROR',
      'exclude each other',
    ],
    [
      { document: {}, signature: 'x', public_key_pem: 'k', profile: 'C' },
      400,
      'VALIDATION_ERROR',
      'profile: must be A or B',
    ],
    [{ review_id: 'rev_none' }, 404, 'REVIEW_NOT_FOUND', ''],
    ['{"document":{"a":1,"a":2}}', 400, 'INVALID_JSON', 'a key twice'],
    ['[]', 400, 'VALIDATION_ERROR', 'must be an object'],
    ['', 400, 'INVALID_JSON', ''],
  ])('%j', async (body, status, code, text) => {
    const found = await ask('POST', 'tool-review/verify', body)
    expect(found, found.text).toMatchObject({ status, json: { code } })
    expect(found.json.error).toContain(text)
  })

  test('of keys: taken, unknown, and not an operator’s to ask', async () => {
    const add = (body: object) => ask('POST', 'signing-keys', body)
    expect(await add({ key_id: 'default' })).toMatchObject({
      status: 409,
      json: { code: 'ALREADY_EXISTS' },
    })
    expect(await add({ key_id: '../x' })).toMatchObject({ status: 400 })
    for (const domain of ['A B', 'a..b', '.a', 'a-.b', 'a:port'])
      expect(await add({ key_id: 'x', domain })).toMatchObject({ status: 400 })
    for (const developer_name of ['', 'Ada\u202e', '\u001b[2J'])
      expect(await add({ key_id: 'x', developer_name })).toMatchObject({ status: 400 })
    expect(await ask('POST', 'signing-keys/none/revoke')).toMatchObject({
      status: 404,
      json: { code: 'SIGNING_KEY_NOT_FOUND' },
    })
    expect(await ask('POST', 'signing-keys/default/revoke', { reason: 'mood' })).toMatchObject({
      status: 400,
    })
    await at.addAgent('scout')
    const made = await command('key', 'add', '--agent', 'scout')
    const scoped = made.json.key as string
    expect(await ask('GET', 'signing-keys', undefined, scoped)).toMatchObject({
      status: 403,
      json: { code: 'ADMIN_REQUIRED' },
    })
    // What an agent may not make this daemon do is to call an address.
    const given = { document: { name: 'a' }, signature: 'x', domain: `127.0.0.1:${provider.port}` }
    const before = provider.seen.length
    expect(await ask('POST', 'tool-review/verify', given, scoped)).toMatchObject({
      status: 200,
      json: { valid: false, code: 'KEY_NOT_FOUND' },
    })
    expect(provider.seen).toHaveLength(before)
  })
})

test('runtime §20.13: the key of another provider is looked up, pinned, and not replaced', async () => {
  const domain = `127.0.0.1:${provider.port}`
  const pair = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const publish = (keys: ReturnType<typeof pair>) => {
    published = JSON.stringify({
      schema_version: '1.2',
      developer_name: 'Dana',
      public_key_pem: keys.publicKey.export({ type: 'spki', format: 'pem' }),
    })
  }
  const [first, second] = [pair(), pair()]
  // A schema that carries its signature, as MCP servers may send it: profile B over all the rest.
  const text = '{"name":"weather","properties":{"city":{"type":"string"}},"type":"object"}'
  const carrying = (keys: ReturnType<typeof pair>) => ({
    ...JSON.parse(text),
    signature: sign('sha256', Buffer.from(text), keys.privateKey).toString('base64'),
  })
  const verified = async (keys: ReturnType<typeof pair>) =>
    (await ask('POST', 'tool-review/verify', { document: carrying(keys), domain })).json
  publish(first)
  expect(await verified(second)).toMatchObject({ valid: false, code: 'SIGNATURE_INVALID' })
  expect(await verified(first)).toMatchObject({
    valid: true,
    profile: 'B',
    pin_status: 'first_use',
  })
  expect(await verified(first)).toMatchObject({ valid: true, pin_status: 'pinned' })
  publish(second)
  expect(await verified(second)).toMatchObject({
    valid: false,
    code: 'KEY_PIN_MISMATCH',
    pin_status: 'changed',
  })
  const { json: pins } = await command('tool', 'pin', 'list')
  expect(pins.pins).toMatchObject([
    { tool_id: 'weather', domain, pinned_keys: [{ trust_level: 'tofu' }] },
  ])
  await command('tool', 'pin', 'add', 'weather', domain)
  expect(await verified(second)).toMatchObject({ valid: true, pin_status: 'pinned' })
  expect(await command('tool', 'pin', 'rm', 'weather', domain)).toMatchObject({ exitCode: 0 })
  expect(await verified(second)).toMatchObject({ pin_status: 'first_use' })

  const moved = { name: 'p', public_key_url: `http://${domain}/moved.json` }
  const tool = { name: 'w', description: '', tool_schema: {}, provider: moved }
  const found = await ask('POST', 'tool-review/verify', { tool, signature: 'x' })
  expect(found.json).toMatchObject({ valid: false, code: 'DISCOVERY_FETCH_FAILED' })
  expect(found.json.message).toContain('redirects are not followed')
  const lines = at.auditLines().map((line) => JSON.parse(line))
  const lookups = lines.filter(({ action }) => action === 'key.lookup')
  expect(lookups.length).toBeGreaterThan(4)
  expect(new Set(lookups.map(({ actor }) => actor))).toEqual(
    new Set(['operator:first admin key', 'operator:owner']),
  )
})

test('keys outlive a restart, are published while sealed, and lie nowhere in clear', async () => {
  const before = (await ask('GET', 'signing-keys')).json
  const published = (await wellKnown(DISCOVERY)).json
  await at.seal()
  expect(await wellKnown(DISCOVERY)).toMatchObject({ status: 200, json: published })
  expect(await ask('GET', 'signing-keys')).toMatchObject({
    status: 503,
    json: { code: 'NOT_READY' },
  })
  await at.unseal()
  await at.restart()
  expect((await ask('GET', 'signing-keys')).json).toEqual(before)
  const files = readdirSync(at.home.dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  expect(files.length).toBeGreaterThan(5)
  // The begin of every P-256 private key in PKCS #8, and of its PEM.
  const marks = [Buffer.from('308187020100301306072a8648ce3d02', 'hex'), Buffer.from('PRIVATE KEY')]
  for (const file of files)
    for (const mark of marks) expect(contentOf(file).includes(mark), file).toBe(false)
})

/** Of a file that was renamed meanwhile there is nothing left to look at under its old name. */
function contentOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

test('a key file comes in at start, and one that others may read stops it', async () => {
  const dir = join(at.home.keys, 'signing')
  mkdirSync(dir, { mode: 0o700 })
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const file = join(dir, 'brought.pem')
  writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  chmodSync(file, 0o644)
  await expect(at.restart()).rejects.toThrow('may be read by others')
  chmodSync(file, 0o600)
  await at.restart()
  const { json: keys } = await ask('GET', 'signing-keys')
  const brought = keys.find((one: Json) => one.key_id === 'brought')
  expect(brought.public_key_pem).toBe(publicKey.export({ type: 'spki', format: 'pem' }))
})
