/** A daemon as its HTTP clients see it: registering agents, taking tokens, calling tools, following jobs. */
import { generateKeyPairSync } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import type { Home } from '../../packages/server/src/app/home.ts'
import type { Ready } from '../../packages/server/src/app/ready.ts'
import { type BootOptions, boot, operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import type { Providers } from '../old-clients/gateway/fake-providers.ts'

export const ALL_TOOLS = ['serpapi:*', 'http_fetch:*', 'openai:*', 'gmail_send:*']
export const LETTER = { to: 'a@example.org', subject: 'Hi', body: 'Hello' }
export const PASSPHRASE = 'a passphrase of several words'

export interface HttpAnswer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came back
  readonly json: any
}

export interface Wish {
  readonly tools?: readonly string[]
  readonly permissions?: readonly string[]
  readonly minutes?: number
}

/** `tool:action` */
type Called = `${string}:${string}`
type Fields = Readonly<Record<string, unknown>>
type HeaderFields = Readonly<Record<string, string>>

/** One daemon, in this process or in its own. */
export class GatewayNode implements AsyncDisposable {
  readonly url: string
  readonly #adminKey: string
  readonly #stop: () => Promise<void>

  constructor({ http, admin_key_file }: Ready, stop: () => Promise<void>) {
    this.url = http
    this.#adminKey = readFileSync(admin_key_file, 'utf8').trim()
    this.#stop = stop
  }

  /** @param body Sent as JSON unless it is text. */
  async http(
    method: string,
    path: string,
    body?: unknown,
    headers: HeaderFields = {},
    signal?: AbortSignal,
  ): Promise<HttpAnswer> {
    const sent = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const response = await fetch(this.url + path, {
      method,
      redirect: 'manual',
      headers: { ...(sent !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(sent !== undefined && { body: sent }),
      ...(signal !== undefined && { signal }),
    })
    const text = await response.text()
    const json: unknown = text === '' ? undefined : JSON.parse(text)
    return { status: response.status, headers: response.headers, json }
  }

  /** With the admin key; fails on anything but success. */
  async asAdmin(method: string, path: string, body?: unknown): Promise<HttpAnswer['json']> {
    const answer = await this.http(method, path, body, {
      authorization: `Bearer ${this.#adminKey}`,
    })
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.json)}`)
    return answer.json
  }

  /** @returns its id. */
  async createAgent(role = 'none', more: object = { public_key: newPublicKey() }): Promise<string> {
    const body = { name: `an ${role}`, created_by: 'tests', role, ...more }
    return (await this.asAdmin('POST', '/api/create-agent', body)).agent_id
  }

  /** A policy of one agent's own. */
  allow(agentId: string, spec: object = { scopes: ALL_TOOLS }): Promise<{ id: string }> {
    return this.asAdmin('POST', '/api/policies', { name: 'own', agentId, spec })
  }

  mint(agentId: string, wish: Wish = {}, headers: HeaderFields = {}): Promise<HttpAnswer> {
    const { tools = ['*'], permissions = ['read', 'write'], minutes = 10 } = wish
    const expires_at = new Date(Date.now() + minutes * 60_000).toISOString()
    const body = { agent_id: agentId, tools, permissions, expires_at }
    return this.http('POST', '/api/generate-token', body, headers)
  }

  async token(agentId: string, wish: Wish = {}, headers: HeaderFields = {}): Promise<string> {
    const { status, json } = await this.mint(agentId, wish, headers)
    if (status !== 201) throw new Error(`no token: ${status} ${JSON.stringify(json)}`)
    return json.agent_token
  }

  /** An agent that may do what `spec` says, and its token. */
  async caller(spec?: object): Promise<{ id: string; token: string }> {
    const id = await this.createAgent()
    await this.allow(id, spec)
    return { id, token: await this.token(id) }
  }

  call(
    token: string,
    called: Called,
    params: object,
    fields: Fields = {},
    headers: HeaderFields = {},
    signal?: AbortSignal,
  ): Promise<HttpAnswer> {
    const [tool, action] = called.split(':')
    const body = { agent_token: token, tool, action, params, ...fields }
    return this.http('POST', '/api/proxy-request', body, headers, signal)
  }

  job(id: string): Promise<HttpAnswer> {
    return this.http('GET', `/api/jobs/${id}`)
  }

  /** Polls until it has ended. @returns every answer, the last one final. */
  async follow(id: string, withinMs = 10_000): Promise<HttpAnswer['json'][]> {
    const seen: HttpAnswer['json'][] = []
    const until = performance.now() + withinMs
    for (;;) {
      const { status, json } = await this.job(id)
      if (status !== 200) throw new Error(`job: ${status} ${JSON.stringify(json)}`)
      seen.push(json)
      if (json.status === 'done' || json.status === 'failed') return seen
      if (performance.now() > until) throw new Error(`job is still ${json.status}`)
      await sleep(15)
    }
  }

  async ended(id: string, withinMs?: number): Promise<HttpAnswer['json']> {
    return (await this.follow(id, withinMs)).at(-1)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stop()
  }
}

export interface NodeOptions extends Pick<BootOptions, 'storeUrl' | 'warn'> {
  /** The `gateway` section. */
  readonly gateway?: object
  /** Tools call these; without them every tool is answered by its mock. */
  readonly providers?: Pick<Providers, 'host' | 'baseUrl'>
  /** Without `--dev`: a passphrase, and every default as in production. */
  readonly production?: boolean
}

/** A daemon in this process. Stopped, its home can be started again. */
export async function startNode(home: Home, options: NodeOptions = {}): Promise<GatewayNode> {
  const { storeUrl, warn, production, providers } = options
  const daemon = await boot(home, {
    ...(production === true ? { passphrase: PASSPHRASE, dev: false } : { dev: true }),
    config: configOf(options),
    ...(storeUrl !== undefined && { storeUrl }),
    ...(warn !== undefined && { warn }),
  })
  if (providers !== undefined) await putCredentials(home)
  return new GatewayNode(daemon.ready, () => daemon.stop())
}

/** One in a process of its own, which `kill` ends at once. */
export async function startProcess(
  home: Home,
  options: Omit<NodeOptions, 'warn'>,
): Promise<GatewayNode & { kill(): Promise<void> }> {
  const { storeUrl, production, providers } = options
  const store = storeUrl === undefined ? {} : { store: { url: storeUrl } }
  writeFileSync(home.config, stringify({ ...configOf(options), ...store }), { mode: 0o600 })
  const passphraseFile = join(home.dir, 'passphrase')
  if (production === true) writeFileSync(passphraseFile, PASSPHRASE, { mode: 0o600 })
  const daemon = await DaemonProcess.start(
    home.dir,
    production === true ? { passphraseFile } : undefined,
  )
  if (providers !== undefined) await putCredentials(home)
  const node = new GatewayNode(daemon.ready, () => daemon.stop())
  return Object.assign(node, { kill: () => daemon.kill() })
}

/** A second home for the database of a first: nodes share the vault, each has its own log and sockets. */
export function siblingHome(first: Home): Home & Disposable {
  const home = temporaryHome()
  mkdirSync(home.keys, { mode: 0o700 })
  cpSync(first.operatorKey, home.operatorKey)
  cpSync(first.adminKey, home.adminKey)
  return home
}

export function newPublicKey(): string {
  const { publicKey } = generateKeyPairSync('ed25519')
  return publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

const CREDENTIALED = ['serpapi', 'openai', 'gmail_send'] as const

function configOf({ gateway, providers }: NodeOptions): object {
  const tools =
    providers === undefined
      ? {}
      : Object.fromEntries(
          CREDENTIALED.map((tool) => [tool, { base_url: providers.baseUrl(tool) }]),
        )
  const own = gateway as { tools?: object } | undefined
  return {
    gateway: {
      mode: providers === undefined ? 'mock' : 'live',
      cache_enabled: false,
      ...(providers !== undefined && { http_fetch_allowed_domains: [providers.host] }),
      ...own,
      tools: { ...tools, ...own?.tools },
    },
    egress: { allow_cidrs: ['127.0.0.1/32'] },
  }
}

async function putCredentials(home: Home): Promise<void> {
  const admin = await operator(home)
  try {
    const { credentials } = await admin.call('admin.cred.list', {})
    const known = new Set(credentials.map(({ path }: { path: string }) => path))
    for (const tool of CREDENTIALED) {
      if (!known.has(`tools/${tool}`))
        await putCredential(admin, `tools/${tool}`, `${tool}-key-0123456789`)
    }
  } finally {
    admin.destroy()
  }
}
