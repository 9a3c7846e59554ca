/** What must be true of the process before it may hold keys (wire contract §22.1). */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { url as inspectorUrl } from 'node:inspector'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { assertTlsEnvironment } from '../egress/guard.ts'
import type { Home } from './home.ts'

/** They open the process to a debugger, or write its memory or its TLS keys to a file. */
const REVEALING_FLAGS =
  /^--(?:inspect|debug|heap-prof|heapsnapshot|diagnostic-dir|report-|cpu-prof|trace-event|tls-keylog|abort-on-uncaught)/
const SECRET_FILE = /\.(?:key|enc)$/

/**
 * @param insecure `--insecure-dev`: debuggers and their flags are tolerated. Switched-off TLS checks never are.
 * @returns Warnings for the operator.
 * @throws VestryError CONFIG_INVALID naming what is wrong and how to mend it.
 */
export function assertHardened(
  home: Home,
  env: NodeJS.ProcessEnv,
  execArgv: readonly string[],
  { insecure }: { insecure: boolean },
): string[] {
  assertTlsEnvironment(env)
  if (!insecure) assertUnobserved(env, execArgv)
  for (const path of [home.dir, home.data, home.keys, home.audit, home.run])
    assertPrivate(path, 'chmod 700')
  for (const name of namesIn(home.keys))
    if (SECRET_FILE.test(name)) assertPrivate(join(home.keys, name), 'chmod 600')
  assertPrivate(home.devKeyFile, 'chmod 600')
  return process.getuid?.() === 0
    ? ['running as root: a dedicated user is safer, agents then cannot share its uid']
    : []
}

function assertUnobserved(env: NodeJS.ProcessEnv, execArgv: readonly string[]): void {
  const flags = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(/\s+/)]
  const revealing = flags.find((flag) => REVEALING_FLAGS.test(flag))?.split('=')[0]
  const observer =
    revealing ??
    (inspectorUrl() !== undefined || isTraced() ? 'the debugger that is attached' : undefined)
  if (observer === undefined) return
  throw new VestryError('CONFIG_INVALID', `${observer} exposes the memory of this process`, {
    hint: 'Start without it, or with --insecure-dev on a machine without real secrets',
  })
}

/** Linux says which process traces this one. */
function isTraced(): boolean {
  try {
    return /^TracerPid:\s*[1-9]/m.test(readFileSync('/proc/self/status', 'latin1'))
  } catch {
    return false
  }
}

function assertPrivate(path: string, remedy: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  const open = found.mode & 0o077
  if (open !== 0) {
    throw new VestryError(
      'CONFIG_INVALID',
      `${path} is open to other users (mode ${(found.mode & 0o777).toString(8)})`,
      { hint: `Run: ${remedy} ${path}` },
    )
  }
  const uid = process.getuid?.()
  if (uid === undefined || uid === 0 || found.uid === uid) return
  throw new VestryError('CONFIG_INVALID', `${path} belongs to another user (uid ${found.uid})`, {
    hint: 'Start as that user, or choose another --home',
  })
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

/** Who is told of an attempt; the process has one listener, however many daemons it ran. */
const told = new Set<() => void>()
let listening = false

/**
 * SIGUSR1 opens the debugger in a Node process unless somebody listens; nothing else here does. The listener
 * stays when the daemon has gone: keys may linger in memory until the process ends.
 */
export function keepDebuggerShut(): { onAttempt(tell: () => void): void } & Disposable {
  if (!listening) {
    process.on('SIGUSR1', () => {
      for (const tell of told) tell()
    })
    listening = true
  }
  // Node's reports on a fatal error would print environment and stacks.
  if (process.report !== undefined) {
    process.report.reportOnFatalError = false
    process.report.reportOnSignal = false
    process.report.reportOnUncaughtException = false
  }
  let own: (() => void) | undefined
  return {
    onAttempt: (tell) => {
      own = tell
      told.add(tell)
    },
    [Symbol.dispose]: () => {
      if (own !== undefined) told.delete(own)
    },
  }
}
