/** A terminal for tests: what is typed comes from the test, what is shown is kept. */
import { PassThrough } from 'node:stream'
import type { InputStream, OutputStream, Terminal } from './terminal.ts'

export interface FakeTerminal extends Terminal {
  readonly stdin: PassThrough & InputStream
  /** Whether keys were read one by one at some time, and whether they still are. */
  readonly raw: { ever: boolean; now: boolean }
  out(): string
  err(): string
}

export function fakeTerminal(
  options: { isTTY?: boolean; env?: NodeJS.ProcessEnv; input?: string } = {},
): FakeTerminal {
  const { isTTY = false, env = {}, input } = options
  const raw = { ever: false, now: false }
  const stdin: PassThrough & InputStream = Object.assign(new PassThrough(), {
    isTTY,
    setRawMode: (on: boolean) => {
      raw.ever ||= on
      raw.now = on
    },
  })
  if (input !== undefined) stdin.end(input)
  const stdout = keeping(isTTY)
  const stderr = keeping(isTTY)
  return {
    stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    env,
    raw,
    out: stdout.text,
    err: stderr.text,
  }
}

function keeping(isTTY: boolean): { stream: OutputStream; text: () => string } {
  const chunks: Buffer[] = []
  const stream: OutputStream = Object.assign(new PassThrough(), { isTTY })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  return { stream, text: () => Buffer.concat(chunks).toString() }
}
