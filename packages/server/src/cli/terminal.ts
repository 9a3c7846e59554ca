/** The streams and the environment of one run of the command line; tests bring their own. */
import type { Readable, Writable } from 'node:stream'

export type InputStream = Readable & {
  isTTY?: boolean | undefined
  setRawMode?: ((raw: boolean) => unknown) | undefined
}
export type OutputStream = Writable & {
  isTTY?: boolean | undefined
  columns?: number | undefined
  rows?: number | undefined
}

export interface Terminal {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: NodeJS.ProcessEnv
}
