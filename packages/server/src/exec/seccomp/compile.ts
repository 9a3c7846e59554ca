/**
 * Turns a profile into the filter that the kernel runs: classic BPF over `struct seccomp_data`. Pure.
 *
 * Calls of any other architecture kill the process, for their numbers mean something else; those of the x32
 * variant do not exist. A call that the profile does not name is allowed.
 *
 * @see Linux Documentation/userspace-api/seccomp_filter.rst
 */
import { VestryError } from '@vestry/contract/errors'
import type { Argument, Profile } from './profile.ts'
import { type Architecture, SYSCALLS } from './syscalls.ts'

const LOAD_WORD = 0x20
const AND = 0x54
const JUMP_EQUAL = 0x15
const JUMP_AT_LEAST = 0x35
const RETURN = 0x06

const ALLOW = 0x7fff_0000
const ERRNO = 0x0005_0000
const KILL_PROCESS = 0x8000_0000

/** Offsets in `struct seccomp_data`, of little-endian machines. */
const NUMBER = 0
const ARCHITECTURE = 4
const ARGUMENTS = 16

const AUDIT_ARCH = { x86_64: 0xc000_003e, aarch64: 0xc000_00b7 } as const
const NAMES = { x86_64: 'SCMP_ARCH_X86_64', aarch64: 'SCMP_ARCH_AARCH64' } as const
const X32_BIT = 0x4000_0000
const ENOSYS = 38

/** How many instructions the kernel takes, and bytes that each has. */
const MAX_INSTRUCTIONS = 4_096
export const INSTRUCTION_BYTES = 8

interface Instruction {
  readonly code: number
  /** Instructions skipped when the comparison holds, and when it does not. */
  readonly ifTrue: number
  readonly ifFalse: number
  readonly value: number
}

/** @returns `struct sock_filter[]` as bytes. @throws VestryError CONFIG_INVALID */
export function compileProfile(profile: Profile, architecture: Architecture): Buffer {
  if (!profile.architectures.includes(NAMES[architecture])) {
    throw new VestryError('CONFIG_INVALID', `the seccomp profile is not made for ${architecture}`)
  }
  const column = architecture === 'x86_64' ? 0 : 1
  const program: Instruction[] = [
    load(ARCHITECTURE),
    compare(JUMP_EQUAL, AUDIT_ARCH[architecture], 1, 0),
    result(KILL_PROCESS),
    load(NUMBER),
  ]
  if (architecture === 'x86_64') {
    program.push(compare(JUMP_AT_LEAST, X32_BIT, 0, 1), result(ERRNO | ENOSYS))
  }
  for (const { names, errnoRet, args } of profile.syscalls) {
    const refusal = result(ERRNO | errnoRet)
    const [condition] = args
    for (const name of names) {
      const number = SYSCALLS[name]?.[column]
      if (number === undefined) continue // this architecture has no such call
      const body = condition === undefined ? [refusal] : conditional(condition, refusal)
      program.push(compare(JUMP_EQUAL, number, 0, body.length), ...body)
    }
  }
  program.push(result(ALLOW))
  if (program.length > MAX_INSTRUCTIONS) {
    throw new VestryError('CONFIG_INVALID', 'the seccomp profile is too long for the kernel')
  }
  return encode(program)
}

/** The architecture of this process. @throws VestryError CONFIG_INVALID where we have no numbers. */
export function hostArchitecture(arch: string = process.arch): Architecture {
  if (arch === 'x64') return 'x86_64'
  if (arch === 'arm64') return 'aarch64'
  throw new VestryError('CONFIG_INVALID', `there is no seccomp profile for ${arch}`)
}

/** Refuses when the argument, all 64 bits of it, is as described; else loads the number again and goes on. */
function conditional(argument: Argument, refusal: Instruction): Instruction[] {
  const low = ARGUMENTS + argument.index * 8
  const high = low + 4
  if (argument.op === 'SCMP_CMP_NE') {
    const [upper, lower] = words(argument.value)
    return [
      load(high),
      compare(JUMP_EQUAL, upper, 0, 2), // another upper half: refuse
      load(low),
      compare(JUMP_EQUAL, lower, 1, 0),
      refusal,
      load(NUMBER),
    ]
  }
  const [upperMask, lowerMask] = words(argument.value)
  const [upper, lower] = words(argument.valueTwo)
  return [
    load(high),
    and(upperMask),
    compare(JUMP_EQUAL, upper, 0, 4),
    load(low),
    and(lowerMask),
    compare(JUMP_EQUAL, lower, 0, 1),
    refusal,
    load(NUMBER),
  ]
}

const load = (offset: number): Instruction => ({
  code: LOAD_WORD,
  ifTrue: 0,
  ifFalse: 0,
  value: offset,
})
const and = (mask: number): Instruction => ({ code: AND, ifTrue: 0, ifFalse: 0, value: mask })
const result = (value: number): Instruction => ({ code: RETURN, ifTrue: 0, ifFalse: 0, value })
const compare = (code: number, value: number, ifTrue: number, ifFalse: number): Instruction => ({
  code,
  ifTrue,
  ifFalse,
  value,
})

function words(value: number): [upper: number, lower: number] {
  return [Math.floor(value / 2 ** 32), value % 2 ** 32]
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES)
  program.forEach((instruction, index) => {
    const at = index * INSTRUCTION_BYTES
    bytes.writeUInt16LE(instruction.code, at)
    bytes.writeUInt8(instruction.ifTrue, at + 2)
    bytes.writeUInt8(instruction.ifFalse, at + 3)
    bytes.writeUInt32LE(instruction.value >>> 0, at + 4)
  })
  return bytes
}
