/** What a listener speaks: the border between carrying requests and knowing what they mean. */
import type { Connection } from './connection.ts'
import type { Reply } from './reply.ts'
import type { Request } from './request.ts'

/** One request in execution. */
export interface Running {
  readonly request: Request
  readonly requestId: string
  /** Fires when the caller was answered without waiting any longer: at the deadline, or gone. */
  readonly signal: AbortSignal
}

/** `State` is the protocol's own, one per connection. */
export interface Protocol<State> {
  /** Members of `params` whose values must never become strings. */
  readonly secretMembers?: ReadonlySet<string>
  readonly docsBaseUrl?: string | undefined
  /** Told of failures nobody named; the peer only learns that there was one. */
  readonly onInternalError?: (requestId: string, error: unknown) => void
  open(connection: Connection<State>): State
  /** Whether the connection ever logged in: from then on it is closed only with good reason. */
  authenticated(state: State): boolean
  /** Barriers run alone: nothing later is looked at before they are answered. */
  isBarrier(method: string): boolean
  /** A stream without an end of its own: it ends when either side closes. */
  isEndless?(request: Request): boolean
  /** How many ms the request may take from its start; after that the caller is answered TIMEOUT. */
  deadlineMs(request: Request): number
  /**
   * Its synchronous part counts as the dispatch of the request.
   * @param emit Sends one more frame with the same id; only streaming admin methods use it.
   */
  handle(state: State, running: Running, emit: (reply: Reply) => Promise<void>): Promise<Reply>
  closed(state: State): void
}
