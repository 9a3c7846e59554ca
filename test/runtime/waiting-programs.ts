/** For tests: programs that ask somebody outside, who lets them wait, and a daemon that can be ended meanwhile. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import { stringify } from 'yaml'
import { temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { RuntimeNode } from './node.ts'

interface Seen {
  readonly path: string
  readonly body: string
}

/** Somebody outside, who answers all but the first request for a path that begins with `/slow`. */
async function startOutside() {
  const seen: Seen[] = []
  const open: ServerResponse[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const path = `${request.method} ${request.url}`
    const isFirst = !seen.some((one) => one.path === path)
    seen.push({ path, body })
    if (request.url?.startsWith('/slow') === true && isFirst) open.push(response)
    else response.end('ok')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const count = (path: string) => seen.filter((one) => one.path === path).length
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    count,
    asked: (path: string) => expect.poll(() => count(path), { timeout: 20_000 }).toBe(1),
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const SOURCES = (host: string) => ({
  steady: `agent steady { 
    hosts: ["${host}"]
    action go {
    let id = generate_id()
    http_request(input.url + "/a")
    http_request("POST", input.url + "/b", id)
    http_request(input.url + "/slow-get")
    log("info", "over it")
    return id
  } }`,
  risky: `agent risky { 
    hosts: ["${host}"]
    action go {
    try { http_request("POST", input.url + "/slow-post", "x") } catch (e) { log("warn", "caught") }
    http_request("POST", input.url + "/after", "x")
  } }`,
  timed: `agent timed { 
    hosts: ["${host}"]
    with timeout = 3s {
    http_request(input.url + "/slow-timed");
    http_request("POST", input.url + "/late", "x");
    http_request(input.url + "/slow-end");
  } }`,
})

export class WaitingPrograms implements AsyncDisposable {
  readonly outside: Awaited<ReturnType<typeof startOutside>>
  readonly #undo: AsyncDisposableStack
  readonly #dir: string
  #daemon!: DaemonProcess
  #node!: RuntimeNode

  private constructor(
    outside: Awaited<ReturnType<typeof startOutside>>,
    dir: string,
    undo: AsyncDisposableStack,
  ) {
    this.outside = outside
    this.#dir = dir
    this.#undo = undo
  }

  /** All of them are deployed. */
  static async start(): Promise<WaitingPrograms> {
    const undo = new AsyncDisposableStack()
    const home = undo.use(temporaryHome())
    const outside = await startOutside()
    undo.defer(outside.stop)
    const config = { egress: { allow_cidrs: ['127.0.0.1/32'] } }
    writeFileSync(home.config, stringify(config), { mode: 0o600 })
    const at = new WaitingPrograms(outside, home.dir, undo)
    await at.boot()
    for (const [name, source] of Object.entries(SOURCES(outside.url))) {
      const body = { dsl_content: source, agent_name: name }
      expect((await at.node.ask('POST', 'dsl/compile', { body })).json.errors).toEqual([])
      const made = await at.node.ask('POST', 'agents/deploy', { body: { agent_id: name } })
      expect(made.status, made.text).toBe(201)
    }
    return at
  }

  get daemon(): DaemonProcess {
    return this.#daemon
  }

  get node(): RuntimeNode {
    return this.#node
  }

  async boot(): Promise<void> {
    this.#daemon = this.#undo.use(await DaemonProcess.start(this.#dir))
    this.#node = new RuntimeNode(this.#daemon.ready)
  }

  async begin(agent: string): Promise<string> {
    const { json, text } = await this.#node.ask('POST', `agents/${agent}/execute`, {
      body: { input: { url: this.outside.url } },
    })
    expect(json.execution_id, text).toBeDefined()
    return json.execution_id
  }

  async ended(agent: string, id: string) {
    for (;;) {
      const path = `agents/${agent}/executions/${id}?wait_seconds=5`
      const { json } = await this.#node.ask('GET', path)
      if (json.status !== 'pending' && json.status !== 'running') return json
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#undo.disposeAsync()
  }
}
