import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { homeAt } from '../app/home.ts'
import { BudgetSettings } from '../llm/budget-settings.ts'
import type { Check } from './check.ts'
import {
  checkBudgets,
  checkLlmSocket,
  checkLlmSocketMode,
  checkPrices,
  checkProviders,
} from './doctor-models.ts'
import {
  checkBundleFile,
  checkBundleRead,
  checkRunAgents,
  checkRunFiles,
  checkSandboxes,
  checkTokenClock,
} from './doctor-runs.ts'

const told = (checks: readonly Check[]) => checks.map(({ status, message }) => [status, message])
const provider = (name: string, answers: string, more: object = {}) => ({
  provider: name,
  answers,
  configured: false,
  credential: `llm/${name}`,
  base_url: `https://${name}.example`,
  organisations: [],
  ...more,
})

test('providers: what is live, mocked or not set up; what is configured and has no key is a warning', () => {
  const openai = provider('openai', 'refused', { configured: true })
  const google = provider('google', 'mock')
  expect(checkProviders([openai, google], { dev: true, openRuns: 0 })).toEqual([
    {
      name: 'models',
      status: 'ok',
      message: 'without a key, so --dev answers with the mock: google',
    },
    {
      name: 'models',
      status: 'warn',
      message:
        'the provider openai has no key, so its calls are refused: what is configured is not mocked',
      advice: 'Add it: vestry cred add llm/openai --value-stdin',
    },
  ])
  const own = provider('google', 'refused', { organisations: ['90210'] })
  const idle = provider('anthropic', 'refused')
  expect(
    told(checkProviders([provider('openai', 'live'), own, idle], { dev: false, openRuns: 2 })),
  ).toEqual([
    [
      'ok',
      'live: openai; live for organisations with keys of their own: google; not set up: anthropic',
    ],
  ])
})

test('no key at all is a warning only where runs need one; a key in clear is one anywhere but here', () => {
  const idle = [provider('openai', 'refused')]
  expect(checkProviders(idle, { dev: false, openRuns: 0 })).toMatchObject([{ status: 'ok' }])
  expect(checkProviders(idle, { dev: false, openRuns: 1 })).toMatchObject([
    { status: 'warn', advice: expect.stringContaining('vestry cred add llm/openai') },
  ])
  const clear = (url: string) =>
    told(checkProviders([provider('x', 'live', { base_url: url })], { dev: false, openRuns: 0 }))
  expect(clear('http://10.1.2.3/v1')).toEqual([
    ['ok', 'live: x'],
    ['warn', 'prompts and key of x go to http://10.1.2.3/v1 in clear'],
  ])
  expect(clear('http://127.0.0.1:9/v1')).toHaveLength(1)
})

test('budgets are a hint where calls cost money', () => {
  const none = BudgetSettings.parse({})
  expect(checkBudgets(none, { live: true })).toMatchObject({ status: 'warn' })
  expect(checkBudgets(none, { live: false })).toMatchObject({ status: 'ok' })
  const some = BudgetSettings.parse({ run: { tokens: 1 }, total: { usd: 1 } })
  expect(checkBudgets(some, { live: true })).toMatchObject({
    status: 'ok',
    message: 'set for run, total',
  })
})

test('a price file that is not there or wrong fails, in words that say where', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const file = join(dir.path, 'prices.yaml')
  expect(checkPrices(undefined)).toMatchObject({ status: 'ok' })
  expect(checkPrices(file)).toMatchObject({ status: 'fail', message: /cannot be read \(ENOENT\)/ })
  writeFileSync(file, 'prices: [{ provider: openai, model: x, input: free, output: 1 }]')
  expect(checkPrices(file)).toMatchObject({ status: 'fail', message: /prices\.0\.input/ })
  writeFileSync(file, 'prices: [{ provider: openai, model: x, input: 1, output: 1 }]')
  expect(checkPrices(file)).toMatchObject({ status: 'ok' })
})

test('the LLM socket must answer as one; what is silent or something else is named', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const path = join(dir.path, 's')
  expect(told(await checkLlmSocket(path))).toEqual([['fail', `${path}: is not there`]])
  let answer = ''
  await using server = createServer((socket) => void socket.resume().end(answer))
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const body = '{"status":"ok"}'
  const message = async (text: string) => {
    answer = text
    return (await checkLlmSocket(path))[0]?.message
  }
  expect(await message(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)).toBe(
    `${path} answers`,
  )
  expect(await message('HTTP/1.1 503 Unavailable\r\n\r\n{}')).toBe(`${path}: answers 503`)
  expect(await message('hello')).toBe(`${path}: what answers is no LLM gateway`)
})

test('open token files, sockets and directories are named with what to do', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const home = homeAt(dir.path, {})
  expect(checkRunFiles(home)).toEqual([])
  const run = join(home.runs, 'run_1')
  mkdirSync(run, { recursive: true, mode: 0o700 })
  writeFileSync(join(run, 'svid.jwt'), 'x', { mode: 0o600 })
  expect(told(checkRunFiles(home))).toEqual([['ok', '1 run, all private']])
  const trat = join(run, 'trat.jwt')
  writeFileSync(trat, 'x', { mode: 0o644 })
  expect(checkRunFiles(home)).toEqual([
    {
      name: 'run files',
      status: 'fail',
      message: `${trat} has mode 0644`,
      advice: `Run: chmod 600 ${trat}`,
    },
  ])
  expect(checkLlmSocketMode(join(run, 'svid.jwt'))).toEqual([])
  expect(checkLlmSocketMode(trat)).toMatchObject([{ status: 'warn' }])
})

test('runs whose agents may not act any more are told, with how to close them', () => {
  const runs = ['a', 'b', 'c'].map((agent) => ({ run_id: `run_${agent}`, agent }))
  const agents = [
    { name: 'a', status: 'enabled' },
    { name: 'b', status: 'disabled' },
  ]
  expect(told(checkRunAgents(runs, agents))).toEqual([
    ['warn', 'run_b is open, and its agent b is disabled: all its calls are refused'],
    ['warn', 'run_c is open, and its agent c is revoked: all its calls are refused'],
  ])
  expect(told(checkRunAgents(runs.slice(0, 1), agents))).toEqual([['ok', '1 run open']])
})

test('trust bundles: files that are missing or wrong, addresses that the daemon cannot read', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const bundle_file = join(dir.path, 'bundle.json')
  const read = () => told(checkBundleFile({ bundle_file }))
  expect(checkBundleFile({})).toEqual([])
  expect(read()).toEqual([['fail', `${bundle_file} cannot be read (ENOENT)`]])
  const unreadable = { configured: true, readable: false, keys: 0 }
  expect(checkBundleRead({ bundle_file }, unreadable)).toEqual([])
  writeFileSync(bundle_file, '{}')
  expect(read()).toEqual([['fail', `${bundle_file} is no JWK Set`]])
  writeFileSync(bundle_file, '{"keys":[]}')
  expect(read()).toMatchObject([['warn', expect.stringContaining('holds no key')]])
  expect(told(checkBundleRead({ bundle_file }, unreadable))).toEqual([
    ['fail', `the daemon cannot read ${bundle_file}`],
  ])
  const bundle_url = 'https://issuer.example/bundle'
  const reply = { configured: true, readable: true, keys: 2 }
  expect(told(checkBundleRead({ bundle_url }, reply))).toEqual([['ok', `${bundle_url}: 2 keys`]])
  expect(checkBundleRead({ bundle_url }, unreadable)).toMatchObject([
    { status: 'fail', advice: expect.stringContaining('egress.allow_cidrs') },
  ])
  expect(checkTokenClock({ bundle_url, leeway_seconds: 30 }, false)).toMatchObject([
    { status: 'warn', message: expect.stringContaining('30 s') },
  ])
  expect(checkTokenClock({ bundle_url, leeway_seconds: 30 }, true)).toEqual([])
  expect(checkTokenClock({ leeway_seconds: 30 }, false)).toEqual([])
})

test('what "vestry exec" can do here', () => {
  const one = (bubblewrap?: string, namespace?: string) => checkSandboxes({ bubblewrap, namespace })
  expect(one()).toMatchObject({ status: 'ok' })
  expect(one('bwrap is not installed')).toMatchObject({
    status: 'warn',
    message: expect.stringContaining('takes the network only'),
  })
  expect(one('bwrap is not installed', 'no')).toMatchObject({
    status: 'warn',
    message: expect.stringContaining('starts nothing here'),
  })
})
