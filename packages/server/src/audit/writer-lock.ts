/** One writer per log: a lock file that names its owner and outlives it without blocking the next. */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { LOCK_FILE } from './segment.ts'

interface Owner {
  pid: number
  /** Clock ticks since boot at which the process began; tells a reused pid from its first owner. */
  started: string
}

/**
 * @param file Name of the lock, for those who guard something else with it.
 * @returns Disposing it gives the lock back.
 * @throws VestryError `INSTANCE_RUNNING` while the owner named in the file is alive.
 */
export function takeWriterLock(dir: string, file = LOCK_FILE): Disposable {
  const path = join(dir, file)
  const mine: Owner = { pid: process.pid, started: startOf(process.pid) ?? '' }
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(mine)}\n`, { mode: 0o600 })
  try {
    for (let tries = 0; tries < 5; tries += 1) {
      if (claimed(draft, path)) return { [Symbol.dispose]: () => rmSync(path, { force: true }) }
      const owner = ownerOf(path)
      if (owner !== undefined && alive(owner)) throw busy(owner)
      setAside(path, `${draft}.stale`)
    }
    throw busy(ownerOf(path))
  } finally {
    rmSync(draft, { force: true })
  }
}

/** link() makes name and content appear in one step, and fails when the name is taken. */
function claimed(draft: string, path: string): boolean {
  try {
    linkSync(draft, path)
    return true
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') return false
    throw cause
  }
}

/** Another process may have replaced the stale lock meanwhile: look again after moving it. */
function setAside(path: string, aside: string): void {
  try {
    renameSync(path, aside)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return
    throw cause
  }
  const owner = ownerOf(aside)
  if (owner !== undefined && alive(owner)) claimed(aside, path)
  rmSync(aside, { force: true })
}

function ownerOf(path: string): Owner | undefined {
  try {
    const { pid, started } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Owner>
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : undefined
  } catch {
    return undefined
  }
}

function alive(owner: Owner): boolean {
  const started = startOf(owner.pid)
  if (started !== undefined) return started === owner.started
  try {
    process.kill(owner.pid, 0)
    return true
  } catch (cause) {
    return codeOf(cause) === 'EPERM'
  }
}

/**
 * Field 22 of /proc/<pid>/stat. @returns undefined where there is no /proc or no such process; `'dead'`
 * for one that ended and was not collected by its parent, which may last as long as the parent does.
 */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command name may hold spaces and brackets; fields are counted after its last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? 'dead' : fields[19]
  } catch {
    return undefined
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

function busy(owner: Owner | undefined): VestryError {
  const who = owner === undefined ? 'another process' : `process ${owner.pid}`
  return new VestryError('INSTANCE_RUNNING', `The audit log is being written by ${who}`, {
    hint: 'Stop that daemon first; only one may write a log.',
  })
}
