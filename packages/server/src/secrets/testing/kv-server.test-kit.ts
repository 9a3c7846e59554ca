/**
 * A Vault for tests, written from its public HTTP API: KV version 2 with versions, metadata, check-and-set and
 * listings, four logins, tokens that end, are renewed and revoked, namespaces, sealing, and answers of an overloaded
 * server. It is no real one; it answers as one does to what a client of secrets asks.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { callerOf, type KnownKey, signedHeaders } from './sts-check.test-kit.ts'

export interface KvServerOptions {
  readonly tls?: { cert: string; key: string }
  readonly namespace?: string
  /** Mounts and their versions. */
  readonly mounts?: Record<string, 1 | 2>
  readonly leaseSeconds?: number
  readonly maxLeaseSeconds?: number
  readonly renewable?: boolean
  readonly awsServerId?: string
}

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly status: number
}

interface Token {
  endsAtMs: number
  readonly bornAtMs: number
  readonly renewable: boolean
  /** Paths it may not touch. */
  denied: RegExp | undefined
}

interface Version {
  readonly data: Record<string, unknown>
  readonly createdAtMs: number
  deletedAtMs: number | undefined
}

interface Key {
  readonly createdAtMs: number
  readonly versions: Map<number, Version>
  current: number
}

type Answer = readonly [
  status: number,
  body?: Record<string, unknown>,
  headers?: Record<string, string>,
]

const FOREVER = Number.POSITIVE_INFINITY
const STARTING_TOKEN = 'hvs.root-for-tests'

export class KvServer implements AsyncDisposable {
  readonly seen: SeenRequest[] = []
  readonly tokens = new Map<string, Token>()
  readonly roles = new Map<string, { secretIds: Set<string> }>()
  readonly serviceAccounts = new Map<string, { role: string }>()
  readonly awsKeys = new Map<string, KnownKey>()
  readonly awsRoles = new Map<string, { arn: string }>()
  /** Answers given instead of real ones, first come first served. */
  readonly faults: Answer[] = []
  sealed = false
  /** Connections are broken off without an answer. */
  down = false
  /** Requests wait for this. */
  stall: Promise<void> | undefined
  aheadMs = 0
  url = ''
  readonly #options: KvServerOptions
  readonly #keys = new Map<string, Key>()
  readonly #server: ReturnType<typeof createServer> | ReturnType<typeof createSecureServer>

  private constructor(options: KvServerOptions) {
    this.#options = options
    this.grant(STARTING_TOKEN, { seconds: 0, renewable: false })
    const listener = (request: IncomingMessage, reply: ServerResponse) =>
      void this.#serve(request, reply).catch(() => reply.destroy())
    this.#server =
      options.tls === undefined ? createServer(listener) : createSecureServer(options.tls, listener)
  }

  static async start(options: KvServerOptions = {}): Promise<KvServer> {
    const kv = new KvServer(options)
    await kv.listen()
    return kv
  }

  async listen(port = 0): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    const { port: given } = this.#server.address() as AddressInfo
    this.url = `${this.#options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${given}`
  }

  get rootToken(): string {
    return STARTING_TOKEN
  }

  now(): number {
    return Date.now() + this.aheadMs
  }

  /** @param seconds 0: it never ends. */
  grant(token: string, { seconds, renewable }: { seconds: number; renewable: boolean }): Token {
    const bornAtMs = this.now()
    const endsAtMs = seconds === 0 ? FOREVER : bornAtMs + seconds * 1_000
    const granted: Token = { endsAtMs, bornAtMs, renewable, denied: undefined }
    this.tokens.set(token, granted)
    return granted
  }

  /** Writes as another client would. */
  put(path: string, data: Record<string, unknown>, mount = 'secret'): void {
    this.#write(`${mount} ${path}`, data)
  }

  /** Paths of all keys that are there. */
  paths(): string[] {
    return [...this.#keys.keys()].map((key) => key.split(' ')[1] as string).sort()
  }

  paths403(pattern: RegExp): void {
    for (const token of this.tokens.values()) token.denied = pattern
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #serve(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString('utf8')
    const { method = '', url = '', headers } = request
    if (this.down) {
      request.socket.destroy()
      return
    }
    await this.stall
    const [status, json, more = {}] =
      this.faults.shift() ?? this.#answer(method, url, headers, body)
    this.seen.push({ method, path: url, headers, body, status })
    reply.writeHead(status, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      ...more,
    })
    reply.end(
      json === undefined
        ? undefined
        : `${JSON.stringify({ request_id: randomBytes(8).toString('hex'), ...json })}\n`,
    )
  }

  #answer(method: string, url: string, headers: IncomingMessage['headers'], text: string): Answer {
    if (this.sealed) return errors(503, 'Vault is sealed')
    const { pathname, searchParams } = new URL(url, 'http://vault')
    if (!pathname.startsWith('/v1/')) return errors(404)
    if ((headers['x-vault-namespace'] ?? '') !== (this.#options.namespace ?? ''))
      return errors(404, 'no handler for route. route entry not found.')
    const path = decodeURIComponent(pathname.slice('/v1/'.length))
    let body: Record<string, unknown> = {}
    if (text !== '') body = JSON.parse(text) as Record<string, unknown>
    const login = /^auth\/(approle|kubernetes|aws)\/login$/.exec(path)
    if (login !== null && method === 'POST') return this.#login(login[1] as string, body)
    const given = headers['x-vault-token']
    if (typeof given !== 'string' || given === '') return errors(400, 'missing client token')
    const token = this.tokens.get(given)
    if (token === undefined || token.endsAtMs <= this.now())
      return errors(403, 'permission denied', 'invalid token')
    if (path.startsWith('auth/token/')) return this.#tokenCall(path, given, token)
    if (token.denied?.test(path)) return errors(403, '1 error occurred:\n\t* permission denied\n\n')
    return this.#engine(
      method === 'LIST' || searchParams.get('list') === 'true' ? 'LIST' : method,
      path,
      searchParams,
      body,
    )
  }

  #login(kind: string, body: Record<string, unknown>): Answer {
    if (kind === 'approle') {
      const role = this.roles.get(String(body['role_id']))
      if (role?.secretIds.has(String(body['secret_id'])) !== true)
        return errors(400, 'invalid role or secret ID')
      return this.#granted()
    }
    if (kind === 'kubernetes') {
      const account = this.serviceAccounts.get(String(body['jwt']))
      if (account === undefined || account.role !== body['role'])
        return errors(403, 'permission denied')
      return this.#granted()
    }
    try {
      const decode = (name: string) => Buffer.from(String(body[name]), 'base64').toString('utf8')
      const headers = JSON.parse(decode('iam_request_headers')) as Record<string, string[]>
      const method = String(body['iam_http_request_method'])
      const signed = {
        method,
        url: decode('iam_request_url'),
        body: decode('iam_request_body'),
        headers,
      }
      const { awsServerId } = this.#options
      if (awsServerId !== undefined) {
        const found = Object.entries(headers).find(([name]) =>
          /^x-vault-aws-iam-server-id$/i.test(name),
        )
        if (
          found?.[1][0] !== awsServerId ||
          !signedHeaders(headers).includes('x-vault-aws-iam-server-id')
        )
          return errors(400, 'error validating X-Vault-AWS-IAM-Server-ID header')
      }
      const arn = callerOf(signed, this.awsKeys, this.now())
      if (this.awsRoles.get(String(body['role']))?.arn !== arn)
        return errors(400, `IAM Principal "${arn}" does not belong to the role`)
      return this.#granted()
    } catch (error) {
      return errors(400, `error making upstream request: ${(error as Error).message}`)
    }
  }

  #granted(): Answer {
    const { leaseSeconds = 3_600, renewable = true } = this.#options
    const token = `hvs.${randomBytes(18).toString('base64url')}`
    this.grant(token, { seconds: leaseSeconds, renewable })
    return [
      200,
      {
        auth: {
          client_token: token,
          accessor: randomBytes(9).toString('base64url'),
          policies: ['default'],
          lease_duration: leaseSeconds,
          renewable,
        },
      },
    ]
  }

  #tokenCall(path: string, given: string, token: Token): Answer {
    switch (path) {
      case 'auth/token/lookup-self': {
        const ttl =
          token.endsAtMs === FOREVER ? 0 : Math.round((token.endsAtMs - this.now()) / 1_000)
        return [200, { data: { id: given, ttl, renewable: token.renewable, policies: ['root'] } }]
      }
      case 'auth/token/renew-self': {
        if (!token.renewable) return errors(400, 'lease is not renewable')
        const { leaseSeconds = 3_600, maxLeaseSeconds = FOREVER } = this.#options
        const limit = token.bornAtMs + maxLeaseSeconds * 1_000
        token.endsAtMs = Math.min(this.now() + leaseSeconds * 1_000, limit)
        const seconds = Math.max(0, Math.round((token.endsAtMs - this.now()) / 1_000))
        return [200, { auth: { client_token: given, lease_duration: seconds, renewable: true } }]
      }
      case 'auth/token/revoke-self':
        this.tokens.delete(given)
        return [204]
      default:
        return errors(404, 'unsupported path')
    }
  }

  #engine(
    method: string,
    path: string,
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): Answer {
    const mounts = this.#options.mounts ?? { secret: 2 }
    const [, asked] = /^sys\/internal\/ui\/mounts\/(.+)$/.exec(path) ?? []
    if (asked !== undefined) {
      const version = mounts[asked]
      if (version === undefined) return errors(403, 'preflight capability check returned 403')
      return [
        200,
        { data: { path: `${asked}/`, type: 'kv', options: { version: String(version) } } },
      ]
    }
    const mount = Object.keys(mounts).find((name) => path.startsWith(`${name}/`))
    if (mount === undefined)
      return errors(404, `no handler for route "${path}". route entry not found.`)
    const [kind = '', ...rest] = path.slice(mount.length + 1).split('/')
    const key = `${mount} ${rest.join('/')}`
    if (method === 'LIST' && kind === 'metadata') return this.#list(key)
    if (kind === 'data' && method === 'GET')
      return this.#read(key, Number(query.get('version') ?? 0))
    if (kind === 'data' && method === 'POST') return this.#store(key, body)
    if (kind === 'metadata' && method === 'GET') return this.#metadata(key)
    if (kind === 'metadata' && method === 'DELETE') {
      this.#keys.delete(key)
      return [204]
    }
    return errors(405, 'unsupported operation')
  }

  #store(key: string, body: Record<string, unknown>): Answer {
    const { data, options } = body as { data?: Record<string, unknown>; options?: { cas?: number } }
    if (data === undefined) return errors(400, 'no data provided')
    const cas = options?.cas
    if (cas !== undefined && cas !== (this.#keys.get(key)?.current ?? 0))
      return errors(400, 'check-and-set parameter did not match the current version')
    return [200, { data: this.#write(key, data) }]
  }

  #write(key: string, data: Record<string, unknown>): Record<string, unknown> {
    const createdAtMs = this.now()
    const entry = this.#keys.get(key) ?? { createdAtMs, versions: new Map(), current: 0 }
    entry.current += 1
    entry.versions.set(entry.current, { data, createdAtMs, deletedAtMs: undefined })
    this.#keys.set(key, entry)
    return facts(entry.current, entry.versions.get(entry.current) as Version)
  }

  /** As `vault kv delete` does it: the version stays, without its data. */
  softDelete(path: string, mount = 'secret'): void {
    const entry = this.#keys.get(`${mount} ${path}`)
    const version = entry?.versions.get(entry.current)
    if (version !== undefined) version.deletedAtMs = this.now()
  }

  #read(key: string, wanted: number): Answer {
    const entry = this.#keys.get(key)
    const number = wanted === 0 ? (entry?.current ?? 0) : wanted
    const version = entry?.versions.get(number)
    if (version === undefined) return errors(404)
    const metadata = facts(number, version)
    if (version.deletedAtMs !== undefined) return [404, { data: { data: null, metadata } }]
    return [200, { data: { data: version.data, metadata } }]
  }

  #metadata(key: string): Answer {
    const entry = this.#keys.get(key)
    if (entry === undefined) return errors(404)
    const versions = Object.fromEntries(
      [...entry.versions].map(([number, version]) => [number, facts(number, version)]),
    )
    return [
      200,
      {
        data: {
          created_time: time(entry.createdAtMs),
          current_version: entry.current,
          oldest_version: 1,
          max_versions: 0,
          cas_required: false,
          versions,
        },
      },
    ]
  }

  #list(folder: string): Answer {
    const prefix = folder.endsWith(' ') ? folder : `${folder.replace(/\/$/, '')}/`
    const keys = new Set<string>()
    for (const key of this.#keys.keys()) {
      if (!key.startsWith(prefix)) continue
      const [first = '', ...rest] = key.slice(prefix.length).split('/')
      keys.add(rest.length === 0 ? first : `${first}/`)
    }
    return keys.size === 0 ? errors(404) : [200, { data: { keys: [...keys].sort() } }]
  }
}

function facts(version: number, { createdAtMs, deletedAtMs }: Version): Record<string, unknown> {
  return {
    created_time: time(createdAtMs),
    custom_metadata: null,
    deletion_time: deletedAtMs === undefined ? '' : time(deletedAtMs),
    destroyed: false,
    version,
  }
}

/** With the nanoseconds it has. */
function time(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '123456Z')
}

function errors(status: number, ...messages: string[]): Answer {
  return [status, { errors: messages }]
}
