import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')
const MAIN = join(ROOT, 'packages/server/src/cli/main.ts')
const DENIED = 3

test('every command of the gateway’s quick start works as written, without key or network', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vestry-gateway-'))
  const env = environment(folder)
  const [start = '', commands = ''] = shellBlocks()
  const daemon = spawn('sh', ['-e', '-c', `exec ${start}`], {
    cwd: folder,
    env: { ...env, VESTRY_HTTP_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(daemon, 'close')
  try {
    for await (const line of createInterface({ input: daemon.stdout })) {
      if (line.startsWith('ready')) break
    }
    const { code, stdout } = await run(commands, { cwd: folder, env })
    // "policy test" closes the block: its exit code says that it was reached, and that the answer is no.
    expect(code).toBe(DENIED)
    expect(stdout).toContain('\n2\nPOLICY_SCOPE_NOT_ALLOWED\n')
    expect(stdout).toMatch(/^ALLOW .*serpapi/m)
    expect(stdout).toContain('INTACT')
    expect(stdout).toMatch(/^DENY .*gmail_send/m)
    expect(stdout).not.toContain('PRIVATE KEY')
  } finally {
    daemon.kill('SIGTERM')
    await gone
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)

/** The first two of the section: the daemon, and everything else. */
function shellBlocks(): string[] {
  const page = readFileSync(join(ROOT, 'docs/gateway.md'), 'utf8')
  const [, section = ''] = page.split('## Quick start\n')
  const [body = ''] = section.split('\n## ')
  return [...body.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block.trim())
}

/** An `npx` that runs this build and this Node, and the client under its name, as inside of the repository. */
function environment(folder: string): NodeJS.ProcessEnv {
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const script = `#!/bin/sh
name=$1
shift
[ "$name" = node ] && exec '${process.execPath}' "$@"
exec '${process.execPath}' '${MAIN}' "$@"
`
  writeFileSync(join(bin, 'npx'), script, { mode: 0o755 })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return {
    PATH: `${bin}:${process.env['PATH']}`,
    HOME: folder,
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
    // The sources, so that nothing depends on when they were built last.
    NODE_OPTIONS: '--conditions=source',
  }
}

function run(
  script: string,
  options: { cwd: string; env: NodeJS.ProcessEnv },
): Promise<{ code: number; stdout: string }> {
  return new Promise((done) => {
    execFile('sh', ['-e', '-c', script], options, (error, stdout) => {
      done({ code: typeof error?.code === 'number' ? error.code : 0, stdout })
    })
  })
}
