/**
 * Where secrets come in: a prompt without echo, standard input, a file, a descriptor. Never the command
 * line, never the environment (only the name of a file may stand there).
 */
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { VestryError } from '@vestry/contract/errors'
import { Secret, unpooled } from '../seal/secret.ts'
import { promptHidden, promptNewSecret } from './hidden-prompt.ts'
import type { Terminal } from './terminal.ts'

/** One secret's options, e.g. `--value-stdin`, `--value-file F`, `--value-fd N`. */
export interface SecretSource {
  stdin?: boolean | undefined
  file?: string | undefined
  fd?: number | undefined
}

export interface SecretQuestion {
  /** Begins the names of the options in messages: `value`, `passphrase`. */
  option: string
  question: string
  /** A new secret is asked for twice. */
  isNew: boolean
  maxBytes: number
  /** Keeps a line end that would be trimmed. */
  raw?: boolean | undefined
}

export interface GivenSecret extends Disposable {
  readonly secret: Secret
  /** One line end was taken off. */
  readonly trimmed: boolean
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/**
 * @throws VestryError `USAGE` for two sources or none where nobody can be asked; `NOT_FOUND` for a file
 *   that cannot be read; `INVALID_PARAMS` for too many bytes.
 */
export async function readSecret(
  source: SecretSource,
  asked: SecretQuestion,
  terminal: Terminal,
): Promise<GivenSecret> {
  const given = [source.stdin === true, source.file !== undefined, source.fd !== undefined]
  if (given.filter(Boolean).length > 1) {
    throw new VestryError('USAGE', `more than one source of the ${asked.option} was given`, {
      hint: `Choose one of ${optionNames(asked)}`,
    })
  }
  if (source.file === '-' || (source.stdin === true && terminal.stdin.isTTY !== true)) {
    return collect(terminal.stdin, asked)
  }
  if (source.file !== undefined) return collect(createReadStream(source.file), asked, source.file)
  if (source.fd !== undefined) {
    return collect(
      createReadStream('', { fd: source.fd, autoClose: false }),
      asked,
      `fd ${source.fd}`,
    )
  }
  return ask(asked, terminal)
}

/** A passphrase file may also be named by the environment; its name only, never the passphrase. */
export function passphraseSource(source: SecretSource, env: NodeJS.ProcessEnv): SecretSource {
  if (source.stdin === true || source.file !== undefined || source.fd !== undefined) return source
  const file = env['VESTRY_PASSPHRASE_FILE'] ?? env['SANCTUM_PASSPHRASE_FILE']
  return file === undefined || file === '' ? source : { file }
}

export function hasSource(source: SecretSource): boolean {
  return source.stdin === true || source.file !== undefined || source.fd !== undefined
}

async function ask(asked: SecretQuestion, terminal: Terminal): Promise<GivenSecret> {
  if (terminal.stdin.isTTY !== true || terminal.stderr.isTTY !== true) {
    throw new VestryError(
      'USAGE',
      `the ${asked.option} is missing, and there is no terminal to ask`,
      {
        hint: `Give ${optionNames(asked)}`,
      },
    )
  }
  const secret = asked.isNew
    ? await promptNewSecret(asked.question, terminal)
    : await promptHidden(asked.question, terminal)
  if (secret.length > 0) return given(secret, false)
  throw new VestryError('USAGE', `the ${asked.option} is empty`, { hint: 'Nothing was changed' })
}

async function collect(
  stream: Readable,
  { maxBytes, raw, option }: SecretQuestion,
  name?: string,
): Promise<GivenSecret> {
  // Two bytes more than may be: a line end that is trimmed does not count.
  const buffer = unpooled(maxBytes + 3)
  let length = 0
  try {
    for await (const chunk of stream) {
      const bytes: Uint8Array = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      const room = buffer.length - length
      buffer.set(bytes.subarray(0, room), length)
      length += Math.min(bytes.length, room)
      bytes.fill(0)
      if (length === buffer.length) break
    }
    const end = raw === true ? length : endOfText(buffer, length)
    if (end > maxBytes) {
      throw new VestryError('INVALID_PARAMS', `the ${option} is larger than ${maxBytes} bytes`, {
        hint: 'Check that this is the right file or input',
      })
    }
    return given(Secret.copy(buffer.subarray(0, end)), end < length)
  } catch (error) {
    if (error instanceof VestryError) throw error
    throw unreadable(name ?? 'standard input', error)
  } finally {
    buffer.fill(0)
  }
}

function given(secret: Secret, trimmed: boolean): GivenSecret {
  return { secret, trimmed, [Symbol.dispose]: () => secret[Symbol.dispose]() }
}

/** Without one trailing LF or CR LF: editors and `echo` add it, keys do not have it. */
function endOfText(bytes: Uint8Array, length: number): number {
  if (length === 0 || bytes[length - 1] !== LINE_FEED) return length
  return length > 1 && bytes[length - 2] === CARRIAGE_RETURN ? length - 2 : length - 1
}

function optionNames({ option }: SecretQuestion): string {
  return `--${option}-stdin, --${option}-file or --${option}-fd`
}

function unreadable(name: string, cause: unknown): VestryError {
  const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
  return new VestryError('NOT_FOUND', `${name} cannot be read${reason}`, {
    hint: 'Check the path and its permissions',
    cause,
  })
}
