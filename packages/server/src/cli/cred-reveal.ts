/** `vestry cred reveal`: one value, to a terminal or where it was asked for in so many words. */
import { isUtf8 } from 'node:buffer'
import type { CommandIo } from './command-io.ts'
import { notATerminal } from './key.ts'
import { safeLines } from './terminal-text.ts'

export async function revealCredential(
  io: CommandIo,
  path: string,
  { version, forceStdout }: { version?: number; forceStdout?: boolean },
): Promise<void> {
  if (!io.mayShowSecret(forceStdout)) throw notATerminal()
  const reply = await io.call('cred.reveal', { path, version })
  const bytes = Buffer.from(String(reply['value']), 'hex')
  const encoding = isUtf8(bytes) ? 'utf8' : 'hex'
  const value = bytes.toString(encoding)
  bytes.fill(0)
  const document = { path: reply['path'], version: reply['version'], encoding, value }
  // On a terminal its own controls must not run; elsewhere the value is wanted byte for byte.
  const shown = io.terminal.stdout.isTTY === true ? safeLines(value) : value
  io.print(document, shown)
  if (encoding === 'hex') io.note('The value is not text and is shown as hex.')
}
