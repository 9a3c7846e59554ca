/**
 * The way out through descriptor 2. A stalled reader must not block the agent, a closed one must not end
 * it, and the text of others must not be torn apart; `process.stderr` promises none of that.
 */
import { constants, fstatSync, openSync, readFileSync, write } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { Descriptor } from './descriptor.ts'
import type { Outlet, Progress } from './outlet.ts'

const FD = 2

export function openStderr(): Outlet {
  let kind: 'file' | 'stream' | 'terminal'
  try {
    const stat = fstatSync(FD)
    kind = stat.isFIFO() || stat.isSocket() ? 'stream' : stat.isFile() ? 'file' : 'terminal'
  } catch {
    // Nothing is there: the first write says so.
    return new Descriptor(() => FD)
  }
  // A second description of a file would have a position of its own and overwrite the first.
  if (kind === 'file') return new Descriptor(() => FD)
  const own = openOwn()
  if (own !== undefined) return new OwnStderr(own)
  // A terminal blocks only while its user holds it, and then on purpose.
  if (kind === 'terminal') return new Descriptor(() => FD)
  return new SharedStderr()
}

/**
 * On Linux a pipe or a terminal can be opened once more, so that it does not block us and still blocks
 * those who want that. Not so for sockets, nor for pipes of another user.
 */
function openOwn(): number | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
    return openSync(`/proc/self/fd/${FD}`, O_WRONLY | O_NONBLOCK | O_NOCTTY)
  } catch {
    return undefined
  }
}

/** Bytes of others that wait to be written: ours in between would tear a line apart. */
function othersWait(): boolean {
  try {
    // In a worker this stream leads to the main thread, not to the descriptor.
    return isMainThread && process.stderr.writableLength > 0
  } catch {
    return false
  }
}

class OwnStderr extends Descriptor {
  readonly #own: number

  constructor(fd: number) {
    super(() => fd)
    this.#own = fd
  }

  override progress(): Progress {
    return othersWait() ? 'busy' : super.progress()
  }

  override close(): void {
    if (this.reason === 'closed') return
    super.close()
    this.closeOwn(this.#own)
  }
}

/**
 * The descriptor that all share. Asking for `process.stderr` makes it one that does not block, until a
 * child that inherits it is started; when it might block, a single write at a time goes to the side.
 */
class SharedStderr implements Outlet {
  taken = 0
  reason = ''
  #direct = new Descriptor(() => FD)
  #inFlight = false
  #rest: Buffer | undefined

  constructor() {
    // For its effect: it makes the runtime take the stream over.
    othersWait()
  }

  get left(): number {
    return this.#direct.left + (this.#rest?.length ?? 0)
  }

  write(chunk: Buffer): void {
    if (this.#rest === undefined) this.#direct.write(chunk)
    else this.#rest = Buffer.concat([this.#rest, chunk])
  }

  progress(): Progress {
    if (this.reason !== '') return 'broken'
    if (this.#inFlight || othersWait()) return 'busy'
    if (this.left === 0) return 'idle'
    if (this.#rest === undefined && !mayBlock()) {
      const before = this.#direct.taken
      const progress = this.#direct.progress()
      this.taken += this.#direct.taken - before
      this.reason = this.#direct.reason
      return progress
    }
    this.#aside()
    return this.reason === '' ? 'busy' : 'broken'
  }

  close(): void {
    if (this.reason === '') this.reason = 'closed'
  }

  #aside(): void {
    if (!this.#direct.isOurs()) {
      this.reason = 'EBADF'
      return
    }
    this.#rest ??= this.#direct.drain()
    const chunk = this.#rest
    this.#inFlight = true
    write(FD, chunk, 0, chunk.length, null, (error, count) => {
      this.#inFlight = false
      if (error !== null && error.code !== 'EAGAIN') {
        this.reason = error.code ?? 'EIO'
        return
      }
      this.taken += count ?? 0
      const rest = (this.#rest ?? chunk).subarray(count ?? 0)
      this.#rest = undefined
      if (rest.length > 0) this.#direct.write(rest)
    })
  }
}

function mayBlock(): boolean {
  if (process.platform !== 'linux') return !isMainThread
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${FD}`, 'latin1'))?.[1]
    return (Number.parseInt(flags ?? '0', 8) & constants.O_NONBLOCK) === 0
  } catch {
    return true
  }
}
