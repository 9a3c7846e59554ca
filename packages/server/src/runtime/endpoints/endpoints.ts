/** All HTTP endpoints: kept, looked up for a request, and served by their agents. */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
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
import type { EndpointStore } from './endpoint-store.ts'

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
}

export interface Found {
  readonly endpoint: Endpoint
  readonly params: Readonly<Record<string, string>>
}

/** The API itself answers within 25 s. */
const MAX_WAIT_MS = 23_000
const TICK_MS = 1_000
const MAX_ENDPOINTS = 4_096

export class Endpoints {
  readonly #deps: EndpointsDeps
  #endpoints: readonly Endpoint[] = []
  readonly #stats = new Map<string, EndpointStats>()
  readonly #activeSince = new Map<string, number>()
  #ticking: NodeJS.Timeout | undefined

  constructor(deps: EndpointsDeps) {
    this.#deps = deps
  }

  async open(): Promise<void> {
    await this.load()
    this.#ticking = setInterval(() => void this.#keepCounters(), TICK_MS).unref()
  }

  async close(): Promise<void> {
    clearInterval(this.#ticking)
    await this.#keepCounters()
    this.#endpoints = []
    this.#stats.clear()
    this.#activeSince.clear()
  }

  /** Also after a change, here or on another node. */
  async load(): Promise<void> {
    const endpoints = await this.#deps.store.list()
    for (const { id, status } of endpoints) {
      if (!this.#stats.has(id))
        this.#stats.set(id, new EndpointStats(await this.#deps.store.counters(id)))
      if (status !== 'active') this.#activeSince.delete(id)
      else if (!this.#activeSince.has(id)) this.#activeSince.set(id, this.#deps.now())
    }
    this.#endpoints = endpoints
  }

  /** @returns undefined where no endpoint of any method has the path. */
  find(method: string, path: string): Found | undefined {
    const fitting = this.#endpoints
      .filter((endpoint) => endpoint.method === method)
      .flatMap((endpoint) => {
        const params = pathParams(endpoint.path, path)
        return params === undefined ? [] : [{ endpoint, params }]
      })
      .sort((one, other) => bySpecificity(one.endpoint, other.endpoint))
    return fitting[0]
  }

  /** Whether who asks must show a key. An endpoint that does not exist is not told of without one. */
  needsKey(method: string, path: string): boolean {
    return this.find(method, path)?.endpoint.config.auth_required ?? true
  }

  /** @throws VestryError ENDPOINT_NOT_FOUND, NOT_READY, RATE_LIMITED, TIMEOUT, and what the start of the agent throws. */
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
      this.#statsOf(endpoint.id).answered({
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
  async create(given: unknown, by: string): Promise<Record<string, unknown>> {
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
    return this.#put(endpoint, 'created')
  }

  async update(id: string, given: unknown): Promise<Record<string, unknown>> {
    const changed = changedEndpoint(this.#byId(id), given)
    await this.#assertAgent(changed.config.agent_id)
    return this.#put({ ...changed, updatedAt: this.#deps.now() }, 'updated')
  }

  setStatus(id: string, status: EndpointStatus): Promise<Record<string, unknown>> {
    const endpoint = { ...this.#byId(id), status, updatedAt: this.#deps.now() }
    return this.#put(endpoint, status)
  }

  async remove(id: string): Promise<Record<string, unknown>> {
    this.#byId(id)
    await this.#deps.store.remove(id)
    this.#stats.delete(id)
    this.#activeSince.delete(id)
    await this.load()
    return { endpoint_id: id, status: 'deleted' }
  }

  async #put(endpoint: Endpoint, status: string): Promise<Record<string, unknown>> {
    await this.#deps.store.put(endpoint)
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
      throw new VestryError('ENDPOINT_NOT_FOUND', `Endpoint ${id.slice(0, 64)} does not exist`)
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
    const body = isWhole ? (output as Record<string, unknown> | unknown[]) : { output }
    return { status: 200, body }
  }

  #statsOf(id: string): EndpointStats {
    let stats = this.#stats.get(id)
    if (stats === undefined) {
      stats = new EndpointStats()
      this.#stats.set(id, stats)
    }
    return stats
  }

  #metrics({ id }: Endpoint) {
    const nowMs = this.#deps.now()
    return this.#statsOf(id).view(id, { nowMs, activeSinceMs: this.#activeSince.get(id) })
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

  async #keepCounters(): Promise<void> {
    for (const [id, stats] of this.#stats) {
      if (!stats.dirty) continue
      stats.dirty = false
      await this.#deps.store.keepCounters(id, stats.counters()).catch(() => {
        stats.dirty = true // the next tick tries again
      })
    }
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
