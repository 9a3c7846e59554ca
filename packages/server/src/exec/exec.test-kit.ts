/** A run as a daemon would have made it, and agent processes of it that a test starts and listens to. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { ExecPlan } from './exec.ts'
import { findProgram } from './program-path.ts'

const SCRIPT = join(import.meta.dirname, 'test-exec-process.ts')
const PATH = process.env['PATH'] ?? ''
export const isRoot = process.getuid?.() === 0
export const UID = 1_912_345_678

/** Why a sandbox cannot be tested here; undefined when it can. */
export function missing(kind: 'bubblewrap' | 'namespace'): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux'
  const program = findProgram(kind === 'bubblewrap' ? 'bwrap' : 'unshare', PATH)
  if (program === undefined) return `${kind} is not installed`
  const args =
    kind === 'bubblewrap'
      ? ['--ro-bind', '/', '/', '--unshare-net', ...(isRoot ? [] : ['--unshare-user']), '/bin/true']
      : [...(isRoot ? [] : ['--user', '--map-current-user']), '--net', '/bin/true']
  if (isRoot && !isOpen(process.execPath)) return 'Node is closed to other users'
  const { status } = spawnSync(program, args, { stdio: 'ignore' })
  return status === 0 ? undefined : `${kind} does not work here`
}

/** Others can walk to it: an agent of root's is another user. */
function isOpen(path: string): boolean {
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false
  }
  return true
}

export interface Scene {
  readonly dir: string
  readonly plan: Partial<ExecPlan>
}

/** A run as a daemon would have made it: a home that is closed to others, with sockets, tokens and keys. */
export async function scene(): Promise<Scene> {
  const dir = mkdtempSync(join(tmpdir(), 'exec-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const home = join(dir, 'home')
  for (const name of ['run', 'keys']) mkdirSync(join(home, name), { recursive: true, mode: 0o700 })
  writeFileSync(join(home, 'keys', 'operator.key'), 'the operator’s key')
  writeFileSync(join(home, 'run', 'svid.jwt'), 'svid-1')
  const sidecar = createServer((request, response) => {
    response.writeHead(request.url === '/trat' ? 200 : 404, { connection: 'close' })
    response.end('e30.e30.sig')
  })
  sidecar.listen(join(home, 'run', 'auth.sock'))
  await once(sidecar, 'listening')
  onTestFinished(() => void sidecar.close())
  const run = {
    RUN_ID: 'run_1',
    SPIFFE_JWT_PATH: join(home, 'run', 'svid.jwt'),
    TRAT_FILE: join(home, 'run', 'trat.jwt'),
    AUTH_SIDECAR_SOCKET: join(home, 'run', 'auth.sock'),
    WORK_DIR: join(home, 'work'),
    OUTPUT_PATH: join(home, 'output'),
  }
  return {
    dir,
    plan: { run, hidden: [home], directory: '/', ...(isRoot && { uid: UID }) },
  }
}

/** Starts `script` as the agent's Node program. @param passed A descriptor that our own is started with, as its 63. */
export function start(plan: Partial<ExecPlan>, script: string, passed?: number) {
  const own = { PATH, TERM: 'dumb', OPENAI_API_KEY: 'sk-marker' }
  const given = { command: [process.execPath, '--input-type=module', '-e', script], own, ...plan }
  const child = spawn(process.execPath, ['--conditions=source', SCRIPT, JSON.stringify(given)], {
    stdio: ['pipe', 'pipe', 'pipe', ...Array<'ignore'>(60).fill('ignore'), passed ?? 'ignore'],
  }) as ChildProcessWithoutNullStreams // the first three are pipes
  onTestFinished(() => void child.kill('SIGKILL'))
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const closed = once(child, 'close').then(([code]) => ({ code: code as number, out, err }))
  const guarded = <T>(work: Promise<T>, what: string): Promise<T> =>
    within(work, () => `${what}: ${JSON.stringify({ out, err })}\n${tree(child.pid ?? 0)}`)
  const ended = guarded(closed, 'it does not end')
  ended.catch(() => undefined) // not every test waits for it
  return {
    child,
    ended,
    /** Resolves when it says the next thing; one that ends without is a failure, and not a wait. */
    said: () => {
      const silent = closed.then((end) => {
        throw new Error(`it ended without a word: ${JSON.stringify(end)}`)
      })
      return guarded(Promise.race([once(child.stdout, 'data'), silent]), 'it says nothing')
    },
    out: () => out,
  }
}

/** Far beyond what any of it takes: a hang is to be seen for what it is. */
const HANG_MS = 25_000

async function within<T>(work: Promise<T>, problem: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(problem())), HANG_MS)
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** A process and those below it, one per line. */
function tree(pid: number, depth = 0): string {
  try {
    const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'latin1')
    const [state = ''] = /^State:.*$/m.exec(read('status')) ?? []
    const command = read('cmdline').replaceAll('\0', ' ').slice(0, 120)
    const below = read(`task/${pid}/children`).split(' ').filter(Boolean).map(Number)
    const line = `${'  '.repeat(depth)}${pid} ${state} ${read('wchan')} ${command}\n`
    return line + below.map((child) => tree(child, depth + 1)).join('')
  } catch {
    return ''
  }
}
