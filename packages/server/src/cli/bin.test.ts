import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { VERSION } from '@vestry/contract/version'
import { expect, test } from 'vitest'

const BIN = fileURLToPath(new URL('../../bin/vestry.js', import.meta.url))
const built = existsSync(fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url)))
const run = promisify(execFile)

/** An older Node on this machine, as users have them; without one there is nothing to restart from. */
const olderNode = await findOlderNode()

test.skipIf(!built)('the command starts on the Node that runs it', async () => {
  const { stdout } = await run(process.execPath, [BIN, 'version', '--json'])
  expect(JSON.parse(stdout)).toMatchObject({ version: VERSION, node: process.versions.node })
})

test.skipIf(!built || olderNode === undefined)(
  'under an older Node the same process goes on as the Node beside the package',
  async () => {
    const child = spawn(olderNode ?? '', [BIN, 'version', '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const text = await collect(child.stdout)
    expect(Number(JSON.parse(text).node.split('.')[0])).toBeGreaterThanOrEqual(24)
    expect(child.exitCode ?? (await new Promise((resolve) => child.once('exit', resolve)))).toBe(0)
  },
)

test.skipIf(!built || olderNode === undefined)(
  'a restarted process keeps its input and its exit code',
  async () => {
    using dir = mkdtempDisposableSync(join(tmpdir(), 'bin-'))
    const args = [BIN, 'cred', 'add', 'a/b', '--value-stdin', '--json', '--home', dir.path]
    const child = spawn(olderNode ?? '', args, { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.end('value')
    const exited = new Promise((resolve) => child.once('exit', resolve))
    const { error } = JSON.parse(await collect(child.stdout))
    expect(error.code).toBe('DAEMON_UNREACHABLE')
    expect(await exited).toBe(4)
  },
)

test.skipIf(!built || olderNode === undefined)(
  'a restarted process that is still too old says what to do',
  async () => {
    const env = { ...process.env, VESTRY_NODE_RESTARTED: '1' }
    const failed = await run(olderNode ?? '', [BIN, 'status', '--json'], { env }).catch(
      (error) => error,
    )
    expect(failed.code).toBe(1)
    expect(JSON.parse(failed.stdout).error).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('vestry needs Node 24.15 or newer'),
      hint: expect.stringContaining('npm install'),
    })
  },
)

async function collect(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

async function findOlderNode(): Promise<string | undefined> {
  const places = [
    '/usr/local/bin/node',
    '/usr/bin/node',
    ...(process.env['PATH'] ?? '').split(':').map((dir) => join(dir, 'node')),
  ]
  for (const path of new Set(places)) {
    if (!existsSync(path)) continue
    const { stdout } = await run(path, ['--version']).catch(() => ({ stdout: '' }))
    const major = Number(/^v(\d+)\./.exec(stdout)?.[1] ?? 99)
    if (major >= 20 && major < 24) return path
  }
  return undefined
}
