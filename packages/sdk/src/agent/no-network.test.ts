import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FakeServer, fakeServer, respond, svid, trat } from '../sage/fake-server.test-kit.ts'
import { startChild } from './process.test-kit.ts'

const filter = fileURLToPath(new URL('no-inet.test-kit.py', import.meta.url))
const program = fileURLToPath(new URL('gateway-agent.test-kit.ts', import.meta.url))

/** Makes a TCP and a UDP socket and says what became of it. */
const PROBE = `
const { connect } = require('node:net')
connect({ host: '127.0.0.1', port: 9 }).on('error', ({ code }) => process.exit(code === 'EPERM' ? 7 : 8))`

const isFiltered = ((): boolean => {
  try {
    execFileSync('python3', [filter, process.execPath, '-e', PROBE], { stdio: 'ignore' })
    return false
  } catch (error) {
    return (error as { status?: number }).status === 7
  }
})()

const NOW = Math.floor(Date.now() / 1000)
const MARKER = 'markerMARKERmarker'
const IDENTITY = svid(NOW + 1800, { marker: MARKER })
const TOKEN = trat(NOW + 300, {
  marker: MARKER,
  tctx: { allowed_models: { triage: ['anthropic:claude-x'], embeddings: ['openai:e'] } },
})

let directory: string
let gateway: FakeServer
let sidecar: FakeServer

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sage-'))
  await writeFile(join(directory, 'svid'), IDENTITY)
  await writeFile(join(directory, 'a.py'), 'eval(input())\n')
  sidecar = await fakeServer((request) => respond(request, 200, TOKEN))
  gateway = await fakeServer((request, count) => {
    if (request.path === '/health') return respond(request, 200, { status: 'ok' })
    if (count === 2)
      return respond(request, 503, { error: { message: `busy ${TOKEN}` } }, { 'Retry-After': '0' })
    if (request.path === '/v1/embeddings') {
      return respond(request, 200, {
        data: [{ index: 0, embedding: [1, 0] }],
        usage: { prompt_tokens: 1, total_tokens: 1 },
      })
    }
    respond(request, 200, {
      model: 'claude-x',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'eval of input' },
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    })
  })
})

afterEach(async () => {
  await gateway.close()
  await sidecar.close()
  await rm(directory, { recursive: true, force: true })
})

const env = () => ({
  RUN_ID: 'run_1',
  ORG_ID: 'org_1',
  REPO_PATH: directory,
  OUTPUT_PATH: join(directory, 'out'),
  SPIFFE_JWT_PATH: join(directory, 'svid'),
  AUTH_SIDECAR_SOCKET: sidecar.socketPath,
  LLM_GATEWAY_SOCKET: gateway.socketPath,
  SAGE_LOG_FORMAT: 'json',
  SAGE_LOG_LEVEL: 'debug',
})

test.skipIf(!isFiltered)(
  'sage §21.9: where AF_INET cannot be used, a whole agent run succeeds over Unix sockets',
  async () => {
    const child = startChild(
      'python3',
      [filter, process.execPath, '--conditions=source', '--no-warnings', program],
      env(),
    )
    const { code, stdout, stderr, lines } = await child.ended
    expect({ code, stdout, stderr }).toMatchObject({ code: 0, stdout: '' })
    expect(lines.map(({ event }) => event)).toEqual([
      'initializing_context',
      'agent_starting',
      'creating_llm_client',
      'spiffe_jwt_refreshed',
      'gateway_retry',
      'creating_embeddings_client',
      'output_written',
      'agent_completed',
    ])
    const report = JSON.parse(await readFile(join(directory, 'out', 'results.sarif'), 'utf8'))
    expect(report.runs[0].results[0].message.text).toBe('eval of input')
    expect(gateway.requests.map(({ path }) => path)).toEqual([
      '/health',
      '/v1/chat/completions',
      '/v1/chat/completions',
      '/v1/embeddings',
    ])
    expect(gateway.requests[2]?.headers).toMatchObject({
      authorization: `Bearer ${IDENTITY}`,
      'txn-token': TOKEN,
      'x-provider': 'anthropic',
      'x-sage-category': 'triage',
    })
  },
)

test('sage §21.39: markers in tokens and error bodies are in no log, report or summary', async () => {
  const child = startChild(
    process.execPath,
    ['--conditions=source', '--no-warnings', program],
    env(),
  )
  const { code, stdout, stderr } = await child.ended
  expect(code).toBe(0)
  const out = join(directory, 'out')
  const names = await readdir(out)
  expect(names.sort()).toEqual(['results.sarif', 'run.json'])
  const texts = await Promise.all(names.map((name) => readFile(join(out, name), 'utf8')))
  const all = [stdout, stderr, ...texts].join('\n')
  const encoded = Buffer.from(MARKER).toString('base64url').slice(0, 9)
  for (const secret of [
    MARKER,
    encoded,
    IDENTITY.slice(0, 9),
    TOKEN.split('.')[1]?.slice(0, 9) ?? '',
  ]) {
    expect(all).not.toContain(secret)
  }
  expect(JSON.parse(texts[1] ?? '')).toMatchObject({
    exit_code: 0,
    metadata: { files: 1 },
    usage: [{ model: 'anthropic:claude-x', totalTokens: 8 }, { model: 'openai:e' }],
  })
})
