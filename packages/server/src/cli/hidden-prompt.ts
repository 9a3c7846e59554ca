/**
 * Asks for a secret without echo. What is typed goes from the terminal's bytes into memory that is
 * wiped, never into a string.
 */
import { VestryError } from '@vestry/contract/errors'
import { Secret, unpooled } from '../seal/secret.ts'
import type { InputStream, OutputStream } from './terminal.ts'

const MAX_TYPED_BYTES = 4096

const INTERRUPT = 0x03
const END = 0x04
const BACKSPACE = 0x08
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const CLEAR_LINE = 0x15
const DELETE = 0x7f

/**
 * @returns What was typed before Enter, UTF-8; the caller disposes it.
 * @throws VestryError `USAGE` when it was broken off or is too long for a line.
 */
export async function promptHidden(
  question: string,
  { stdin, stderr }: { stdin: InputStream; stderr: OutputStream },
): Promise<Secret> {
  stderr.write(`${question}: `)
  stdin.setRawMode?.(true)
  const typed = new TypedLine()
  try {
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        stdin.off('data', read)
        stdin.off('end', ended)
        stdin.off('error', failed)
        stdin.pause()
      }
      const failed = (error: unknown): void => {
        stop()
        reject(error)
      }
      const ended = (): void => failed(brokenOff())
      const read = (chunk: Buffer): void => {
        try {
          const rest = typed.push(chunk)
          if (rest === undefined) return
          stop()
          if (rest.length > 0) stdin.unshift(Buffer.from(rest))
          resolve()
        } catch (error) {
          failed(error)
        } finally {
          chunk.fill(0)
        }
      }
      stdin.on('data', read)
      stdin.once('end', ended)
      stdin.once('error', failed)
      stdin.resume()
    })
    return typed.take()
  } finally {
    typed.wipe()
    stdin.setRawMode?.(false)
    stderr.write('\n')
  }
}

/** Asks twice. @throws VestryError `USAGE` when the two differ. */
export async function promptNewSecret(
  question: string,
  streams: { stdin: InputStream; stderr: OutputStream },
): Promise<Secret> {
  const first = await promptHidden(question, streams)
  try {
    using second = await promptHidden(`${question} (again)`, streams)
    if (Buffer.compare(first.bytes, second.bytes) === 0) return first
    throw new VestryError('USAGE', 'the two entries differ', {
      hint: 'Nothing was changed; repeat',
    })
  } catch (error) {
    first[Symbol.dispose]()
    throw error
  }
}

/** The line so far, edited as a terminal would. */
class TypedLine {
  readonly #bytes = unpooled(MAX_TYPED_BYTES)
  #length = 0

  /** @returns The bytes behind Enter; undefined while the line goes on. */
  push(chunk: Uint8Array): Uint8Array | undefined {
    for (const [at, byte] of chunk.entries()) {
      if (byte === CARRIAGE_RETURN || byte === LINE_FEED || byte === END) return chunk.slice(at + 1)
      if (byte === INTERRUPT) throw brokenOff()
      if (byte === BACKSPACE || byte === DELETE) this.#back()
      else if (byte === CLEAR_LINE) this.#length = 0
      else if (byte >= 0x20) this.#add(byte)
    }
    return undefined
  }

  take(): Secret {
    return Secret.copy(this.#bytes.subarray(0, this.#length))
  }

  wipe(): void {
    this.#bytes.fill(0)
  }

  #add(byte: number): void {
    if (this.#length === MAX_TYPED_BYTES) {
      throw new VestryError('USAGE', `more than ${MAX_TYPED_BYTES} bytes were typed`, {
        hint: 'Give a long secret as a file',
      })
    }
    this.#bytes[this.#length] = byte
    this.#length += 1
  }

  /** Takes away one character: its continuation bytes and the byte that began it. */
  #back(): void {
    while (this.#length > 0) {
      this.#length -= 1
      if (((this.#bytes[this.#length] ?? 0) & 0xc0) !== 0x80) return
    }
  }
}

function brokenOff(): VestryError {
  return new VestryError('USAGE', 'the entry was broken off', { hint: 'Nothing was changed' })
}
