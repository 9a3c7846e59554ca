import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { SanctumClient } from '@vestry/sdk/vault'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { defaultSocket } from '../../examples/vault/connections.ts'
import { noPython, runClient } from './client-process.ts'

/** The command as a user types it, with nothing but a home directory. */
const main = fileURLToPath(new URL('../../packages/server/src/cli/main.ts', import.meta.url))
const QUICK_START_VALUE = 'sk-default-home-0123456789'
/** What any other daemon on this machine might hold is left alone. */
const RULE = {
  version: 1,
  policies: [
    {
      name: 'first-agent',
      principals: ['agent:my-agent'],
      resources: ['openai/*'],
      actions: ['list', 'retrieve', 'use'],
      hosts: ['api.openai.com'],
      max_ttl: 900,
    },
  ],
}

let home: string
let daemon: ChildProcess

function vestry(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--conditions=source', '--no-warnings', main, ...args], {
    env: {
      PATH: process.env['PATH'] ?? '',
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      HOME: home,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

/** Runs one command to its end. @throws with what it printed, when it fails. */
async function run(args: readonly string[], stdin = ''): Promise<string> {
  const child = vestry(args)
  let out = ''
  let err = ''
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    out += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    err += text
  })
  child.stdin?.end(stdin)
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`vestry ${args.join(' ')} ended with ${code}: ${err}`)
  return out
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'home-'))
  daemon = vestry(['up', '--dev', '--port', '0'])
  let said = ''
  daemon.stderr?.setEncoding('utf8').on('data', (text) => {
    said += text
  })
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: daemon.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (line.startsWith('ready')) resolve()
    })
    daemon.once('exit', (code) => reject(new Error(`vestry up ended with ${code}: ${said}`)))
  })
  await ready
  writeFileSync(join(home, 'rule.yaml'), JSON.stringify(RULE))
  await run(['agent', 'add', 'my-agent'])
  await run(['cred', 'add', 'openai/api_key', '--value-stdin'], QUICK_START_VALUE)
  await run(['policy', 'add', join(home, 'rule.yaml')])
}, 60_000)

afterEach(() => {
  vi.unstubAllEnvs()
})

afterAll(async () => {
  if (daemon.exitCode === null) {
    const gone = once(daemon, 'exit')
    daemon.kill('SIGTERM')
    await gone
  }
  rmSync(home, { recursive: true, force: true })
})

test('the default home puts socket and key where the published clients look, for their owner alone', () => {
  const mode = (path: string) => (statSync(join(home, path)).mode & 0o777).toString(8)
  expect({
    socket: mode('.sanctum/vault.sock'),
    directory: mode('.sanctum'),
    keys: mode('.sanctum/keys'),
    key: mode('.sanctum/keys/my-agent.key'),
  }).toEqual({ socket: '600', directory: '700', keys: '700', key: '600' })
  expect(readFileSync(join(home, '.sanctum/keys/my-agent.key'), 'utf8')).toMatch(
    /^[0-9a-f]{64}\n?$/,
  )
})

test.skipIf(noPython !== undefined)(
  `vault §28.2: the Python client works against the default home without any option${noPython ? ` (${noPython})` : ''}`,
  async () => {
    const script = `
from sanctum_ai import SanctumClient

with SanctumClient("my-agent") as client:
    # Retrieve a credential
    api_key = client.retrieve("openai/api_key")

    # List available credentials
    creds = client.list()

    # Use-not-retrieve (credential never leaves the vault)
    result = client.use("openai/api_key", "http_header")
tell(api_key=api_key, creds=[c["path"] for c in creds], header=result["header"])
`
    expect(await runClient('python', script, { home }).rest()).toEqual([
      {
        api_key: QUICK_START_VALUE,
        creds: ['openai/api_key'],
        header: `Authorization: Bearer ${QUICK_START_VALUE}`,
      },
    ])
  },
)

test('vault §28.11: the Node client works against the default home without any option', async () => {
  const script = `
const client = await new SanctumClient('my-agent').connect()
tell({ value: await client.retrieve('openai/api_key', 300), list: (await client.list()).map(({ path }) => path) })
await client.close()
`
  expect(await runClient('node', script, { home }).rest()).toEqual([
    { value: QUICK_START_VALUE, list: ['openai/api_key'] },
  ])
})

test('our client works against the default home without any option', async () => {
  vi.stubEnv('HOME', home)
  const value = await SanctumClient.with('my-agent', (client) => client.retrieve('openai/api_key'))
  expect(value).toBe(QUICK_START_VALUE)
  expect(await defaultSocket({ agent: 'my-agent' })).toBe('unix')
})
