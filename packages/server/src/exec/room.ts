/**
 * The room of one agent process: a directory that holds its sockets and its tokens, and nothing of anybody
 * else. Each socket passes bytes on to the daemon's; each token file is a copy that follows its original. So
 * the agent needs no way into the home, may have a uid of its own, and outlives a restart of the daemon.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { socketDialer } from '../egress/dial.ts'
import { FORWARDER_LIMITS, Forwarder } from '../forward/forwarder.ts'

export interface RoomPlan {
  /** Where the directory is made. */
  readonly parent: string
  /** Who uses it; undefined for the user who makes it. */
  readonly uid: number | undefined
  /** Name in the room → socket it leads to. */
  readonly sockets: Readonly<Record<string, { path: string; http: boolean }>>
  /** Name in the room → file it is a copy of. */
  readonly files: Readonly<Record<string, string>>
  /** Directories made in the room for the agent to write in. */
  readonly writable: readonly string[]
  /** Directories made in the room for others to be mounted on, or for sockets and files. */
  readonly readable: readonly string[]
}

export interface Room extends AsyncDisposable {
  readonly dir: string
}

/** Tokens are replaced at half of their life, minutes before the old one ends. */
const FOLLOW_EVERY_MS = 500
const CONNECT_MS = 5_000
const DRAIN_MS = 1_000

export async function openRoom(plan: RoomPlan): Promise<Room> {
  const { uid } = plan
  sweepRooms(plan.parent)
  const dir = mkdtempSync(join(plan.parent, `vestry-${processSpace()}-${process.pid}-`))
  await using undo = new AsyncDisposableStack()
  undo.defer(() => rmSync(dir, { recursive: true, force: true }))
  // Ours, so that the agent cannot put a link where a token is about to be written; others only pass through.
  const own = uid === undefined ? 0o700 : 0o711
  for (const path of ['', ...plan.readable].map((name) => join(dir, name))) {
    mkdirSync(path, { recursive: true })
    chmodSync(path, own)
  }
  for (const path of plan.writable.map((name) => join(dir, name))) {
    mkdirSync(path, { mode: 0o700 })
    give(path, uid)
  }
  for (const [name, { path, http }] of Object.entries(plan.sockets)) {
    const forwarder = new Forwarder({
      dial: socketDialer(path, { timeoutMs: CONNECT_MS }),
      http,
      // Sessions of the vault may be silent for as long as they live.
      limits: http ? FORWARDER_LIMITS : { ...FORWARDER_LIMITS, idleMs: 0 },
    })
    const socket = join(dir, name)
    await forwarder.listen(socket, 0o600)
    undo.defer(() => forwarder.close(DRAIN_MS))
    give(socket, uid)
  }
  const copies = Object.entries(plan.files).map(([name, path]) =>
    copyOf(path, join(dir, name), uid),
  )
  for (const follow of copies) follow()
  const timer = setInterval(() => {
    for (const follow of copies) follow()
  }, FOLLOW_EVERY_MS)
  undo.defer(() => clearInterval(timer))
  const all = undo.move()
  return { dir, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/**
 * Removes what others of ours left behind when they were killed. Only those whose process can be looked for from
 * here: in another process namespace the same number is somebody else.
 */
function sweepRooms(parent: string): void {
  for (const name of readdirSync(parent)) {
    const [, space, pid] = /^vestry-(\d+)-(\d+)-\w{6}$/.exec(name) ?? []
    if (space !== processSpace() || isRunning(Number(pid))) continue
    const path = join(parent, name)
    if (lstatSync(path, { throwIfNoEntry: false })?.uid !== process.getuid?.()) continue
    rmSync(path, { recursive: true, force: true })
  }
}

function processSpace(): string {
  return readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '')
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Copies when the original is another one than before; while there is none, the last copy stays. */
function copyOf(from: string, to: string, uid: number | undefined): () => void {
  let seen = ''
  return () => {
    try {
      const { ino, mtimeMs, size } = statSync(from)
      const now = `${ino}:${mtimeMs}:${size}`
      if (now === seen) return
      const draft = `${to}.new`
      rmSync(draft, { force: true })
      const file = openSync(draft, 'wx', 0o600)
      try {
        writeFileSync(file, readFileSync(from))
        if (uid !== undefined) fchownSync(file, uid, uid)
      } finally {
        closeSync(file)
      }
      renameSync(draft, to)
      seen = now
    } catch {
      // Between two versions, or not there yet: the next look will tell.
    }
  }
}

function give(path: string, uid: number | undefined): void {
  if (uid !== undefined) chownSync(path, uid, uid)
}
