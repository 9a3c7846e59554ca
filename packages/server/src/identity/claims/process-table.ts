/** Processes of this host, as /proc tells of them. Nothing is kept: a number is somebody else's a moment later. */
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'

export interface ProcessFacts {
  readonly pid: number
  readonly parentPid: number
  /** POSIX session id. */
  readonly sessionId: number
  /** Clock ticks since boot. */
  readonly startTime: string
  /** It has ended, and its parent has not asked for the exit code yet. */
  readonly ended: boolean
}

export interface ProcessOwner {
  /** Effective uid. */
  readonly uid: number
  /** Its number in its own namespace. */
  readonly nsPid: number
}

export interface ProcessTable {
  /** undefined for one that is gone, or that is hidden from us. */
  read(pid: number): ProcessFacts | undefined
  owner(pid: number): ProcessOwner | undefined
  /** The file that it runs, as device and number; undefined where we may not look. */
  program(pid: number): string | undefined
  /** Whether anything can be read at all just now: without descriptors left, everybody looks gone. */
  readable(): boolean
  /** Of this boot of the host: numbers of processes begin again with the next. */
  bootId(): string
}

/** Longer than any line of the kernel; a name has at most 64 bytes. */
const STAT_BYTES = 1_024
const STATE = 0
const PARENT = 1
const SESSION = 3
/** Field 22, counted from the third. */
const START_TIME = 19

const buffer = Buffer.alloc(STAT_BYTES)

export const processTable: ProcessTable = {
  read: (pid) => {
    const text = statText(pid)
    return text === undefined ? undefined : parseStat(pid, text)
  },
  owner: (pid) => {
    try {
      return parseStatus(readFileSync(`/proc/${pid}/status`, 'latin1'), pid)
    } catch {
      return undefined
    }
  },
  program: (pid) => {
    try {
      const { dev, ino } = statSync(`/proc/${pid}/exe`, { bigint: true })
      return `${dev}:${ino}`
    } catch {
      return undefined
    }
  },
  readable: () => statText('self') !== undefined,
  bootId: () => {
    try {
      return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    } catch {
      return ''
    }
  },
}

/** Read with a buffer of our own: this is asked for while lines arrive. */
function statText(pid: number | 'self'): string | undefined {
  let file: number
  try {
    file = openSync(`/proc/${pid}/stat`, 'r')
  } catch {
    return undefined
  }
  try {
    return buffer.toString('latin1', 0, readSync(file, buffer, 0, STAT_BYTES, 0))
  } catch {
    return undefined // it ended between the two
  } finally {
    closeSync(file)
  }
}

/** The name in brackets is the process's own choice, brackets and spaces included. */
export function parseStat(pid: number, text: string): ProcessFacts | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const startTime = fields[START_TIME]
  if (startTime === undefined || !/^\d+$/.test(startTime)) return undefined
  const state = fields[STATE]
  return {
    pid,
    parentPid: Number(fields[PARENT]),
    sessionId: Number(fields[SESSION]),
    startTime,
    ended: state === 'Z' || state === 'X' || state === 'x',
  }
}

function parseStatus(text: string, pid: number): ProcessOwner | undefined {
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(text)?.[1]
  if (uid === undefined) return undefined
  const inner = /^NSpid:((?:\s+\d+)+)$/m.exec(text)?.[1]?.trim().split(/\s+/).at(-1)
  return { uid: Number(uid), nsPid: inner === undefined ? pid : Number(inner) }
}
