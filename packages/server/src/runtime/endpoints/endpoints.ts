/** All HTTP endpoints: kept, looked up for a request, and served by their agents. */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Changed } from '../../identity/row-guard.ts'
import type { Buckets } from '../../limits/bucket.ts'
import type { AgentInvoker, ExecutionEnd } from '../http-input/agent-invoker.ts'
import {
  bySpecificity,
  changedEndpoint,
  type Endpoint,
  type EndpointStatus,
  pathParams,
  readEndpoint,
} from './endpoint.ts'
import { EndpointStats } from './endpoint-stats.ts'
import { type EndpointStore, unknownEndpoint } from './endpoint-store.ts'

export interface EndpointsDeps {
  readonly store: EndpointStore
  readonly agents: AgentInvoker
  readonly buckets: Buckets
  /** Epoch ms. */
  readonly now: () => number
}

/** One request of an endpoint. */
export interface EndpointRequest {
  readonly query: Readonly<Record<string, string>>
  readonly body: unknown
  readonly requestId: string
  readonly traceparent: string | undefined
  readonly remoteAddress: string
  /** A browser sent it for a page that nobody listed. */
  readonly isForeignPage: boolean
}

export interface Found {
  readonly endpoint: Endpoint
  readonly params: Readonly<Record<string, string>>
}

interface Pattern {
  readonly endpoint: Endpoint
  readonly parts: readonly string[]
}

/** Adds facts to the record of a change. */
type Note = (facts: Record<string, unknown>) => void

/** The API itself answers within 25 s. */
const MAX_WAIT_MS = 23_000
const TICK_MS = 1_000
const MAX_ENDPOINTS = 4_096
const NOBODY: Note = () => undefined

export class Endpoints {
  readonly #deps: EndpointsDeps
  /** Oldest first. */
  #endpoints: readonly Endpoint[] = []
  /** By method, what is written out first. */
  #patterns: ReadonlyMap<string, readonly Pattern[]> = new Map()
  readonly #stats = new Map<string, EndpointStats>()
  readonly #activeSince = new Map<string, number>()
  #ticking: NodeJS.Timeout | undefined
  #keeping: Promise<void> = Promise.resolve()
  #loading: Promise<void> = Promise.resolve()
  #closed = true

  constructor(deps: EndpointsDeps) {
    this.#deps = deps
  }

  async open(): Promise<void> {
    this.#closed = false
    await this.load()
    clearInterval(this.#ticking)
    if (!this.#closed) this.#ticking = setInterval(() => void this.#keepCounters(), TICK_MS).unref()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#ticking)
    await this.#loading.catch(() => undefined)
    await this.#keepCounters()
    this.#show([])
    this.#stats.clear()
    this.#activeSince.clear()
  }

  /** Also after a change, here or on another node. One at a time: the last to end is the last that read. */
  load(): Promise<void> {
    const mine = this.#loading.catch(() => undefined).then(() => this.#load())
    this.#loading = mine
    return mine
  }

  async #load(): Promise<void> {
    if (this.#closed) return
    const endpoints = await this.#deps.store.list()
    const gone = new Set(this.#stats.keys())
    for (const { id, status } of endpoints) {
      gone.delete(id)
      if (!this.#stats.has(id))
        this.#stats.set(id, new EndpointStats(await this.#deps.store.counters(id)))
      if (status !== 'active') this.#activeSince.delete(id)
      else if (!this.#activeSince.has(id)) this.#activeSince.set(id, this.#deps.now())
    }
    for (const id of gone) {
      this.#stats.delete(id)
      this.#activeSince.delete(id)
    }
    this.#show(endpoints)
  }

  #show(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints
    const patterns = endpoints
      .toSorted(bySpecificity)
      .map((endpoint) => ({ endpoint, parts: endpoint.path.split('/') }))
    this.#patterns = Map.groupBy(patterns, ({ endpoint }) => endpoint.method)
  }

  /** @returns undefined where no endpoint of the method has the path. */
  find(method: string, path: string): Found | undefined {
    const given = path.split('/')
    for (const { endpoint, parts } of this.#patterns.get(method) ?? []) {
      const params = pathParams(parts, given)
      if (params !== undefined) return { endpoint, params }
    }
    return undefined
  }

  /** Whether who asks must show a key. An endpoint that does not exist is not told of without one. */
  needsKey(method: string, path: string): boolean {
    return this.find(method, path)?.endpoint.config.auth_required ?? true
  }

  /** @throws VestryError ENDPOINT_NOT_FOUND, ACCESS_DENIED, NOT_READY, RATE_LIMITED, TIMEOUT, and what the start of the agent throws. */
  async serve(
    method: string,
    path: string,
    request: EndpointRequest,
    agentName?: string,
  ): Promise<{ status: number; body: Readonly<Record<string, unknown>> | readonly unknown[] }> {
    const found = this.find(method, path)
    if (
      found === undefined ||
      found.endpoint.status === 'inactive' ||
      (agentName !== undefined && found.endpoint.config.agent_id !== agentName)
    )
      throw new VestryError('ENDPOINT_NOT_FOUND', `There is no endpoint ${method} ${path}`)
    const { endpoint, params } = found
    // Any page in a browser on this machine reaches loopback, and needs no leave to send text.
    if (request.isForeignPage && !endpoint.config.auth_required)
      throw new VestryError('ACCESS_DENIED', 'Pages of this origin may not ask')
    if (endpoint.status !== 'active')
      throw new VestryError('NOT_READY', `The endpoint is in ${endpoint.status}`)
    this.#assertRate(endpoint)
    const startedMs = performance.now()
    let ok = false
    try {
      const made = await this.#invoke(endpoint, params, request)
      ok = made.status < 400
      return made
    } finally {
      // None where it was removed meanwhile.
      this.#stats.get(endpoint.id)?.answered({
        ok,
        ms: performance.now() - startedMs,
        nowMs: this.#deps.now(),
      })
    }
  }

  list(agentName?: string): Record<string, unknown>[] {
    return this.#endpoints
      .filter(({ config }) => agentName === undefined || config.agent_id === agentName)
      .map((endpoint) => this.#view(endpoint))
  }

  info(id: string, agentName?: string): Record<string, unknown> {
    return this.#view(this.#byId(id, agentName))
  }

  metrics(id: string, agentName?: string) {
    return this.#metrics(this.#byId(id, agentName))
  }

  /** @throws VestryError INVALID_PARAMS, UNSUPPORTED_VALUE, AGENT_NOT_FOUND, ALREADY_EXISTS */
  async create(given: unknown, by: string, note: Note = NOBODY): Promise<Record<string, unknown>> {
    const { now } = this.#deps
    const read = readEndpoint(given)
    if (this.#endpoints.length >= MAX_ENDPOINTS)
      throw new VestryError('CONFLICT', `There are ${MAX_ENDPOINTS} endpoints already`)
    await this.#assertAgent(read.config.agent_id)
    const endpoint: Endpoint = {
      ...read,
      id: newTimeOrderedId('ep', now()),
      status: 'active',
      createdBy: by,
      createdAt: now(),
      updatedAt: now(),
    }
    return this.#changed(this.#deps.store.add(endpoint), 'created', note)
  }

  /** @throws VestryError ENDPOINT_NOT_FOUND, and as {@link create} */
  async update(id: string, given: unknown, note: Note = NOBODY): Promise<Record<string, unknown>> {
    const changed = changedEndpoint(this.#byId(id), given)
    await this.#assertAgent(changed.config.agent_id)
    return this.#changed(
      this.#deps.store.change(id, (now) => changedEndpoint(now, given)),
      'updated',
      note,
    )
  }

  /** @throws VestryError ENDPOINT_NOT_FOUND */
  setStatus(
    id: string,
    status: EndpointStatus,
    note: Note = NOBODY,
  ): Promise<Record<string, unknown>> {
    return this.#changed(
      this.#deps.store.change(id, (now) => ({ ...now, status })),
      status,
      note,
    )
  }

  /** @throws VestryError ENDPOINT_NOT_FOUND */
  async remove(id: string, note: Note = NOBODY): Promise<Record<string, unknown>> {
    const { generation } = await this.#deps.store.remove(id)
    note({ generation })
    await this.load()
    return { endpoint_id: id, status: 'deleted' }
  }

  async #changed(
    change: Promise<Changed<Endpoint>>,
    status: string,
    note: Note,
  ): Promise<Record<string, unknown>> {
    const { value: endpoint, generation } = await change
    note({ generation })
    await this.load()
    return {
      endpoint_id: endpoint.id,
      status,
      message: null,
      endpoint_info: this.#view(endpoint),
      created_at: new Date(endpoint.createdAt).toISOString(),
    }
  }

  #byId(id: string, agentName?: string): Endpoint {
    const endpoint = this.#endpoints.find((one) => one.id === id)
    if (
      endpoint === undefined ||
      (agentName !== undefined && endpoint.config.agent_id !== agentName)
    )
      throw unknownEndpoint(id)
    return endpoint
  }

  async #assertAgent(name: string): Promise<void> {
    if (!(await this.#deps.agents.exists(name)))
      throw new VestryError('AGENT_NOT_FOUND', `Agent ${name} does not exist`)
  }

  #assertRate({ id, config }: Endpoint): void {
    if (config.rate_limit === null) return
    const waitMs = this.#deps.buckets.take({
      kind: 'bucket',
      key: `endpoint:${id}:${config.rate_limit}`,
      scope: 'endpoint',
      perSecond: config.rate_limit / 60,
      burst: config.rate_limit,
    })
    if (waitMs > 0)
      throw new VestryError('RATE_LIMITED', 'Too many requests of this endpoint', {
        context: { retry_after_ms: waitMs },
      })
  }

  async #invoke(
    { id, method, path, config }: Endpoint,
    params: Readonly<Record<string, string>>,
    request: EndpointRequest,
  ) {
    const { agents, now } = this.#deps
    const started = await agents.start({
      agentName: config.agent_id,
      input: {
        method,
        path,
        params,
        query: request.query,
        body: request.body,
        received_at: new Date(now()).toISOString(),
        request_id: request.requestId,
      },
      trigger: `endpoint:${id}`,
      requestId: request.requestId,
      traceparent: request.traceparent,
      remoteAddress: request.remoteAddress,
    })
    const end = await inTime(started.ended, Math.min(config.timeout_seconds * 1_000, MAX_WAIT_MS))
    if (end.status === 'failed') {
      const body = {
        error: 'The agent failed',
        code: end.error.code,
        details: null,
        request_id: request.requestId,
      }
      return { status: 500, body }
    }
    const { output } = end
    const isWhole = typeof output === 'object' && output !== null
    const body = isWhole
      ? (output as Record<string, unknown> | unknown[])
      : { output: output ?? null }
    return { status: 200, body }
  }

  #metrics({ id }: Endpoint) {
    const nowMs = this.#deps.now()
    const stats = this.#stats.get(id) ?? new EndpointStats()
    return stats.view(id, { nowMs, activeSinceMs: this.#activeSince.get(id) })
  }

  #view(endpoint: Endpoint): Record<string, unknown> {
    const { id, path, method, config, status, createdBy, createdAt, updatedAt } = endpoint
    return {
      endpoint_id: id,
      path: `/${path}`,
      method,
      status,
      ...config,
      created_at: new Date(createdAt).toISOString(),
      updated_at: new Date(updatedAt).toISOString(),
      created_by: createdBy,
      metrics: this.#metrics(endpoint),
    }
  }

  #keepCounters(): Promise<void> {
    this.#keeping = this.#keeping.then(async () => {
      for (const [id, stats] of this.#stats) {
        const since = stats.take()
        if (since === undefined) continue
        try {
          stats.kept(await this.#deps.store.keepCounters(id, since))
        } catch {
          stats.notKept() // the next tick tries again
        }
      }
    })
    return this.#keeping
  }
}

/** @throws VestryError TIMEOUT; the work goes on. */
async function inTime(work: Promise<ExecutionEnd>, ms: number): Promise<ExecutionEnd> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new VestryError('TIMEOUT', 'The agent took too long')), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
