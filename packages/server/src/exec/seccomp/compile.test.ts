import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileProfile, hostArchitecture, INSTRUCTION_BYTES } from './compile.ts'
import { agentProfile, type Profile } from './profile.ts'
import { type Architecture, SYSCALLS } from './syscalls.ts'

const ALLOW = 0x7fff_0000
const KILL = 0x8000_0000
const AUDIT_ARCH = { x86_64: 0xc000_003e, aarch64: 0xc000_00b7 } as const
const refused = (errno: number): number => 0x0005_0000 | errno

interface Call {
  readonly arch: number
  readonly number: number
  readonly args?: readonly bigint[]
}

/** The kernel's side: runs a filter over one call. @throws when it reads or jumps where it must not. */
function run(program: Buffer, { arch, number, args = [] }: Call): number {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(number, 0)
  data.writeUInt32LE(arch, 4)
  for (const [index, arg] of args.entries())
    data.writeBigUInt64LE(BigInt.asUintN(64, arg), 16 + index * 8)
  let accumulator = 0
  for (let at = 0; at < program.length; at += INSTRUCTION_BYTES) {
    const value = program.readUInt32LE(at + 4)
    const ifTrue = program.readUInt8(at + 2)
    const ifFalse = program.readUInt8(at + 3)
    switch (program.readUInt16LE(at)) {
      case 0x20:
        accumulator = data.readUInt32LE(value)
        break
      case 0x54:
        accumulator = (accumulator & value) >>> 0
        break
      case 0x15:
        at += (accumulator === value ? ifTrue : ifFalse) * INSTRUCTION_BYTES
        break
      case 0x35:
        at += (accumulator >= value ? ifTrue : ifFalse) * INSTRUCTION_BYTES
        break
      case 0x06:
        return value
      default:
        throw new Error('an instruction that nobody compiles')
    }
  }
  throw new Error('the filter has no end')
}

const profile = agentProfile()

describe.each(['x86_64', 'aarch64'] as const)('on %s', (name: Architecture) => {
  const program = compileProfile(profile, name)
  const arch = AUDIT_ARCH[name]
  const numberOf = (call: string): number => {
    const number = SYSCALLS[call]?.[name === 'x86_64' ? 0 : 1]
    if (number === undefined) throw new Error(`no ${call}`)
    return number
  }
  const ask = (call: string, ...args: bigint[]): number =>
    run(program, { arch, number: numberOf(call), args })

  test('only sockets of this machine are made', () => {
    expect(ask('socket', 1n, 1n, 0n)).toBe(ALLOW)
    expect(ask('socketpair', 1n, 1n, 0n)).toBe(ALLOW)
    for (const family of [0n, 2n, 10n, 16n, 17n, 38n, 40n, 44n, -1n]) {
      expect(ask('socket', family)).toBe(refused(97))
      expect(ask('socketpair', family)).toBe(refused(97))
    }
  })

  test('nothing in the upper half of an argument makes a family pass', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (family) => {
        expect(ask('socket', family)).toBe(family === 1n ? ALLOW : refused(97))
      }),
    )
  })

  test('new user namespaces are refused whichever call asks for them', () => {
    expect(ask('clone', 0x0120_0011n)).toBe(ALLOW) // fork
    expect(ask('clone', 0x003d_0f00n)).toBe(ALLOW) // a thread
    expect(ask('clone', 0x1000_0000n | 0x11n)).toBe(refused(1))
    expect(ask('clone3')).toBe(refused(38))
    expect(ask('unshare', 0x1000_0000n)).toBe(refused(1))
  })

  test('typing into a terminal is refused, other controls of devices are not', () => {
    expect(ask('ioctl', 0n, 0x5413n)).toBe(ALLOW) // TIOCGWINSZ
    expect(ask('ioctl', 0n, 0x5412n)).toBe(refused(1))
    expect(ask('ioctl', 0n, 0xdead_0000_5412n)).toBe(refused(1)) // the kernel reads 32 bits
    expect(ask('ioctl', 0n, 0x541cn)).toBe(refused(1))
  })

  test('rings, tracing, mounts, modules and the clock are refused', () => {
    for (const call of ['io_uring_setup', 'io_uring_enter']) expect(ask(call)).toBe(refused(38))
    for (const call of [
      'ptrace',
      'mount',
      'init_module',
      'clock_settime',
      'setns',
      'bpf',
      'keyctl',
    ])
      expect(ask(call)).toBe(refused(1))
  })

  test('what the profile does not name is allowed', () => {
    const named = new Set(
      profile.syscalls.flatMap(({ names }) => names).map((call) => SYSCALLS[call]),
    )
    const column = name === 'x86_64' ? 0 : 1
    const numbers = new Set([...named].map((row) => row?.[column]))
    for (let number = 0; number < 470; number += 1) {
      if (!numbers.has(number)) expect(run(program, { arch, number })).toBe(ALLOW)
    }
  })

  test('calls of another architecture kill the process', () => {
    for (const other of [0x4000_0003, 0x4000_0028, 0, (AUDIT_ARCH[name] ^ 1) >>> 0])
      expect(run(program, { arch: other, number: 1 })).toBe(KILL)
  })
})

test('the x32 numbers of x86_64 do not exist', () => {
  const program = compileProfile(profile, 'x86_64')
  for (const number of [0x4000_0000, 0x4000_0000 + 41, 0xffff_ffff])
    expect(run(program, { arch: AUDIT_ARCH.x86_64, number })).toBe(refused(38))
})

test('a profile that is not made for this machine, or names what we do not know, is refused', () => {
  const other: Profile = { ...profile, architectures: ['SCMP_ARCH_AARCH64'] }
  expect(() => compileProfile(other, 'x86_64')).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  )
  expect(() => hostArchitecture('riscv64')).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  )
})
