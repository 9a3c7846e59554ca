/** `vestry stop`: asks the daemon of a home to end, and waits until it has. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { isRow } from './cell.ts'
import type { Run } from './command.ts'
import { failureOf } from './failure.ts'

/** The daemon drains for up to ten seconds. */
const PATIENCE_MS = 20_000
const LOOK_EVERY_MS = 50

export function stopCommand(program: Command, run: Run): void {
  program
    .command('stop')
    .description('end the daemon of this home in good order')
    .action(
      run(async (io) => {
        // A file that names a process is not enough: only what answers is the daemon.
        await io.anonymous((admin) => admin.call('ping'))
        const pid = daemonPid(io.home.ready)
        process.kill(pid, 'SIGTERM')
        await io.busy('waiting for the daemon to end', () => untilGone(pid, io.signal))
        io.print({ stopped: true, pid }, `stopped ${pid}`)
      }),
    )
}

function daemonPid(path: string): number {
  try {
    const ready: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (isRow(ready) && typeof ready['pid'] === 'number') return ready['pid']
  } catch (error) {
    throw new VestryError('NOT_FOUND', `${path} cannot be read: ${failureOf(error).message}`, {
      hint: 'The daemon may be starting or ending; try again',
      cause: error,
    })
  }
  throw new VestryError('NOT_FOUND', `${path} names no process`)
}

async function untilGone(pid: number, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (isThere(pid)) {
    if (Date.now() > deadline) {
      throw new VestryError(
        'TIMEOUT',
        `process ${pid} has not ended within ${PATIENCE_MS / 1_000} s`,
      )
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
}

/** A process that ended and was not collected by its parent is gone, though it still has its number. */
function isThere(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command name may hold spaces and brackets; the state follows its last bracket.
    return !'ZX'.includes(stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3))
  } catch {
    return hasNumber(pid)
  }
}

/** Where there is no /proc, and for a process that went between the two looks. */
function hasNumber(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
