/**
 * A breaker for each provider and a bulkhead for each tool, made at the first call. A tool has one provider; one that
 * goes where its callers say has as many as there are hosts, or one agent's dead host would stop everybody else.
 */
import { Breaker, type BreakerOptions, type BreakerState } from './breaker.ts'
import { Bulkhead, type BulkheadOptions } from './bulkhead.ts'

/** Of one tool; beyond that, the host asked longest ago is forgotten, closed ones first. */
const MAX_HOSTS = 1_000
/** Longer than any call takes: its verdict comes that much later than it asked. */
const CALL_MS = 60_000

interface HostBreaker {
  readonly breaker: Breaker
  readonly askedAtMs: number
}

interface ToolGuards {
  readonly breaker: Breaker
  readonly bulkhead: Bulkhead
  /** In the order in which they were last asked. */
  readonly hosts: Map<string, HostBreaker>
}

export class Breakers {
  readonly #options: BreakerOptions & BulkheadOptions
  /** By name out of the catalogue, so they are few. */
  readonly #guards = new Map<string, ToolGuards>()

  constructor(options: BreakerOptions & BulkheadOptions) {
    this.#options = options
  }

  bulkhead(tool: string): Bulkhead {
    return this.#of(tool).bulkhead
  }

  /** @param host With its port, where callers choose it; undefined for a tool with one provider. */
  breaker(tool: string, host: string | undefined, nowMs: number): Breaker {
    const guards = this.#of(tool)
    if (host === undefined) return guards.breaker
    const { hosts } = guards
    const known = hosts.get(host)
    if (known === undefined && hosts.size >= MAX_HOSTS) hosts.delete(leastNeeded(hosts, nowMs))
    const breaker = known?.breaker ?? new Breaker(tool, this.#options, host)
    hosts.delete(host)
    hosts.set(host, { breaker, askedAtMs: nowMs })
    return breaker
  }

  /** Closed for a tool that was never called; the worst where it has several providers. */
  state(tool: string, nowMs: number): BreakerState {
    const guards = this.#guards.get(tool)
    if (guards === undefined) return 'closed'
    this.#forget(guards.hosts, nowMs)
    const breakers = [guards.breaker, ...[...guards.hosts.values()].map(({ breaker }) => breaker)]
    const states = new Set(breakers.map((breaker) => breaker.state(nowMs)))
    return states.has('open') ? 'open' : states.has('half_open') ? 'half_open' : 'closed'
  }

  /** Nobody asks for them any more, and no fault of theirs counts any more. */
  #forget(hosts: Map<string, HostBreaker>, nowMs: number): void {
    const { windowMs, openMs } = this.#options
    for (const [host, { askedAtMs }] of hosts) {
      if (nowMs - askedAtMs <= windowMs + openMs + CALL_MS) return
      hosts.delete(host)
    }
  }

  #of(tool: string): ToolGuards {
    const known = this.#guards.get(tool)
    if (known !== undefined) return known
    const guards = {
      breaker: new Breaker(tool, this.#options),
      bulkhead: new Bulkhead(tool, this.#options),
      hosts: new Map<string, HostBreaker>(),
    }
    this.#guards.set(tool, guards)
    return guards
  }
}

function leastNeeded(hosts: ReadonlyMap<string, HostBreaker>, nowMs: number): string {
  for (const [host, { breaker }] of hosts) if (breaker.state(nowMs) === 'closed') return host
  const [oldest = ''] = hosts.keys()
  return oldest
}
