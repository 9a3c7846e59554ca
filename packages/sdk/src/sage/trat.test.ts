import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TraTAcquisitionError, TraTExpiredError } from './errors.ts'
import {
  type Answer,
  type FakeServer,
  fakeClock,
  fakeServer,
  refuse,
  respond,
  trat,
  unsigned,
} from './fake-server.test-kit.ts'
import { configureLogging } from './log.ts'
import { TransactionToken } from './transaction-token.ts'
import { TransactionTokenClient, type TransactionTokenClientOptions } from './trat.ts'

let directory: string
let file: string
let sidecar: FakeServer | undefined
let lines: string[]
let clock: ReturnType<typeof fakeClock>
let now: number

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sage-'))
  file = join(directory, 'trat')
  clock = fakeClock()
  now = clock.now() / 1000
  lines = []
  configureLogging({ format: 'json', write: (line) => lines.push(line) })
})

afterEach(async () => {
  configureLogging()
  await sidecar?.close()
  sidecar = undefined
  await rm(directory, { recursive: true, force: true })
})

const events = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line))

async function withSidecar(answer: Answer, options: TransactionTokenClientOptions = {}) {
  sidecar = await fakeServer(answer)
  return new TransactionTokenClient({ sidecarSocket: sidecar.socketPath, clock, ...options })
}

describe('sage §21.11: the ladder of sources', () => {
  test('a valid file is used, and the sidecar left alone', async () => {
    const client = await withSidecar((request) => respond(request, 200, trat(now + 900)), { file })
    await writeFile(file, `${trat(now + 200)}\n`)
    expect((await client.getToken()).raw).toBe(trat(now + 200))
    expect(sidecar?.requests).toEqual([])
  })

  test('an expired file: the sidecar, and the log says so', async () => {
    const client = await withSidecar((request) => respond(request, 200, `\n${trat(now + 300)}\n`), {
      file,
    })
    await writeFile(file, trat(now - 1))
    expect((await client.getToken()).exp).toBe(now + 300)
    expect(events()).toMatchObject([
      { event: 'trat_expired_fallback', level: 'info', exp: now - 1 },
    ])
    expect(sidecar?.requests).toMatchObject([{ method: 'GET', path: '/trat', body: '' }])
    expect(sidecar?.requests[0]?.headers).not.toHaveProperty('authorization')
  })

  test('an expired file and an expired token of the sidecar: 13', async () => {
    const client = await withSidecar((request) => respond(request, 200, trat(now)), { file })
    await writeFile(file, trat(now - 1))
    await expect(client.getToken()).rejects.toMatchObject({
      name: 'TraTExpiredError',
      exitCode: 13,
    })
  })

  test('an expired file and no sidecar: 13', async () => {
    await writeFile(file, trat(now))
    const error = await new TransactionTokenClient({ file, clock }).getToken().catch((one) => one)
    expect(error).toBeInstanceOf(TraTExpiredError)
    expect(error.message).not.toContain('eyJ')
  })

  test('an expired file and a sidecar that refuses: 12, without another attempt', async () => {
    const client = await withSidecar((request) => refuse(request, 403, 'run_closed'), { file })
    await writeFile(file, trat(now - 1))
    await expect(client.getToken()).rejects.toMatchObject({
      name: 'TraTAcquisitionError',
      exitCode: 12,
      status: 403,
      code: 'run_closed',
      retryable: false,
    })
    expect(sidecar?.requests).toHaveLength(1)
  })

  test.each([
    ['missing', undefined],
    ['empty', ''],
    ['malformed', 'x.y.z'],
    ['without txn', unsigned({ exp: 9e9 })],
  ])('sage §20.11: a %s file: the sidecar, with a warning; 12 without one', async (_, content) => {
    if (content !== undefined) await writeFile(file, content)
    const client = await withSidecar((request) => respond(request, 200, trat(now + 300)), { file })
    expect((await client.getToken()).exp).toBe(now + 300)
    expect(events()).toMatchObject([{ event: 'trat_file_unusable', level: 'warning', path: file }])
    await expect(new TransactionTokenClient({ file, clock }).getToken()).rejects.toMatchObject({
      exitCode: 12,
    })
  })

  test('neither configured: 12', async () => {
    await expect(new TransactionTokenClient().getToken()).rejects.toBeInstanceOf(
      TraTAcquisitionError,
    )
  })

  test('a sidecar that is not there: 12 at once, and worth another try', async () => {
    const client = new TransactionTokenClient({
      sidecarSocket: join(directory, 'none.sock'),
      clock,
    })
    await expect(client.getToken()).rejects.toMatchObject({ exitCode: 12, retryable: true })
    expect(clock.slept).toEqual([])
  })

  test.each([
    ['201', 201, 'x'],
    ['429', 429, 'x'],
    ['503', 503, 'x'],
    ['500', 500, 'x'],
  ])('%s from the sidecar: 12', async (_, status, body) => {
    const client = await withSidecar((request) => respond(request, status, body))
    await expect(client.getToken()).rejects.toMatchObject({ exitCode: 12, status })
    expect(sidecar?.requests).toHaveLength(status === 429 || status === 503 ? 4 : 1)
  })

  test.each([
    ['a JWT wrapped in JSON', () => JSON.stringify({ token: trat(9e9) })],
    ['prose with two dots', () => 'not. a. token'],
    ['nothing', () => ''],
    ['a payload that is a list', () => unsigned([1])],
  ])('sage §20.12: %s from the sidecar: 12', async (_, body) => {
    const client = await withSidecar((request) => respond(request, 200, body()))
    await expect(client.getToken()).rejects.toMatchObject({ exitCode: 12 })
  })
})

describe('sage §7.5: refreshing', () => {
  test('a token is kept until 30 s before its end, then a newer one is fetched', async () => {
    let exp = now + 300
    const client = await withSidecar((request) => respond(request, 200, trat(exp)))
    await client.getToken()
    clock.advance(269_000)
    await client.getToken()
    expect(sidecar?.requests).toHaveLength(1)
    exp = now + 600
    clock.advance(1000)
    expect((await client.getToken()).exp).toBe(now + 600)
    expect(client.current?.exp).toBe(now + 600)
  })

  test('inside the margin a sidecar that fails costs one attempt and no error, until the end', async () => {
    let isUp = true
    const client = await withSidecar((request) =>
      isUp ? respond(request, 200, trat(now + 300)) : respond(request, 503, 'down'),
    )
    const first = await client.getToken()
    isUp = false
    clock.advance(280_000)
    expect(await client.getToken()).toBe(first)
    expect(sidecar?.requests).toHaveLength(2)
    expect(clock.slept).toEqual([])
    clock.advance(20_000)
    await expect(client.getToken()).rejects.toMatchObject({ exitCode: 12 })
  })

  test('a margin of 0 uses a token to its very end', async () => {
    const client = await withSidecar((request) => respond(request, 200, trat(now + 300)), {
      refreshMarginSeconds: 0,
    })
    await client.getToken()
    clock.advance(299_999)
    await client.getToken()
    expect(sidecar?.requests).toHaveLength(1)
  })

  test('fifty callers share one request', async () => {
    const client = await withSidecar((request) => respond(request, 200, trat(now + 300)))
    const tokens = await Promise.all(Array.from({ length: 50 }, () => client.getToken()))
    expect(new Set(tokens).size).toBe(1)
    expect(sidecar?.requests).toHaveLength(1)
  })

  test('one caller may stop waiting, the others get their token', async () => {
    let answer: (() => void) | undefined
    const client = await withSidecar((request) => {
      answer = () => respond(request, 200, trat(now + 300))
    })
    const controller = new AbortController()
    const leaving = client.getToken({ signal: controller.signal })
    const staying = client.getToken()
    while (answer === undefined) await new Promise((resolve) => setImmediate(resolve))
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(leaving).rejects.toBe(reason)
    answer()
    expect((await staying).exp).toBe(now + 300)
  })

  test('when the last caller stops waiting the request is dropped', async () => {
    let dropped: (() => void) | undefined
    const isDropped = new Promise<void>((resolve) => {
      dropped = resolve
    })
    const client = await withSidecar(({ socket }) => void socket.once('end', () => dropped?.()))
    await expect(client.getToken({ signal: AbortSignal.timeout(30) })).rejects.toThrow()
    await isDropped
  })

  test('after invalidate the refused token of the file is not taken again', async () => {
    const client = await withSidecar((request) => respond(request, 200, trat(now + 900)), { file })
    await writeFile(file, trat(now + 300))
    expect((await client.getToken()).exp).toBe(now + 300)
    client.invalidate()
    expect((await client.getToken()).exp).toBe(now + 900)
  })
})

describe('a transaction token', () => {
  const tctx = {
    run_id: 'r',
    org_id: 'o',
    repo_url: 'u',
    agent_type: 't',
    agent_mode: 'm',
    allowed_models: { triage: ['a:b'], other: ['c:d'] },
    allowed_providers: ['openai'],
    allowed_tools: { git: ['log'] },
  }

  test('has its claims by name, and defaults for those that are missing', () => {
    const token = TransactionToken.parse(
      trat(now + 300, {
        scope: 's',
        req_wl: 'w',
        aud: 'a',
        iss: 'i',
        tctx,
        rctx: { trigger: 'push', pr_number: 42, actor: 'x', source_ip: '::1' },
      }),
    )
    expect(token).toMatchObject({
      txn: 'run_1',
      sub: 'github|org-1',
      scope: 's',
      reqWl: 'w',
      aud: 'a',
      iss: 'i',
      exp: now + 300,
      tctx: {
        runId: 'r',
        orgId: 'o',
        repoUrl: 'u',
        agentType: 't',
        agentMode: 'm',
        allowedModels: { triage: ['a:b'], analysis: [], reasoning: [], embeddings: [] },
        allowedProviders: ['openai'],
        allowedTools: { git: ['log'] },
      },
      rctx: { trigger: 'push', prNumber: 42, actor: 'x', sourceIp: '::1' },
    })
    expect(token.tctx.allowedModels).not.toHaveProperty('other')
    const bare = TransactionToken.parse(unsigned({ txn: 'r' }))
    expect(bare).toMatchObject({
      sub: '',
      scope: '',
      exp: 0,
      tctx: { runId: '', allowedTools: {} },
      rctx: { prNumber: undefined },
    })
    expect(bare.isExpired(0)).toBe(true)
  })

  test.each([
    [{ txn: 5 }],
    [{ txn: '' }],
    [{ exp: '5' }],
    [{ tctx: null }],
    [{ tctx: [] }],
    [{ rctx: 'x' }],
    [{ sub: null }],
    [{ aud: ['a'] }],
    [{ tctx: { allowed_models: null } }],
    [{ tctx: { allowed_models: { triage: null } } }],
    [{ tctx: { allowed_models: { triage: [1] } } }],
    [{ tctx: { allowed_providers: 'openai' } }],
    [{ rctx: { pr_number: '42' } }],
  ])('sage §20.5: claims %j are malformed: 12', (claims) => {
    expect(() => TransactionToken.parse(trat(now + 300, claims))).toThrow(TraTAcquisitionError)
  })
})

test('a token a server refused is not taken again; one that came meanwhile stays', async () => {
  const [old, fresh] = [trat(now + 200), trat(now + 300)]
  const client = await withSidecar((request, n) => respond(request, 200, n === 1 ? old : fresh))
  await client.getToken()
  client.invalidate(old)
  expect((await client.getToken()).raw).toBe(fresh)
  client.invalidate(old)
  expect((await client.getToken()).raw).toBe(fresh)
  expect(sidecar?.requests).toHaveLength(2)
})
