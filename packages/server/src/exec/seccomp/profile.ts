/**
 * The profile of an agent process, as it ships: `seccomp/agent.json`, in the form that container engines read
 * too. Of that form we take what our profile needs, and refuse the rest instead of skipping it.
 */
import { readFileSync } from 'node:fs'
import { accept } from '@vestry/contract/accept'
import * as z from 'zod'
import { SYSCALLS } from './syscalls.ts'

const MAX_ERRNO = 4_095
const Word = z.int().min(0).max(Number.MAX_SAFE_INTEGER)

const Argument = z.union([
  z.strictObject({ index: z.int().min(0).max(5), value: Word, op: z.literal('SCMP_CMP_NE') }),
  /** `(argument & value) == valueTwo` */
  z.strictObject({
    index: z.int().min(0).max(5),
    value: Word,
    valueTwo: Word,
    op: z.literal('SCMP_CMP_MASKED_EQ'),
  }),
])
export type Argument = z.output<typeof Argument>

const Profile = z.strictObject({
  defaultAction: z.literal('SCMP_ACT_ALLOW'),
  architectures: z.array(z.enum(['SCMP_ARCH_X86_64', 'SCMP_ARCH_AARCH64'])).min(1),
  syscalls: z.array(
    z.strictObject({
      comment: z.string().optional(),
      names: z
        .array(z.string().refine((name) => Object.hasOwn(SYSCALLS, name), 'is no call we know'))
        .min(1),
      action: z.literal('SCMP_ACT_ERRNO'),
      errnoRet: z.int().min(1).max(MAX_ERRNO),
      /** All of them must hold. */
      args: z.array(Argument).max(1).default([]),
    }),
  ),
})
export type Profile = z.output<typeof Profile>

const SHIPPED = new URL('../../../seccomp/agent.json', import.meta.url)

/** @throws VestryError INVALID_PARAMS for a profile that says what we cannot enforce. */
export function agentProfile(file: URL | string = SHIPPED): Profile {
  return accept(Profile, JSON.parse(readFileSync(file, 'utf8')))
}
