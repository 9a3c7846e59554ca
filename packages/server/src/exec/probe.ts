/** Tries each way to start an agent without a network, with something harmless, and says which would work here. */
import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asVestryError } from '@vestry/contract/errors'
import { mountArguments } from './mounts.ts'
import { chooseSandbox, type Sandbox } from './sandbox.ts'
import { compileProfile, hostArchitecture } from './seccomp/compile.ts'
import { agentProfile } from './seccomp/profile.ts'

/** Why a way does not work; undefined where it does. */
export type SandboxProblems = Readonly<Record<Sandbox['kind'], string | undefined>>

/** @param uid Dedicated uid of an agent; undefined for the uid of this process. */
export function sandboxProblems({
  path,
  uid,
}: {
  path: string
  uid: number | undefined
}): SandboxProblems {
  using room = mkdtempDisposableSync(join(tmpdir(), 'vestry-'))
  const filterFile = join(room.path, 'filter.bpf')
  const problem = (kind: Sandbox['kind']): string | undefined => {
    try {
      writeFileSync(filterFile, compileProfile(agentProfile(), hostArchitecture()), { mode: 0o600 })
      const nothing = { writable: {}, readable: {}, shown: [], hidden: [], closed: [] }
      const mounts = mountArguments({
        ...nothing,
        room: room.path,
        pod: undefined,
        openTemporary: false,
      })
      chooseSandbox(kind, { path, uid, mounts, filterFile, directory: '/' })
      return undefined
    } catch (error) {
      return asVestryError(error).message.replace(/^no sandbox works here: \w+: /, '')
    }
  }
  return { bubblewrap: problem('bubblewrap'), namespace: problem('namespace') }
}
