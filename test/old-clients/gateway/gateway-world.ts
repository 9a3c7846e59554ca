/** A real daemon, agents registered over its HTTP port, and stand-in clients that talk with it. */
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Home } from '../../../packages/server/src/app/home.ts'
import {
  type BootOptions,
  boot,
  operator,
  putCredential,
  temporaryHome,
} from '../../harness/boot.ts'
import type { RawClient } from '../../harness/raw-client.ts'
import { noPython } from '../client-process.ts'
import { type Providers, startProviders } from './fake-providers.ts'
import {
  type ClientProcess,
  type GatewayClient,
  jsClient,
  type PyOptions,
  pyClient,
  startJavaScript,
  startPython,
} from './gateway-process.ts'

export type Language = GatewayClient['language']

/** Those that run here. */
export const LANGUAGES: readonly Language[] = noPython === undefined ? ['PY', 'JS'] : ['JS']

export interface WorldOptions {
  /** The `gateway` section. */
  readonly gateway?: object
  /** Tools call local providers instead of being answered by their mocks. */
  readonly live?: boolean
  /** Tools that get no credential, in live mode. */
  readonly unconfigured?: readonly string[]
  /** Without `--dev`: a passphrase, and every default as in production. */
  readonly production?: boolean
}

export interface ConnectOptions
  extends Pick<PyOptions, 'defaultIntent' | 'timeoutMs' | 'jsonStyle' | 'microsecond'> {
  /** A process of its own, which may die. */
  readonly own?: boolean
  /** Environment of an own Python process. */
  readonly env?: NodeJS.ProcessEnv
  /** Which Node runs an own JavaScript process. */
  readonly node?: string
}

export interface Connection {
  readonly client: GatewayClient
  readonly process: ClientProcess
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came back
  readonly json: any
  readonly text: string
}

export interface GatewayWorld extends AsyncDisposable {
  readonly url: string
  readonly home: Home
  readonly admin: RawClient
  /** In live mode. */
  readonly providers: Providers
  /**
   * @param more Other fields; without `public_key` the gateway makes an RSA pair, which takes its time.
   * @returns the agent's id.
   */
  createAgent(role: string, more?: object): Promise<string>
  /** A policy of one agent's own. */
  allow(agentId: string, spec: object): Promise<void>
  connect(language: Language, agentId: string, options?: ConnectOptions): Promise<Connection>
  /** Any request, as no client would send it; a body that is no text is sent as JSON. */
  http(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<HttpAnswer>
  /** The same with the admin key; fails on anything but success. */
  asAdmin(method: string, path: string, body?: unknown): Promise<HttpAnswer>
  seal(): Promise<void>
  /** Settles once everything is drained. */
  stop(): Promise<void>
}

const PASSPHRASE = 'a passphrase of several words'

export async function startGatewayWorld(options: WorldOptions = {}): Promise<GatewayWorld> {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  const providers = undo.use(await startProviders())
  const daemon = undo.use(await boot(home, bootOptions(options, providers)))
  const admin = await operator(home)
  undo.defer(() => admin.destroy())
  undo.use(providers) // again: before the daemon, which would wait for calls that hang
  if (options.live === true) {
    for (const tool of CREDENTIALED) {
      if (options.unconfigured?.includes(tool) === true) continue
      await putCredential(admin, `tools/${tool}`, credentialOf(tool))
    }
  }
  const url = daemon.ready.http
  const adminKey = readFileSync(daemon.ready.admin_key_file, 'utf8').trim()
  const shared = new Map<Language, ClientProcess>()
  const processes = undo.adopt(new Set<ClientProcess>(), async (all) => {
    await Promise.all([...all].map((process) => process[Symbol.asyncDispose]()))
  })
  const start = (language: Language, { own, env, node }: ConnectOptions): ClientProcess => {
    const known = own === true ? undefined : shared.get(language)
    if (known !== undefined) return known
    const process = language === 'PY' ? startPython(env) : startJavaScript(node)
    processes.add(process)
    if (own !== true) shared.set(language, process)
    return process
  }
  const http: GatewayWorld['http'] = (method, path, body, headers) =>
    request(url + path, method, body, headers)
  const asAdmin: GatewayWorld['asAdmin'] = async (method, path, body) => {
    const answer = await http(method, path, body, { authorization: `Bearer ${adminKey}` })
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    return answer
  }
  let agents = 0
  const all = undo.move()
  return {
    url,
    home,
    admin,
    providers,
    http,
    asAdmin,
    async createAgent(role, more = { public_key: newPublicKey() }) {
      agents += 1
      const body = { name: `agent ${agents}`, created_by: 'tests', role, ...more }
      const { json } = await asAdmin('POST', '/api/create-agent', body)
      return json.agent_id
    },
    async allow(agentId, spec) {
      await asAdmin('POST', '/api/policies', { name: `of ${agentId}`, agentId, spec })
    },
    async connect(language, agentId, connect = {}) {
      const process = start(language, connect)
      const { defaultIntent, timeoutMs, jsonStyle, microsecond } = connect
      const wanted = {
        baseUrl: url,
        agentId,
        ...(defaultIntent !== undefined && { defaultIntent }),
        ...(timeoutMs !== undefined && { timeoutMs }),
        ...(jsonStyle !== undefined && { jsonStyle }),
        ...(microsecond !== undefined && { microsecond }),
      }
      const make = language === 'PY' ? pyClient : jsClient
      return { process, client: await make(process, wanted) }
    },
    seal: () => daemon.seal('operator'),
    stop: () => daemon.stop(),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

function newPublicKey(): string {
  const { publicKey } = generateKeyPairSync('ed25519')
  return publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

const CREDENTIALED = ['serpapi', 'openai', 'gmail_send'] as const

/** What the providers must be called with, and nobody else may see. */
export const credentialOf = (tool: string): string => `${tool}-key-0123456789`

function bootOptions(
  { gateway, live, production }: WorldOptions,
  providers: Providers,
): BootOptions {
  const tools = {
    serpapi: { base_url: providers.baseUrl('serpapi') },
    openai: { base_url: providers.baseUrl('openai') },
    gmail_send: { base_url: providers.baseUrl('gmail_send') },
  }
  return {
    ...(production === true ? { passphrase: PASSPHRASE, dev: false } : { dev: true }),
    config: {
      gateway: {
        ...(live === true && { mode: 'live', tools, http_fetch_allowed_domains: [providers.host] }),
        ...gateway,
      },
      egress: { allow_cidrs: ['127.0.0.1/32'] },
    },
  }
}

async function request(
  url: string,
  method: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<HttpAnswer> {
  const sent = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    headers: { ...(sent !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(sent !== undefined && { body: sent }),
  })
  const text = await response.text()
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {} // for the test to find
  return { status: response.status, headers: response.headers, json, text }
}
