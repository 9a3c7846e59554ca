/** Whether an agent of another user reaches what it is about to use, asked in its own sandbox. */
import { VestryError } from '@vestry/contract/errors'
import { problemIn, type Sandbox } from './sandbox.ts'

/** @throws VestryError CONFIG_INVALID that names what is closed to it. */
export function assertReached(
  sandbox: Sandbox,
  filterFile: string,
  uid: number,
  {
    program,
    directories,
    repository,
  }: { program: string; directories: readonly string[]; repository: string | undefined },
): void {
  const can = (test: string, path: string): boolean =>
    problemIn(sandbox, filterFile, ['/bin/sh', '-c', test, 'sh', path]) === undefined
  if (!can('test -x "$1"', program)) {
    throw new VestryError('CONFIG_INVALID', `user ${uid} cannot run ${program}`, {
      hint: 'Put the program where all may read it, or choose a user that may with --uid',
    })
  }
  if (repository !== undefined && !can('test -x "$1" && test -r "$1"', repository)) {
    throw new VestryError('CONFIG_INVALID', `user ${uid} cannot read the repository`, {
      hint: 'Let others read its directory and files, or choose a user that may with --uid',
    })
  }
  const closed = directories.find((path) => !can('test -x "$1" && test -w "$1"', path))
  if (closed === undefined) return
  throw new VestryError('CONFIG_INVALID', `user ${uid} cannot write to ${closed}`, {
    hint: 'Install bubblewrap, or give it directories that it reaches: --env WORK_DIR=… --env OUTPUT_PATH=…',
  })
}
