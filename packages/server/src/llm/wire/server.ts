/** The gateway's own Unix socket: the same wire, and the answers to what is no HTTP request at all. */
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import fastify, { type FastifyInstance } from 'fastify'
import { endRefused } from '../../http/drain.ts'
import { listenOnSocket } from '../../http/listen-on-socket.ts'
import { NO_SCHEMAS } from '../../http/no-schemas.ts'
import type { Llm } from '../llm.ts'
import { errorText, type WireError, wireError } from './error-body.ts'
import { handle, type Listening } from './handler.ts'
import { llmRoutes } from './plugin.ts'

/** Two tokens of 32 KiB and the rest of a head. */
const MAX_HEADER_BYTES = 66_000
/** Beyond these, connections are closed unanswered. */
const SPARE_CONNECTIONS = 512
const SWEEP_MS = 1_000
const SLACK_MS = 60_000

export interface LlmServer {
  listen(path: string, mode: number): Promise<void>
  /** No new connections; those under way get `budgetMs`. */
  close(budgetMs: number): Promise<void>
}

export function createLlmServer(llm: Llm): LlmServer {
  const { settings } = llm
  let open = 0
  const listening: Listening = { listener: 'unix', roomFor: () => open <= settings.connections }
  const app: FastifyInstance = fastify({
    schemaController: NO_SCHEMAS,
    routerOptions: { maxParamLength: 512 },
    serverFactory: (handler) => {
      const server = createServer(
        {
          maxHeaderSize: MAX_HEADER_BYTES,
          headersTimeout: settings.header_timeout_ms,
          requestTimeout: settings.header_timeout_ms + settings.body_timeout_ms,
          connectionsCheckingInterval: SWEEP_MS,
          // What the published client sends there is always the same, and means nothing.
          requireHostHeader: false,
          noDelay: true,
          keepAliveTimeout: 1_000,
        },
        handler,
      )
      // An interim answer would be taken for the final one.
      server.on('checkContinue', handler)
      server.on('checkExpectation', handler)
      // A client that takes nothing of its answer holds its connection no longer than any call may last.
      server.timeout = SLACK_MS + Math.max(settings.native_timeout_ms, settings.stream_timeout_ms)
      server.maxConnections = settings.connections + SPARE_CONNECTIONS
      server.on('connection', (socket: Socket) => {
        open += 1
        socket.once('close', () => {
          open -= 1
        })
      })
      server.on('clientError', answerNonsense)
      return server
    },
    // A path that cannot be decoded is as unknown as any other.
    frameworkErrors: (_error, request, reply) => {
      reply.hijack()
      void handle(llm, request.raw, reply.raw, listening)
      return reply
    },
  })
  llmRoutes(app, llm, listening)
  return {
    listen: async (path, mode) => {
      await app.ready()
      await listenOnSocket(app.server, path, mode)
    },
    close: async (budgetMs) => {
      const late = setTimeout(() => app.server.closeAllConnections(), budgetMs)
      // The framework closes only what it made listen.
      await new Promise<void>((resolve) => {
        app.server.close(() => resolve())
        app.server.closeIdleConnections()
      })
      clearTimeout(late)
      await app.close()
    },
  }
}

/** The platform's parser has given up on what this connection sends. */
function answerNonsense(error: Error & { code?: string }, socket: Socket): void {
  endRefused(socket, () => {
    const told = nonsense(error)
    const requestId = newRequestId()
    const body = errorText(told, 'openai', requestId)
    return (
      `HTTP/1.1 ${told.status} ${REASONS[told.status] ?? 'Bad Request'}\r\n` +
      'Content-Type: application/json\r\nCache-Control: no-store\r\n' +
      `X-Request-Id: ${requestId}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`
    )
  })
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}

function nonsense({ code }: { code?: string }): WireError {
  if (code === 'HPE_HEADER_OVERFLOW') return wireError(new VestryError('HEADERS_TOO_LARGE'))
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return wireError(new VestryError('DEADLINE_EXCEEDED', 'The request did not arrive in time'))
  return wireError(new VestryError('BAD_REQUEST', 'The request is not well-formed HTTP'))
}
