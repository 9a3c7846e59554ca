/**
 * The two ways to take the network from a process: bubblewrap, with a filter of system calls and a view of the
 * files of its own, or an empty network namespace. Each is tried before it is trusted.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import { findProgram } from './program-path.ts'

export const SANDBOXES = ['auto', 'bubblewrap', 'namespace'] as const
export type SandboxChoice = (typeof SANDBOXES)[number]

export interface Sandbox {
  readonly kind: 'bubblewrap' | 'namespace'
  /** Program and arguments in front of the agent's own command. */
  readonly prefix: readonly string[]
}

/** Descriptors of bubblewrap besides the standard streams. */
export const FILTER_FD = 3
export const STATUS_FD = 4

/** For setpriv: the agent does not outlive the process that passes its signals on. */
const WITH_US = '--pdeathsig=KILL'

export interface SandboxNeeds {
  readonly path: string
  /** Dedicated uid of the agent; undefined for the uid of this process. */
  readonly uid: number | undefined
  readonly mounts: readonly string[]
  /** File that holds the filter. */
  readonly filterFile: string
  readonly directory: string
}

/** @throws VestryError CONFIG_INVALID that says what each way lacks. */
export function chooseSandbox(choice: SandboxChoice, needs: SandboxNeeds): Sandbox {
  const problems: string[] = []
  for (const kind of ['bubblewrap', 'namespace'] as const) {
    if (choice !== 'auto' && choice !== kind) continue
    const found = kind === 'bubblewrap' ? bubblewrap(needs) : namespace(needs)
    if (typeof found !== 'string') return found
    problems.push(`${kind}: ${found}`)
  }
  throw new VestryError('CONFIG_INVALID', `no sandbox works here: ${problems.join('; ')}`, {
    hint: 'Install bubblewrap, and allow user namespaces or run as root: without a sandbox nothing is started',
  })
}

/** @returns What is missing, as text. */
function bubblewrap({ path, uid, mounts, filterFile, directory }: SandboxNeeds): Sandbox | string {
  const program = findProgram('bwrap', path)
  if (program === undefined) return 'bwrap is not installed'
  const identity = uid === undefined ? [] : asUser(uid, path)
  if (typeof identity === 'string') return identity
  const prefix = [
    program,
    ...['--unshare-net', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...(uid === undefined ? ['--unshare-user'] : []),
    ...['--die-with-parent', '--new-session'],
    ...mounts,
    ...['--chdir', directory],
    ...['--seccomp', String(FILTER_FD), '--json-status-fd', String(STATUS_FD)],
    '--',
    ...identity,
  ]
  return tried({ kind: 'bubblewrap', prefix }, filterFile)
}

function namespace({ path, uid, filterFile }: SandboxNeeds): Sandbox | string {
  const program = findProgram('unshare', path)
  if (program === undefined) return 'unshare (util-linux) is not installed'
  const identity = uid === undefined ? withoutPrivileges(path) : asUser(uid, path, [WITH_US])
  if (typeof identity === 'string') return identity
  const user = uid === undefined ? ['--user', '--map-current-user'] : []
  return tried(
    { kind: 'namespace', prefix: [program, ...user, '--net', '--', ...identity] },
    filterFile,
  )
}

/** Real, effective and saved ids, no groups, no capabilities, and no way to gain any. */
function asUser(uid: number, path: string, more: readonly string[] = []): string[] | string {
  const program = findProgram('setpriv', path)
  if (program === undefined)
    return 'setpriv (util-linux) is not installed, and a uid of its own needs it'
  const ids = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  return [
    program,
    ...ids,
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--no-new-privs',
    ...more,
    '--',
  ]
}

function withoutPrivileges(path: string): string[] | string {
  const program = findProgram('setpriv', path)
  return program === undefined
    ? 'setpriv (util-linux) is not installed'
    : [program, '--no-new-privs', WITH_US, '--']
}

/** Starts something harmless in it. */
function tried(sandbox: Sandbox, filterFile: string): Sandbox | string {
  return problemIn(sandbox, filterFile, ['/bin/true']) ?? sandbox
}

/** @returns Why `command` failed in the sandbox, as text; undefined when it did not. */
export function problemIn(
  sandbox: Sandbox,
  filterFile: string,
  command: readonly string[],
): string | undefined {
  const [program = '', ...args] = [...sandbox.prefix, ...command]
  const hasView = sandbox.kind === 'bubblewrap'
  const filter = openSync(filterFile, 'r')
  try {
    const { status, stderr, error } = spawnSync(program, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(hasView ? [filter, 'pipe' as const] : [])],
      encoding: 'utf8',
      timeout: 10_000,
    })
    if (status === 0) return undefined
    return (error?.message ?? stderr.trim().split('\n').at(-1)) || `it ended with ${status}`
  } finally {
    closeSync(filter)
  }
}
