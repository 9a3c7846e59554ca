/**
 * The limits of the container this process runs in, if there is one: control groups of version 2, or of version 1. The
 * narrowest limit on the way up counts. Pure but for the file reader that is handed in.
 */

export interface ContainerLimits {
  /** Absent where the memory of the host is the limit. */
  readonly memory?: { readonly limitBytes: number; readonly usedBytes: number }
  /** Absent where all cores of the host may be used. */
  readonly cpu?: { readonly cores: number; readonly usedMicros: number }
}

/** @returns undefined for a file that is not there. */
export type ReadText = (path: string) => string | undefined

const ROOT = '/sys/fs/cgroup'

export function containerLimits(read: ReadText): ContainerLimits {
  const groups = ownGroups(read('/proc/self/cgroup') ?? '')
  const memory = memoryOf(read, groups)
  const cpu = cpuOf(read, groups)
  return { ...(memory !== undefined && { memory }), ...(cpu !== undefined && { cpu }) }
}

/** Path of the process by controller; the one of version 2 has no name. */
function ownGroups(text: string): ReadonlyMap<string, string> {
  const groups = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    for (const name of controllers.split(',')) groups.set(name, path)
  }
  return groups
}

/** From the own directory to the root, which inside of a container is the container's own. */
function upwards(base: string, path: string | undefined): string[] {
  const parts = (path ?? '/').split('/').filter((part) => part !== '' && part !== '..')
  return [...parts.keys(), parts.length]
    .reverse()
    .map((length) => [base, ...parts.slice(0, length)].join('/'))
}

function memoryOf(
  read: ReadText,
  groups: ReadonlyMap<string, string>,
): ContainerLimits['memory'] | undefined {
  const hostBytes = kibibytes(read('/proc/meminfo'), 'MemTotal')
  let narrowest: { limitBytes: number; usedBytes: number } | undefined
  const look = (directory: string, names: readonly [limit: string, used: string, idle: string]) => {
    const [limit, used, idle] = names
    const limitBytes = whole(read(`${directory}/${limit}`))
    const usedBytes = whole(read(`${directory}/${used}`))
    if (limitBytes === undefined || usedBytes === undefined) return
    if (hostBytes !== undefined && limitBytes >= hostBytes) return
    if (narrowest !== undefined && narrowest.limitBytes <= limitBytes) return
    // Pages of files that nobody uses are given back before anything is refused.
    const idleBytes = numberIn(read(`${directory}/memory.stat`), idle) ?? 0
    narrowest = { limitBytes, usedBytes: Math.max(0, usedBytes - idleBytes) }
  }
  for (const directory of upwards(ROOT, groups.get('')))
    look(directory, ['memory.max', 'memory.current', 'inactive_file'])
  for (const directory of upwards(`${ROOT}/memory`, groups.get('memory')))
    look(directory, ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'])
  return narrowest
}

function cpuOf(
  read: ReadText,
  groups: ReadonlyMap<string, string>,
): ContainerLimits['cpu'] | undefined {
  let narrowest: { cores: number; usedMicros: number } | undefined
  const found = (cores: number, usedMicros: number | undefined) => {
    if (usedMicros === undefined || !(cores > 0)) return
    if (narrowest === undefined || cores < narrowest.cores) narrowest = { cores, usedMicros }
  }
  for (const directory of upwards(ROOT, groups.get(''))) {
    const [, quota, period] = /^(\d+) (\d+)/.exec(read(`${directory}/cpu.max`) ?? '') ?? []
    if (quota === undefined) continue
    found(Number(quota) / Number(period), numberIn(read(`${directory}/cpu.stat`), 'usage_usec'))
  }
  for (const directory of upwards(`${ROOT}/cpu`, groups.get('cpu'))) {
    const quota = whole(read(`${directory}/cpu.cfs_quota_us`))
    const period = whole(read(`${directory}/cpu.cfs_period_us`))
    if (quota === undefined || period === undefined) continue
    const own = directory.slice(`${ROOT}/cpu`.length)
    const nanos = whole(read(`${ROOT}/cpuacct${own}/cpuacct.usage`))
    found(quota / period, nanos === undefined ? undefined : nanos / 1_000)
  }
  return narrowest
}

/** @returns undefined for `max`, `-1` and what is not there. */
function whole(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text.trim()) ? Number(text) : undefined
}

/** `name 123` on a line of its own. */
function numberIn(text: string | undefined, name: string): number | undefined {
  const line = text?.split('\n').find((one) => one.startsWith(`${name} `))
  return whole(line?.slice(name.length + 1))
}

/** `Name:  123 kB`. */
export function kibibytes(text: string | undefined, name: string): number | undefined {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text ?? '')?.[1]
  return value === undefined ? undefined : Number(value) * 1_024
}
