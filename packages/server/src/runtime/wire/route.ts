/** What a route of the runtime API is; the wire in this folder does all that is the same for each of them. */
import type { Caller } from '../../identity/caller.ts'

export interface RuntimeRequest {
  readonly caller: Caller
  /** Administrators see everything. A scoped key sees this agent's objects only; others are absent to it: 404. */
  readonly scope: { readonly agentName: string; readonly agentId: string } | undefined
  readonly requestId: string
  readonly nowMs: number
  /** Of the path, decoded once. */
  readonly params: Readonly<Record<string, string>>
  /** Of the query; a name that came twice has its last value. */
  readonly query: Readonly<Record<string, string>>
  readonly queryAll: (name: string) => readonly string[]
  readonly header: (name: string) => string | undefined
  /** The body as it came; empty if there was none. */
  readonly raw: Buffer
  /**
   * The body as a JSON object.
   * @throws VestryError INVALID_JSON
   */
  readonly json: () => Record<string, unknown>
  readonly remoteAddress: string
  /** Ends when the client has gone or the time for the answer (25 s) is over. */
  readonly signal: AbortSignal
}

export interface RuntimeReply {
  /** Default 200. Never 204: every answer has a JSON body. */
  readonly status?: number
  readonly body: Readonly<Record<string, unknown>> | readonly unknown[]
  readonly headers?: Readonly<Record<string, string>>
  /** Instead of the body, which is then left out: events, until it resolves. */
  readonly stream?: (events: EventSink) => Promise<void>
}

/** Server-sent events on their way to one client. */
export interface EventSink {
  /** The client has left, does not read, may not look any more, or the daemon stops. */
  readonly signal: AbortSignal
  /** Resolves when there is room for the next. @throws the signal's reason */
  send(event: {
    readonly id: string
    readonly event: string
    readonly data: unknown
  }): Promise<void>
}

export type RuntimeMethod = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH' | 'HEAD' | 'OPTIONS'

export interface RuntimeRoute {
  readonly method: RuntimeMethod
  /** Below `/api/v1/`, such as `tool-review/sessions/:id`; `*` at its end takes the rest as `params['*']`. */
  readonly path: string
  /** `public` needs no key, `key` any; `admin` one of an owner or admin (403 ADMIN_REQUIRED), `approve` also an approver's. */
  readonly access: 'public' | 'key' | 'admin' | 'approve'
  /** Whether a request needs no key after all, by what `*` stands for in its path. */
  readonly isPublic?: (rest: string) => boolean
  /** A GET that takes away what it shows: for those who may change things, and never by HEAD. */
  readonly takes?: boolean
  /** Bytes; default 4 MiB. */
  readonly maxBodyBytes?: number
  /** Answered while the vault is sealed. */
  readonly whileSealed?: boolean
  readonly handle: (request: RuntimeRequest) => Promise<RuntimeReply> | RuntimeReply
}
