/** What operators see of model calls and runs: when the daemon starts, while it runs, and when something is amiss. */
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliHome } from './cli.test-kit.ts'

const cli = new CliHome()
const socket = join(cli.home, 'run', 'llm.sock')
let up: Awaited<ReturnType<CliHome['up']>>

beforeAll(async () => {
  cli.file(
    'h/vestry.yaml',
    [
      'limits: { authenticate: { per_second: 500, burst: 500 } }',
      'llm: { providers: { openai: { base_url: "https://127.0.0.1:9/v1" } } }',
    ].join('\n'),
  )
  up = await cli.up(['--dev'])
  await cli.json(['agent', 'add', 'scout'])
  const words = ['org_id: "90210"', 'scope: scan.execute', 'allowed_models: { analysis: [gpt-4o] }']
  const file = cli.file('run.yaml', words.join('\n'))
  const registered = await cli.json([
    ...['run', 'register', file, '--agent', 'scout', '--run-id', 'run_view'],
  ])
  expect(registered.exitCode, registered.out).toBe(0)
})
afterAll(() => cli[Symbol.asyncDispose]())

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
async function doctor(): Promise<{ exitCode: number | null; named: (name: string) => any[] }> {
  const { exitCode, json } = await cli.json(['doctor'])
  const named = (name: string) =>
    json.checks.filter((check: { name: string }) => check.name === name)
  return { exitCode, named }
}

test('the line of "vestry up" and "vestry status" name the LLM socket and count open runs', async () => {
  expect(up.line).toContain(`  llm ${socket}  `)
  expect(up.line).toContain('  runs 0  ')
  const shown = await cli.vestry(['status'])
  expect(shown.out).toMatch(new RegExp(`^llm socket +${socket}$`, 'm'))
  expect(shown.out).toMatch(/^http +http:\/\/127\.0\.0\.1:\d+$/m)
  expect(shown.out).toMatch(/^in use .*, 1 open run$/m)
  expect((await cli.json(['status'])).json).toMatchObject({ llm_socket: socket, open_runs: 1 })
})

test('the doctor asks the socket, and tells who answers for which provider', async () => {
  const { exitCode, named } = await doctor()
  expect(exitCode).toBe(0)
  expect(named('llm socket')).toEqual([
    { name: 'llm socket', status: 'ok', message: `${socket} answers` },
  ])
  expect(named('models')).toMatchObject([
    { status: 'ok', message: 'without a key, so --dev answers with the mock: anthropic, google' },
    { status: 'warn', advice: 'Add it: vestry cred add llm/openai --value-stdin' },
  ])
  expect(named('budgets')).toMatchObject([{ status: 'ok' }])
  expect(named('runs')).toMatchObject([{ status: 'ok', message: '1 run open' }])
  expect(named('run files')).toMatchObject([{ status: 'ok' }])
  expect(named('sandbox')).toHaveLength(1)

  await cli.json(['cred', 'add', 'llm/openai', '--value-stdin'], 'sk-of-nobody-0123456789')
  expect((await doctor()).named('budgets')).toMatchObject([
    { status: 'warn', advice: expect.stringContaining('llm: { budgets:') },
  ])
})

test('what is amiss is told with what to do: a disabled agent, open token files, a socket that is gone', async () => {
  await cli.json(['agent', 'disable', 'scout'])
  const token = join(cli.home, 'runs', 'run_view', 'trat.jwt')
  chmodSync(token, 0o644)
  rmSync(socket)
  const { exitCode, named } = await doctor()
  expect(exitCode).toBe(1)
  expect(named('runs')).toMatchObject([
    { status: 'warn', advice: 'Close it: vestry run close run_view' },
  ])
  expect(named('run files')).toMatchObject([{ status: 'fail', advice: `Run: chmod 600 ${token}` }])
  expect(named('llm socket')).toMatchObject([
    { status: 'fail', message: `${socket}: is not there`, advice: /Restart the daemon/ },
  ])
})

test('a second start counts the runs it found', async () => {
  up.child.kill('SIGTERM')
  await new Promise((resolve) => up.child.once('exit', resolve))
  up = await cli.up(['--dev'])
  expect(up.line).toContain('  runs 1  ')
  expect((await doctor()).named('llm socket')).toMatchObject([{ status: 'ok' }])
})
