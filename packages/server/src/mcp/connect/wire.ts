/** What carries messages to one MCP server and back: pipes of a process, or HTTP. */
import type { VestryError } from '@vestry/contract/errors'

export interface Outgoing {
  /** JSON on one line. */
  readonly text: string
  /** Of a request that wants an answer. */
  readonly request: string | number | undefined
  readonly method: string | undefined
  /** The request that this message gives up. */
  readonly cancelled: string | number | undefined
}

export interface Wire {
  readonly pid: number | undefined
  /** Called with each message, or array of messages; false: it was none. Set before {@link open}. */
  onMessage: (bytes: Uint8Array) => boolean
  /** Called once when it ended, whoever ended it. Set before {@link open}. */
  onEnd: () => void
  /** Why it ended, unless it was closed. */
  readonly failure: VestryError | undefined
  open(): Promise<void>
  /** The revision both sides speak. */
  negotiated(version: string): void
  /** The request has its answer. */
  answered(id: string | number): void
  /** Resolves when the message is on its way. */
  send(message: Outgoing): Promise<void>
  /** Ends it at once, because of what the server did. */
  fail(reason: VestryError): void
  /** Ends it in good order, within bounds. */
  close(): Promise<void>
  /** Whoever closes it has no more time. */
  hurry(): void
}
