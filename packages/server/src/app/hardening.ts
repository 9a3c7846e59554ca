/** What must be true of the process before it may hold keys (vault.md §22.1). */
import { existsSync, lstatSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import { assertTlsEnvironment } from '../egress/guard.ts'
import type { Home } from './home.ts'

const REVEALING_FLAGS =
  /^--(?:inspect|debug|heap-prof|heapsnapshot|diagnostic-report|report-|cpu-prof|trace-)/

/**
 * @param insecure `--insecure-dev`: debugging flags are tolerated. Switched-off TLS checks never are.
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
  const flags = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(/\s+/)]
  const revealing = flags.find((flag) => REVEALING_FLAGS.test(flag))
  if (revealing !== undefined && !insecure) {
    throw new VestryError(
      'CONFIG_INVALID',
      `${revealing.split('=')[0]} exposes the memory of this process`,
      {
        hint: 'Start without it, or with --insecure-dev on a machine without real secrets',
      },
    )
  }
  const warnings: string[] = []
  for (const path of [home.dir, home.keys, home.audit]) assertPrivate(path)
  if (process.getuid?.() === 0) {
    warnings.push('running as root: a dedicated user is safer, agents then cannot share its uid')
  }
  return warnings
}

function assertPrivate(path: string): void {
  if (!existsSync(path)) return
  const open = lstatSync(path).mode & 0o077
  if (open === 0) return
  throw new VestryError(
    'CONFIG_INVALID',
    `${path} is open to other users (mode ${open.toString(8)})`,
    {
      hint: `Run: chmod 700 ${path}`,
    },
  )
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
