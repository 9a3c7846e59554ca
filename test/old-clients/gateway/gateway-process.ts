/** One stand-in client of the gateway as a process of its own, driven by one JSON line for each call. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const here = import.meta.dirname

/** One attempt of one call, as the client saw it. */
export interface Attempt {
  readonly method: string
  readonly path: string
  readonly correlation_id: string
  /** Milliseconds after the call began. */
  readonly at_ms: number
  readonly status?: number
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>
  /** What stood in the way of an answer. */
  readonly failed?: string
}

/** The exception a caller of the client would have caught. */
export interface Raised {
  readonly class: string
  readonly bases: readonly string[]
  /** False for what the client did not mean to raise. */
  readonly gateway: boolean
  readonly message: string
  readonly status: number | null
  readonly code: string | null
  readonly retry_after: number | null
}

export interface Outcome {
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever a call returned
  readonly ok?: any
  readonly raised?: Raised
  readonly attempts: readonly Attempt[]
  readonly notices: readonly string[]
  readonly ms: number
}

export interface ClientOptions {
  readonly baseUrl: string
  readonly agentId: string
  readonly defaultIntent?: string
  readonly timeoutMs?: number
}

/** What only the Python stand-in knows: how its HTTP library writes JSON, and a clock without a fraction. */
export interface PyOptions extends ClientOptions {
  readonly jsonStyle?: 'compact' | 'spaced'
  readonly microsecond?: number
}

export interface TokenWish {
  readonly tools: readonly unknown[]
  readonly permissions: readonly unknown[]
  readonly minutes: number
}

/** Calls as both clients have them, in one spelling. */
export interface GatewayClient {
  readonly language: 'PY' | 'JS'
  getToken(wish: TokenWish): Promise<Outcome>
  proxy(
    tool: string,
    action: string,
    params: object,
    token?: string,
    proof?: object,
  ): Promise<Outcome>
  /** With the job's id as `ok`. */
  proxyAsync(tool: string, action: string, params: object, token?: string): Promise<Outcome>
  getJob(id: string): Promise<Outcome>
  setIntent(intent: string): Promise<Outcome>
  /** Any other call by its own name. */
  call(name: string, ...args: unknown[]): Promise<Outcome>
}

export class ClientProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (line: Outcome | Error) => void>()
  readonly #end: Promise<{ code: number | null; stderr: string }>
  #lastId = 0

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const child = spawn(command, args, {
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child = child
    let stderr = ''
    child.stdin.on('error', () => undefined)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { id, ...outcome } = JSON.parse(line) as Outcome & { id: number }
      this.#waiting.get(id)?.(outcome)
      this.#waiting.delete(id)
    })
    this.#end = new Promise((resolve) => {
      child.on('close', (code) => {
        for (const settle of this.#waiting.values())
          settle(new Error(`the client ended with ${code}\n${stderr}`))
        this.#waiting.clear()
        resolve({ code, stderr })
      })
    })
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** @throws Error when the process ends before it answers. */
  send(command: {
    on?: string
    call: string
    args?: unknown[]
    kwargs?: object
  }): Promise<Outcome> {
    this.#lastId += 1
    const id = this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (line) => (line instanceof Error ? reject(line) : resolve(line)))
      this.#child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`)
    })
  }

  /** Waits for the process to end of itself. */
  ended(): Promise<{ code: number | null; stderr: string }> {
    return this.#end
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#end
  }
}

export const startPython = (env: NodeJS.ProcessEnv = {}): ClientProcess =>
  new ClientProcess('python3', [join(here, 'py-gateway.py')], env)

export const startJavaScript = (node: string = process.execPath): ClientProcess =>
  new ClientProcess(node, [join(here, 'js-gateway.mjs')])

let names = 0

export async function pyClient(
  python: ClientProcess,
  { baseUrl, agentId, defaultIntent, timeoutMs, jsonStyle, microsecond }: PyOptions,
): Promise<GatewayClient> {
  names += 1
  const on = `client${names}`
  const call = (name: string, ...args: unknown[]) => python.send({ on, call: name, args })
  const made = await python.send({
    on,
    call: 'new',
    kwargs: {
      base_url: baseUrl,
      agent_id: agentId,
      agent_private_key_pem: KEY,
      ...(defaultIntent !== undefined && { default_intent: defaultIntent }),
      ...(timeoutMs !== undefined && { timeout_ms: timeoutMs }),
      ...(jsonStyle !== undefined && { json_style: jsonStyle }),
      ...(microsecond !== undefined && { microsecond }),
    },
  })
  if (made.raised !== undefined) throw new Error(made.raised.message)
  return {
    language: 'PY',
    call,
    getToken: ({ tools, permissions, minutes }) =>
      call('get_token', { tools, permissions, ttl_minutes: minutes }),
    proxy: (tool, action, params, token, proof) =>
      call('proxy', tool, action, params, token ?? null, proof ?? null),
    proxyAsync: async (tool, action, params, token) => {
      const { ok, ...rest } = await call('proxy_async', tool, action, params, token ?? null)
      return { ...rest, ...(ok !== undefined && { ok: ok.job_id }) }
    },
    getJob: (id) => call('get_job', id),
    setIntent: (intent) => call('set_intent', intent),
  }
}

export async function jsClient(
  javaScript: ClientProcess,
  options: ClientOptions,
): Promise<GatewayClient> {
  names += 1
  const on = `client${names}`
  const call = (name: string, ...args: unknown[]) => javaScript.send({ on, call: name, args })
  await javaScript.send({ on, call: 'new', kwargs: { ...options, agentPrivateKeyPem: KEY } })
  return {
    language: 'JS',
    call,
    getToken: ({ tools, permissions, minutes }) =>
      call('getToken', { tools, permissions, ttlMinutes: minutes }),
    // An undefined argument would become null in JSON, and null is an override.
    proxy: (tool, action, params, token, proof) =>
      proof === undefined
        ? call('proxy', tool, action, params, ...(token === undefined ? [] : [token]))
        : call('proxy', tool, action, params, token ?? null, proof),
    proxyAsync: async (tool, action, params, token) => {
      const { ok, ...rest } = await call(
        'proxyAsync',
        tool,
        action,
        params,
        ...(token === undefined ? [] : [token]),
      )
      return { ...rest, ...(ok !== undefined && { ok: ok.jobId }) }
    },
    getJob: (id) => call('getJob', id),
    setIntent: (intent) => call('setIntent', intent),
  }
}

/** Neither client ever reads its key. */
const KEY = '-----BEGIN PRIVATE KEY-----\nnever read\n-----END PRIVATE KEY-----\n'
