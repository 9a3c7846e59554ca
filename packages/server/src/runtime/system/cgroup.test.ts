import { expect, test } from 'vitest'
import { containerLimits } from './cgroup.ts'
import { readCpu } from './host-usage.ts'

const GIB = 1_073_741_824
const MEMINFO = `MemTotal:       ${16 * 1_048_576} kB\nMemAvailable:  ${8 * 1_048_576} kB\n`

function machine(files: Readonly<Record<string, string>>) {
  return (path: string) => ({ '/proc/meminfo': MEMINFO, ...files })[path]
}

test('a container of version 2 is limited by the narrowest group on its way up', () => {
  const read = machine({
    '/proc/self/cgroup': '0::/pod/app\n',
    '/sys/fs/cgroup/pod/app/memory.max': 'max\n',
    '/sys/fs/cgroup/pod/app/memory.current': `${GIB}\n`,
    '/sys/fs/cgroup/pod/memory.max': `${2 * GIB}\n`,
    '/sys/fs/cgroup/pod/memory.current': `${1.5 * GIB}\n`,
    '/sys/fs/cgroup/pod/memory.stat': `anon 5\ninactive_file ${GIB / 2}\n`,
    '/sys/fs/cgroup/memory.max': `${4 * GIB}\n`,
    '/sys/fs/cgroup/memory.current': `${3 * GIB}\n`,
    '/sys/fs/cgroup/pod/app/cpu.max': '150000 100000\n',
    '/sys/fs/cgroup/pod/app/cpu.stat': 'usage_usec 3000000\nuser_usec 1\n',
    '/sys/fs/cgroup/cpu.max': 'max 100000\n',
  })
  expect(containerLimits(read)).toEqual({
    memory: { limitBytes: 2 * GIB, usedBytes: GIB },
    cpu: { cores: 1.5, usedMicros: 3_000_000 },
  })
  expect(readCpu(read, 10_000)).toEqual({ usedMs: 3_000, possibleMs: 15_000 })
})

test('a container of version 1 is read, too', () => {
  const read = machine({
    '/proc/self/cgroup': '4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n',
    '/sys/fs/cgroup/memory/box/memory.limit_in_bytes': `${GIB}\n`,
    '/sys/fs/cgroup/memory/box/memory.usage_in_bytes': `${GIB / 2}\n`,
    '/sys/fs/cgroup/memory/box/memory.stat': `total_inactive_file ${GIB / 4}\n`,
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': '5\n',
    '/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us': '50000\n',
    '/sys/fs/cgroup/cpu/box/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/cpuacct/box/cpuacct.usage': '2000000000\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
  })
  expect(containerLimits(read)).toEqual({
    memory: { limitBytes: GIB, usedBytes: GIB / 4 },
    cpu: { cores: 0.5, usedMicros: 2_000_000 },
  })
})

test('without a limit below the host’s own it is the host that counts', () => {
  expect(containerLimits(() => undefined)).toEqual({})
  const read = machine({
    '/proc/self/cgroup': '0::/\n',
    '/sys/fs/cgroup/memory.max': `${32 * GIB}\n`,
    '/sys/fs/cgroup/memory.current': '5\n',
    '/proc/stat': 'cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 2 3 4 5\n',
  })
  expect(containerLimits(read)).toEqual({})
  expect(readCpu(read, 1)).toEqual({ usedMs: 1_500, possibleMs: 10_000 })
})
