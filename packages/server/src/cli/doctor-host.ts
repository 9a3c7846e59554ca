/** What the machine and this process are like: Node, user, limits, swap, clock. */
import { existsSync, readFileSync } from 'node:fs'
import { type Check, fail, ok, warn } from './check.ts'

const NEEDED_NODE = [24, 15] as const
const FILES_NEEDED = 4_096
/** 2025-01-01: a clock before it was never set. */
const EARLIEST_MS = 1_735_689_600_000

export function checkHost(env: NodeJS.ProcessEnv, execArgv: readonly string[]): Check[] {
  const limits = readText('/proc/self/limits')
  return [
    nodeVersion(process.versions.node),
    user(process.getuid?.()),
    ...(limits === undefined ? [] : [coreDumps(limits), openFiles(limits)]),
    swap(readText('/proc/swaps')),
    clock(Date.now(), isSynchronised()),
    environment(env, execArgv),
  ]
}

export function nodeVersion(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [needMajor, needMinor] = NEEDED_NODE
  if (major > needMajor || (major === needMajor && minor >= needMinor)) {
    return ok('node', `Node ${version}`)
  }
  return fail('node', `Node ${version} is too old`, `Use Node ${needMajor}.${needMinor} or newer`)
}

export function user(uid: number | undefined): Check {
  if (uid !== 0) return ok('user', uid === undefined ? 'an ordinary user' : `uid ${uid}`)
  return warn('user', 'runs as root', 'Give the daemon a user of its own that no agent runs as')
}

/** @param limits The text of /proc/self/limits. */
export function coreDumps(limits: string): Check {
  const [, soft] = /^Max core file size +(\S+)/m.exec(limits) ?? []
  if (soft === undefined || soft === '0') return ok('core dumps', 'off')
  return warn(
    'core dumps',
    'a crash may write the memory of the daemon to disk, keys included',
    'Start it with "ulimit -c 0", or LimitCORE=0 in its systemd unit',
  )
}

export function openFiles(limits: string): Check {
  const [, soft] = /^Max open files +(\S+)/m.exec(limits) ?? []
  const count = soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
  if (Number.isNaN(count) || count >= FILES_NEEDED)
    return ok('open files', `limit ${soft ?? 'unknown'}`)
  return warn(
    'open files',
    `the limit of ${count} is low for many connections`,
    `Raise it: ulimit -n ${FILES_NEEDED}, or LimitNOFILE=${FILES_NEEDED} in its systemd unit`,
  )
}

/** @param swaps The text of /proc/swaps; undefined where there is none. */
export function swap(swaps: string | undefined): Check {
  if (swaps === undefined) return ok('swap', 'cannot be seen here')
  const areas = swaps
    .split('\n')
    .slice(1)
    .flatMap((line) => line.split(/\s+/)[0] || [])
  if (areas.length === 0) return ok('swap', 'off')
  if (areas.every((area) => area.startsWith('/dev/zram'))) return ok('swap', 'in memory only')
  return warn(
    'swap',
    `memory may be written to ${areas.join(', ')}`,
    'Turn swap off, encrypt it, or set MemorySwapMax=0 in the systemd unit',
  )
}

/** As systemd tells it; elsewhere nobody knows. */
export function isSynchronised(): boolean {
  return existsSync('/run/systemd/timesync/synchronized')
}

export function clock(nowMs: number, synchronised: boolean): Check {
  if (nowMs < EARLIEST_MS) {
    return fail(
      'clock',
      `shows ${new Date(nowMs).toISOString()}`,
      'Set the clock; leases and rules depend on it',
    )
  }
  if (synchronised) return ok('clock', 'synchronised')
  return ok(
    'clock',
    `shows ${new Date(nowMs).toISOString()}; whether it is synchronised cannot be seen`,
  )
}

export function environment(env: NodeJS.ProcessEnv, execArgv: readonly string[]): Check {
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    return fail(
      'environment',
      'NODE_TLS_REJECT_UNAUTHORIZED=0 switches certificate checks off',
      'Unset it; for a private CA set egress.ca_file',
    )
  }
  const flags = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(/\s+/)]
  const open = flags.find((flag) => /^--(?:inspect|heapsnapshot|heap-prof|report-)/.test(flag))
  if (open === undefined) return ok('environment', 'nothing that opens the process')
  return fail(
    'environment',
    `${open.split('=')[0]} exposes the memory of the process`,
    'Remove it from NODE_OPTIONS and the command line',
  )
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
