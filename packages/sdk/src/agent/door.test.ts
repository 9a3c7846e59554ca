import { execFile } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import * as door from './index.ts'

const run = promisify(execFile)
const source = dirname(fileURLToPath(import.meta.url))
const root = join(source, '../../../..')
const built = pathToFileURL(join(root, 'packages/sdk/dist/agent/index.js')).href

beforeAll(async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-b', 'packages/sdk'], { cwd: root })
}, 60_000)

/** Another Node on this machine, if there is one: the door promises to run on 20 and later. */
const other = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((directory) => join(directory, 'node'))
  .find((file) => existsSync(file) && realpathSync(file) !== realpathSync(process.execPath))

describe('sage §19: loading the door', () => {
  test('loads our own files, and of Node nothing that could open a connection', async () => {
    const script = `
      import { registerHooks } from 'node:module'
      const loaded = new Set()
      registerHooks({ resolve(specifier, context, next) {
        const resolved = next(specifier, context)
        loaded.add(resolved.url)
        return resolved
      } })
      const before = process.listeners('SIGTERM').length + Object.keys(process.env).length
      await import(${JSON.stringify(built)})
      const after = process.listeners('SIGTERM').length + Object.keys(process.env).length
      if (before !== after) throw new Error('the import did something')
      console.log(JSON.stringify([...loaded]))`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script])
    const loaded = JSON.parse(stdout) as string[]
    const network =
      /^node:(?:net|tls|dns|dgram|https?|http2|child_process|worker_threads|cluster|inspector)\b/
    expect(loaded.filter((url) => network.test(url))).toEqual([])
    const files = loaded.filter((url) => !url.startsWith('node:'))
    const ours =
      /\/packages\/(?:sdk\/dist\/(?:trace|(?:agent|sage|llm|vault)\/[\w/-]+)|contract\/dist\/(?:version|errors)|coat\/dist\/(?:traceparent|active|ids))\.js$/
    expect(files.filter((url) => !ours.test(url))).toEqual([])
    expect(files.length).toBeGreaterThan(40)
    expect(files.filter((url) => /test/.test(url.slice(url.indexOf('/dist/'))))).toEqual([])
  })

  test.skipIf(other === undefined)(
    'works on the other Node of this machine, over a Unix socket',
    async () => {
      const script = `
      import { createServer } from 'node:http'
      import { mkdtempSync, rmSync } from 'node:fs'
      const { GatewayHttpClient, AgentContext } = await import(${JSON.stringify(built)})
      const directory = mkdtempSync('/tmp/sage-')
      const socketPath = directory + '/s.sock'
      const server = createServer((request, response) => response.end('{"path":"' + request.url + '"}'))
      server.listen(socketPath, async () => {
        const answer = await new GatewayHttpClient({ socketPath }).request('GET', '/x')
        const stream = await new GatewayHttpClient({ socketPath }).requestStream('GET', '/y')
        let text = ''
        for await (const part of stream) text += Buffer.from(part)
        console.log(JSON.stringify([answer.json(), text, AgentContext.forLocalDevelopment({ env: {} }).runId]))
        server.close()
        rmSync(directory, { recursive: true })
      })`
      const { stdout } = await run(other ?? '', ['--input-type=module', '-e', script])
      expect(JSON.parse(stdout)).toEqual([{ path: '/x' }, '{"path":"/y"}', 'local'])
    },
  )
})

describe('sage §1.1: what the door exports', () => {
  test('the names of the summary', () => {
    for (const name of [
      'AgentContext',
      'AgentRunner',
      'DirectProviderClient',
      'ExternalToolError',
      'Finding',
      'GatewayCredentials',
      'GatewayHttpClient',
      'JWTSource',
      'Location',
      'ModelCategory',
      'ModelRef',
      'ModelSelector',
      'OutputParseError',
      'RepositoryInput',
      'SageSanctumAgent',
      'SageSanctumError',
      'SarifOutput',
      'SpiffeGatewayClient',
      'StaticModelSelector',
      'SubprocessError',
      'SubprocessTimeoutError',
      'TokenUsage',
      'TransactionToken',
      'TransactionTokenClient',
      'configureLogging',
      'getLogger',
      'runAgent',
      'startBridge',
    ]) {
      expect(door).toHaveProperty(name)
    }
  })

  test('no stub of an MCP gateway client, here or through any other door', async () => {
    expect(Object.keys(door).filter((name) => /mcp/i.test(name))).toEqual([])
    const { exports } = JSON.parse(await readFile(join(root, 'packages/sdk/package.json'), 'utf8'))
    const doors = Object.entries(exports) as [string, { source: string }][]
    // That door's client really manages MCP servers and calls their tools.
    for (const [name, { source: file }] of doors) {
      if (name === './runtime') continue
      expect(await readFile(join(root, 'packages/sdk', file), 'utf8')).not.toMatch(/mcp/i)
    }
  })

  test('the one version of the repository', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    expect(door.VERSION).toBe(version)
  })
})
