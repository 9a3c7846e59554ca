/**
 * Finds the processes that belong to one MCP server, also those which left its process group: by the mark that they
 * inherit in their environment, by session and by parent. Linux only; elsewhere it finds none.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Name of the variable that marks our children and whatever they start. */
export const MARK = 'VESTRY_MCP_CHILD'

export interface ProcessRow {
  readonly pid: number
  readonly parent: number
  readonly session: number
  /** Clock ticks since boot: with the pid it names one process for good. */
  readonly startedTicks: string
  readonly state: string
}

/** Every process that can be seen. */
export function processTable(): ProcessRow[] {
  return pids().flatMap((pid) => {
    const row = readRow(pid)
    return row === undefined || row.state === 'Z' ? [] : [row]
  })
}

/**
 * Members of a session, and those whose environment holds {@link MARK} with a value that begins with `value`; never
 * this process.
 */
export function belonging(value: string, session?: number): ProcessRow[] {
  const wanted = Buffer.from(`${MARK}=${value}`)
  return processTable().filter(
    (row) => row.pid !== process.pid && (row.session === session || hasVariable(row.pid, wanted)),
  )
}

/** All that descend from a living process, as far as parents still tell, itself included. */
export function family(leader: number): ProcessRow[] {
  const table = processTable()
  const found = new Set([leader])
  for (let before = 0; before !== found.size; ) {
    before = found.size
    for (const { pid, parent } of table) if (found.has(parent)) found.add(pid)
  }
  return table.filter(({ pid }) => pid !== process.pid && found.has(pid))
}

/** Whether that very process is still there: a pid alone may have gone to another one. */
export function isAlive({ pid, startedTicks }: ProcessRow): boolean {
  const row = readRow(pid)
  return row !== undefined && row.startedTicks === startedTicks && row.state !== 'Z'
}

export function signal(rows: readonly ProcessRow[], name: NodeJS.Signals): void {
  for (const row of rows) {
    if (!isAlive(row)) continue
    try {
      process.kill(row.pid, name)
    } catch {
      // It ended by itself, or was never ours to end.
    }
  }
}

function pids(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** @see proc_pid_stat(5): the name in parentheses may hold anything, so fields count from its end. */
function readRow(pid: number): ProcessRow | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const [state = '', parent, , session] = fields
    return {
      pid,
      state,
      parent: Number(parent),
      session: Number(session),
      startedTicks: fields[19] ?? '',
    }
  } catch {
    return undefined // it has ended since
  }
}

function hasVariable(pid: number, wanted: Buffer): boolean {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`)
    const at = environment.indexOf(wanted)
    return at === 0 || (at > 0 && environment[at - 1] === 0)
  } catch {
    return false // another user's, or ended
  }
}
