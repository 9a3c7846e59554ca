/** What the machine, or the container this runs in, uses of its memory, processors and disk; measured when asked. */
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { cpus, freemem, totalmem } from 'node:os'
import { containerLimits, kibibytes, type ReadText } from './cgroup.ts'

export interface HostUsage {
  readonly memory_usage_bytes: number
  readonly memory_usage_percent: number
  readonly cpu_usage_percent: number
  readonly disk_usage_bytes: number
  readonly disk_usage_percent: number
}

/** Processor time that was used and could have been, since some start. */
export interface CpuReading {
  readonly usedMs: number
  readonly possibleMs: number
}

export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // not there, or not for us
  }
}

/** @param home Whose file system counts. */
export async function hostUsage(
  home: string,
  cpuPercent: number,
  read: ReadText = readText,
): Promise<HostUsage> {
  const memory = memoryUsage(read)
  const disk = await diskUsage(home)
  return {
    memory_usage_bytes: Math.round(memory.usedBytes),
    memory_usage_percent: percent(memory.usedBytes, memory.totalBytes),
    cpu_usage_percent: cpuPercent,
    disk_usage_bytes: Math.round(disk.usedBytes),
    disk_usage_percent: percent(disk.usedBytes, disk.totalBytes),
  }
}

function memoryUsage(read: ReadText): { usedBytes: number; totalBytes: number } {
  const { memory } = containerLimits(read)
  if (memory !== undefined) return { usedBytes: memory.usedBytes, totalBytes: memory.limitBytes }
  const meminfo = read('/proc/meminfo')
  const totalBytes = kibibytes(meminfo, 'MemTotal') ?? totalmem()
  // What can be had without swapping is not in use, whatever caches fill it.
  const availableBytes = kibibytes(meminfo, 'MemAvailable') ?? freemem()
  return { usedBytes: totalBytes - availableBytes, totalBytes }
}

/** Blocks that only the superuser may fill are neither used nor to be had. */
async function diskUsage(home: string): Promise<{ usedBytes: number; totalBytes: number }> {
  const { blocks, bfree, bavail, bsize } = await statfs(home)
  const usedBytes = (blocks - bfree) * bsize
  return { usedBytes, totalBytes: usedBytes + bavail * bsize }
}

/** @param nowMs On a clock that never goes back. */
export function readCpu(read: ReadText, nowMs: number): CpuReading {
  const { cpu } = containerLimits(read)
  if (cpu !== undefined) return { usedMs: cpu.usedMicros / 1_000, possibleMs: nowMs * cpu.cores }
  return hostCpu(read('/proc/stat')) ?? portableCpu()
}

const TICK_MS = 10

/** The first line sums all cores: user, nice, system, idle, iowait, irq, softirq, steal; the guests are in `user`. */
function hostCpu(stat: string | undefined): CpuReading | undefined {
  const line = /^cpu +((?:\d+ ){4,9}\d+)/m.exec(stat ?? '')?.[1]
  if (line === undefined) return undefined
  const ticks = line.split(' ').map(Number).slice(0, 8)
  const possible = ticks.reduce((sum, one) => sum + one, 0)
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0)
  return { usedMs: (possible - idle) * TICK_MS, possibleMs: possible * TICK_MS }
}

function portableCpu(): CpuReading {
  let usedMs = 0
  let possibleMs = 0
  for (const { times } of cpus()) {
    const busy = times.user + times.nice + times.sys + times.irq
    usedMs += busy
    possibleMs += busy + times.idle
  }
  return { usedMs, possibleMs }
}

/** 0 to 100, two decimals. */
export function percent(part: number, total: number): number {
  if (!(total > 0)) return 0
  return Math.round(Math.min(100, Math.max(0, (100 * part) / total)) * 100) / 100
}
