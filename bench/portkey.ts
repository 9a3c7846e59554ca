/**
 * The rival: `@portkey-ai/gateway`, in a directory of its own. It is no dependency of this repository, since it has an
 * install script and would bring a hundred packages; here it is installed once, without its script, when it is missing.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const PORTKEY = '@portkey-ai/gateway@1.15.2'
const START_MS = 20_000

export interface Portkey {
  readonly origin: string
  readonly process: ChildProcess
}

/** @returns undefined where it cannot be installed or started; the reason goes to stderr. */
export async function startPortkey(): Promise<Portkey | undefined> {
  try {
    const script = join(installed(), 'node_modules/@portkey-ai/gateway/build/start-server.js')
    const port = await freePort()
    const child = spawn(process.execPath, [script, `--port=${port}`, '--headless'], {
      stdio: 'ignore',
      env: { ...process.env, NODE_ENV: 'production' },
    })
    const origin = `http://127.0.0.1:${port}`
    for (const end = performance.now() + START_MS; performance.now() < end; await sleep(100)) {
      if (await answers(origin)) return { origin, process: child }
    }
    child.kill()
    throw new Error('it does not answer')
  } catch (error) {
    process.stderr.write(`${PORTKEY} is left out: ${(error as Error).message}\n`)
    return undefined
  }
}

function installed(): string {
  const directory = join(tmpdir(), 'vestry-bench-portkey-1.15.2')
  if (existsSync(join(directory, 'node_modules/@portkey-ai/gateway/build'))) return directory
  process.stderr.write(`installing ${PORTKEY} in ${directory}\n`)
  mkdirSync(directory, { recursive: true })
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save']
  execFileSync('npm', ['install', ...flags, '--prefix', directory, PORTKEY], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 120_000,
  })
  return directory
}

async function answers(origin: string): Promise<boolean> {
  try {
    return (await fetch(origin, { signal: AbortSignal.timeout(1_000) })).status > 0
  } catch {
    return false
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
