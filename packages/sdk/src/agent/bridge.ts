/**
 * The bridge for tools that bring their own LLM client: they speak to a loopback port without a key,
 * and what they say reaches the gateway's socket with the run's tokens.
 */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { type Environment, needed, socketPath, variable } from '../sage/environment.ts'
import { ConfigurationError } from '../sage/errors.ts'
import { getLogger, type Logger } from '../sage/log.ts'
import { JWTSource } from '../sage/spiffe.ts'
import { TransactionTokenClient } from '../sage/trat.ts'

export interface BridgeOptions {
  /** What the tool must present as its key; a fresh random one with `'random'`. Default: anything. */
  key?: string | undefined
  /** Largest request body. Default 20 MiB. */
  maxBodyBytes?: number | undefined
  logger?: Logger | undefined
}

export interface Bridge {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** For the tool: where it speaks to, and what it says it is. */
  readonly env: Readonly<Record<'ANTHROPIC_BASE_URL' | 'ANTHROPIC_API_KEY', string>>
  close(): Promise<void>
}

const DEFAULT_LISTEN = '127.0.0.1:8082'
const PLACEHOLDER_KEY = 'gateway-injected'
const DEFAULT_MAX_BODY_BYTES = 20 * 1024 * 1024
const MAX_HEADER_BYTES = 64 * 1024
/** The longest silence of the gateway that is waited for. */
const IDLE_MS = 600_000
const CLOSE_MS = 2000

/** The tool's own credentials, and what belongs to one connection only. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'authorization',
  'txn-token',
  'x-api-key',
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'content-length',
])

interface Settings {
  readonly gatewaySocket: string
  readonly maxBodyBytes: number
  readonly key: string | undefined
  readonly tokens: () => Promise<{ spiffeJwt: string; trat: string }>
  readonly logger: Logger
  readonly http: typeof import('node:http')
}

/**
 * Starts the bridge at `SAGE_BRIDGE_LISTEN` (default `127.0.0.1:8082`; port 0 takes a free one). Reads
 * `SPIFFE_JWT_PATH`, `TRAT_FILE` or `AUTH_SIDECAR_SOCKET`, and `LLM_GATEWAY_SOCKET`.
 *
 * @throws ConfigurationError for a missing variable or a listener that is not loopback.
 */
export async function startBridge(
  env: Environment = process.env,
  options: BridgeOptions = {},
): Promise<Bridge> {
  const { host, port } = listenerOf(variable(env, 'SAGE_BRIDGE_LISTEN') ?? DEFAULT_LISTEN)
  const http = await import('node:http')
  const key = options.key === 'random' ? globalThis.crypto.randomUUID() : options.key
  const settings: Settings = {
    gatewaySocket: socketPath(needed(env, 'LLM_GATEWAY_SOCKET')),
    maxBodyBytes: options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES,
    key,
    tokens: tokenReader(env),
    logger: options.logger ?? getLogger('sage_sanctum.bridge'),
    http,
  }
  const server = http.createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    handle(settings, request, response).catch((error: unknown) => {
      settings.logger.error('bridge_error', { error })
      refuse(response, 502, 'api_error', 'The gateway could not be reached')
    })
  })
  server.on('upgrade', (_request, socket) => socket.destroy())
  const url = `http://${host}:${await listening(server, host, port)}`
  settings.logger.info('bridge_listening', { url })
  return {
    url,
    env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key ?? PLACEHOLDER_KEY },
    close: () => closed(server),
  }
}

/** @throws ConfigurationError for anything but `127.0.0.1:port`. */
function listenerOf(text: string): { host: string; port: number } {
  const [, host, digits] = /^(.+):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (host === undefined || port > 65_535) {
    throw new ConfigurationError(`SAGE_BRIDGE_LISTEN is "${text}": use 127.0.0.1:<port>`)
  }
  if (host !== '127.0.0.1' && host !== 'localhost') {
    throw new ConfigurationError(
      `SAGE_BRIDGE_LISTEN is "${text}": the bridge listens on 127.0.0.1 only`,
    )
  }
  return { host: '127.0.0.1', port }
}

/** Reads the files anew at every call. */
function tokenReader(env: Environment): Settings['tokens'] {
  const jwtPath = needed(env, 'SPIFFE_JWT_PATH')
  const file = variable(env, 'TRAT_FILE')
  const sidecarSocket = variable(env, 'AUTH_SIDECAR_SOCKET')
  if (file === undefined && sidecarSocket === undefined) {
    throw new ConfigurationError('Neither TRAT_FILE nor AUTH_SIDECAR_SOCKET is set')
  }
  return async () => {
    const source = new JWTSource(jwtPath)
    const tokens = new TransactionTokenClient({ file, sidecarSocket, refreshMarginSeconds: 0 })
    const spiffeJwt = await source.getToken()
    return { spiffeJwt, trat: (await tokens.getToken()).raw }
  }
}

async function handle(
  settings: Settings,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const refusal = refusalOf(settings, request)
  const body = await readBody(request, settings.maxBodyBytes)
  if (refusal !== undefined) {
    refuse(response, ...refusal)
    return
  }
  if (body === undefined) {
    refuse(response, 413, 'request_too_large', 'The request body is too large')
    return
  }
  const tokens = await settings.tokens().catch((error: unknown) => {
    settings.logger.error('bridge_tokens_unusable', { error })
    return undefined
  })
  if (tokens === undefined) {
    refuse(response, 503, 'api_error', "The run's credentials cannot be read")
    return
  }
  await forward(settings, { request, body, tokens, response })
}

/** A browser that was led here names its origin, or a host that is not ours. */
function refusalOf(
  { key }: Settings,
  request: IncomingMessage,
): [status: number, type: string, message: string] | undefined {
  const { origin, host = '' } = request.headers
  if (origin !== undefined) return [403, 'permission_error', 'Requests with an Origin are refused']
  if (!/^(?:127\.0\.0\.1|localhost)(?::\d{1,5})?$/i.test(host)) {
    return [403, 'permission_error', 'The Host is not this loopback listener']
  }
  if (key !== undefined && !presents(request, key)) {
    return [401, 'authentication_error', 'The key of this bridge was not presented']
  }
  return undefined
}

function presents({ headers }: IncomingMessage, key: string): boolean {
  const given = [headers['x-api-key'], headers.authorization?.replace(/^Bearer /i, '')]
  const wanted = Buffer.from(key)
  return given.some((one) => {
    const bytes = Buffer.from(typeof one === 'string' ? one : '')
    return bytes.length === wanted.length && timingSafeEqual(bytes, wanted)
  })
}

/** Undefined when it is too large; it is read to its end all the same, so that the answer arrives. */
async function readBody(request: IncomingMessage, max: number): Promise<Buffer | undefined> {
  const parts: Buffer[] = []
  let total = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    total += part.length
    if (total <= max) parts.push(part)
    else if (total > max * 4) throw new Error('The request body has no end')
  }
  return total <= max ? Buffer.concat(parts) : undefined
}

interface Forwarding {
  readonly request: IncomingMessage
  readonly body: Buffer
  readonly tokens: { spiffeJwt: string; trat: string }
  readonly response: ServerResponse
}

function forward(
  settings: Settings,
  { request, body, tokens, response }: Forwarding,
): Promise<void> {
  return new Promise((resolve) => {
    const outgoing = settings.http.request({
      socketPath: settings.gatewaySocket,
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      headers: {
        Host: 'gateway.local',
        ...forwarded(request.headers),
        Authorization: `Bearer ${tokens.spiffeJwt}`,
        'Txn-Token': tokens.trat,
        'Content-Length': body.length,
        Connection: 'close',
      },
      agent: false,
      timeout: IDLE_MS,
    })
    const failed = (error: Error): void => {
      settings.logger.warning('bridge_gateway_unreachable', { error: error.message })
      // Once a part was sent on, only breaking off says that the rest is missing.
      if (response.headersSent) response.destroy()
      else refuse(response, 502, 'api_error', 'The gateway could not be reached')
      resolve()
    }
    outgoing.once('error', failed)
    outgoing.once('upgrade', (_incoming, socket) => {
      socket.destroy()
      failed(new Error('the gateway changed the protocol'))
    })
    outgoing.once('timeout', () => outgoing.destroy(new Error('the gateway fell silent')))
    outgoing.once('response', (incoming) => {
      incoming.once('error', failed)
      response.writeHead(incoming.statusCode ?? 502, forwarded(incoming.headers, true))
      response.flushHeaders()
      incoming.pipe(response)
      response.once('close', resolve)
    })
    // The tool went away: the gateway is to stop the provider's call.
    response.once('close', () => outgoing.destroy())
    outgoing.end(body)
  })
}

function forwarded(
  headers: IncomingMessage['headers'],
  isAnswer: boolean = false,
): Record<string, string | string[]> {
  const named = new Set(
    (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()),
  )
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => {
      const isKept = isAnswer && name === 'content-length'
      const isDropped = !isKept && (NOT_FORWARDED.has(name) || named.has(name))
      return value === undefined || isDropped ? [] : [[name, value]]
    }),
  )
}

/** In the shape an Anthropic client reads. */
function refuse(response: ServerResponse, status: number, type: string, message: string): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const text = JSON.stringify({ type: 'error', error: { type, message } })
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    Connection: 'close',
  })
  response.end(text)
}

function listening(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new ConfigurationError(`The bridge cannot listen on ${host}:${port}`, { cause })),
    )
    server.listen(port, host, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}
