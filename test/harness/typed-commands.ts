/** Types the commands of a page as a reader would: a daemon in one terminal, everything else in another. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const ROOT = resolve(import.meta.dirname, '../..')
/** Below the time of a test, so that nothing outlives it. */
const LONGEST_MS = 50_000
const MAIN = join(ROOT, 'packages/server/src/cli/main.ts')

export interface Typed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** The shell blocks below a heading, or of the whole page. */
export function shellBlocks(page: string, heading?: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const [, after = ''] = heading === undefined ? ['', text] : text.split(`## ${heading}\n`)
  const [body = ''] = heading === undefined ? [after] : after.split('\n## ')
  return [...body.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block.trim())
}

/**
 * Runs `start` until it says that it is ready, then `commands` to their end, in a folder where `npx` is this build and
 * `examples/` is ours. The folder is gone afterwards.
 */
export async function typeCommands(
  { start, commands }: { start: string; commands: string },
  look: (typed: Typed, folder: string) => void | Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'vestry-typed-'))
  const env = environment(folder)
  const daemon = spawn('sh', ['-e', '-c', `exec ${start}`], {
    cwd: folder,
    env: { ...env, VESTRY_HTTP_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(daemon, 'close')
  const late = setTimeout(() => daemon.kill('SIGKILL'), LONGEST_MS)
  try {
    for await (const line of createInterface({ input: daemon.stdout })) {
      if (line.startsWith('ready')) break
    }
    await look(await run(commands, { cwd: folder, env }), folder)
  } finally {
    clearTimeout(late)
    daemon.kill('SIGTERM')
    await gone
    rmSync(folder, { recursive: true, force: true })
  }
}

/** An `npx` that runs this build and this Node, and packages under their names, as inside of the repository. */
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
  for (const name of ['node_modules', 'examples']) symlinkSync(join(ROOT, name), join(folder, name))
  return {
    PATH: `${bin}:${process.env['PATH']}`,
    HOME: folder,
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
    // The sources, so that nothing depends on when they were built last.
    NODE_OPTIONS: '--conditions=source',
  }
}

function run(script: string, given: { cwd: string; env: NodeJS.ProcessEnv }): Promise<Typed> {
  const options = { ...given, timeout: LONGEST_MS }
  return new Promise((done) => {
    execFile('sh', ['-e', '-c', script], options, (error, stdout, stderr) => {
      const code = typeof error?.code === 'number' ? error.code : error === null ? 0 : 1
      done({ code, stdout, stderr })
    })
  })
}
