/** All HTTP inputs of this daemon: made, changed, started, stopped, started again after a restart, and asked in process. */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId, newTimeOrderedId } from '@vestry/contract/ids'
import type { HeldBody } from '../../llm/wire/request-body.ts'
import { Input, type InputDeps, type Prepared, STOP_BUDGET_MS } from './input.ts'
import { agentsOf, type InputConfig, readInputConfig } from './input-config.ts'
import { InputStats } from './input-stats.ts'
import { type InputStore, type StoredInput, unknownInput } from './input-store.ts'

export interface InputsDeps extends InputDeps {
  readonly store: InputStore
  /** Between looks at ports that were taken, and counters that are to be kept. */
  readonly tickMs?: number
}

type View = Record<string, unknown>
/** Adds facts to the record of a change. */
type Note = (facts: Record<string, unknown>) => void

const TICK_MS = 1_000
const MAX_INPUTS = 256
const NOBODY: Note = () => undefined

export class HttpInputs {
  readonly #deps: InputsDeps
  readonly #inputs = new Map<string, Input>()
  #ticking: NodeJS.Timeout | undefined
  #ticks: Promise<void> | undefined
  #following = false
  #closed = false
  /** One change at a time. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(deps: InputsDeps) {
    this.#deps = deps
  }

  /** The vault is open: those that were running run again. One that cannot says so, and is tried again. */
  async open(): Promise<void> {
    this.#closed = false
    await this.#alone(() => this.#follow())
    clearInterval(this.#ticking)
    if (this.#closed) return
    this.#ticking = setInterval(() => {
      this.#ticks ??= this.#tick().finally(() => {
        this.#ticks = undefined
      })
    }, this.#deps.tickMs ?? TICK_MS).unref()
  }

  /** Sealed: nothing listens, nothing stays in memory. */
  async close(budgetMs: number = STOP_BUDGET_MS): Promise<void> {
    this.#closed = true
    clearInterval(this.#ticking)
    // At once; and again after a change that was under way.
    const halted = this.#haltAll(budgetMs)
    await this.#last
    await Promise.all([halted, this.#haltAll(budgetMs)])
    await this.#ticks
    await this.#keepCounters()
    if (this.#closed) this.#inputs.clear()
  }

  /** What was changed, here or on another node. */
  async onChange(tables: readonly string[]): Promise<void> {
    if (this.#closed || this.#following || !tables.includes('http_input')) return
    this.#following = true
    await this.#alone(() => {
      this.#following = false
      return this.#follow()
    })
  }

  /** Oldest first. @param agentName Only those that this agent answers. */
  list(agentName?: string): View[] {
    return [...this.#inputs.values()]
      .filter(({ config }) => agentName === undefined || agentsOf(config).includes(agentName))
      .map((input) => input.view())
  }

  /** @throws VestryError HTTP_INPUT_NOT_FOUND */
  info(id: string, agentName?: string): View {
    return this.#find(id, agentName).view()
  }

  /** @throws VestryError HTTP_INPUT_NOT_FOUND */
  metrics(id: string, agentName?: string): View {
    return this.#find(id, agentName).metrics()
  }

  /** @throws VestryError INVALID_PARAMS, AGENT_NOT_FOUND, PORT_IN_USE */
  create(given: unknown, note: Note = NOBODY): Promise<View> {
    return this.#change(async () => {
      const config = readInputConfig(given)
      if (this.#inputs.size >= MAX_INPUTS)
        throw new VestryError('CONFLICT', `There are ${MAX_INPUTS} HTTP inputs already`)
      await this.#assertAgents(config)
      const createdAt = this.#deps.now()
      const id = newTimeOrderedId('his', createdAt)
      const fresh = { id, config, enabled: true, createdAt }
      const input = new Input({ ...fresh, version: 1 }, new InputStats(), this.#deps)
      await input.start()
      try {
        const { generation } = await this.#deps.store.add(fresh)
        note({ input: id, generation })
      } catch (error) {
        await input.halt(0)
        throw error
      }
      this.#inputs.set(id, input)
      return input.view()
    })
  }

  /** All of it, or nothing. */
  update(id: string, given: unknown, note: Note = NOBODY): Promise<View> {
    return this.#change(async () => {
      const input = this.#find(id)
      const config = readInputConfig(given, input.config)
      await this.#assertAgents(config)
      const prepared = await input.prepare(input.settingOf(config))
      await this.#store(input, { config }, prepared, note)
      // What kept it from listening may be what was changed.
      if (input.enabled && !input.listens) await input.tryStart()
      return input.view()
    })
  }

  start(id: string, note: Note = NOBODY): Promise<View> {
    return this.#change(async () => {
      const input = this.#find(id)
      const listened = input.listens
      await input.start()
      const undo = async () => (listened ? undefined : input.halt(0))
      await this.#store(input, { enabled: true }, { commit: () => undefined, undo }, note)
      return { server_id: id, status: 'running' }
    })
  }

  stop(id: string, note: Note = NOBODY): Promise<View> {
    return this.#change(async () => {
      const input = this.#find(id)
      const nothing = { commit: () => undefined, undo: async () => undefined }
      await this.#store(input, { enabled: false }, nothing, note)
      await input.halt(STOP_BUDGET_MS)
      return { server_id: id, status: 'stopped' }
    })
  }

  remove(id: string, note: Note = NOBODY): Promise<View> {
    return this.#change(async () => {
      const input = this.#find(id)
      const { generation } = await this.#deps.store.remove(id)
      note({ generation })
      this.#inputs.delete(id)
      await input.halt(STOP_BUDGET_MS)
      return { server_id: id, status: 'deleted' }
    })
  }

  /** The same way as a request over the network, but for the network. */
  async trigger(
    id: string,
    { payload, headers = {} }: { payload: unknown; headers?: Readonly<Record<string, string>> },
    requestId: string = newRequestId(),
  ): Promise<View> {
    const input = this.#find(id)
    const startedMs = performance.now()
    const bytes = Buffer.from(JSON.stringify(payload))
    const lower = new Map(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    )
    // What is sent here is JSON, whatever header comes with it.
    lower.set('content-type', 'application/json')
    const held: HeldBody = { bytes, [Symbol.dispose]: () => undefined }
    const { status, content, agent } = await input.serve({
      method: 'POST',
      path: input.config.path,
      query: {},
      header: (name) => lower.get(name.toLowerCase()),
      authorization: [],
      contentLength: bytes.length,
      body: async () => held,
      requestId,
      remoteAddress: undefined,
      isForeignPage: false,
      trusted: true,
    })
    const output = 'text' in content ? content.text : content.json
    return {
      status: status < 400 ? (status === 202 ? 'running' : 'completed') : 'failed',
      response_code: status,
      response_body: isObject(output) ? output : { output },
      processing_time_ms: Math.round((performance.now() - startedMs) * 1_000) / 1_000,
      agent_id: agent,
    }
  }

  #find(id: string, agentName?: string): Input {
    const input = this.#inputs.get(id)
    if (
      input === undefined ||
      (agentName !== undefined && !agentsOf(input.config).includes(agentName))
    )
      throw unknownInput(id)
    return input
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work)
    this.#last = mine.catch(() => undefined)
    return mine
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    return this.#alone(() => {
      if (this.#closed) throw new VestryError('VAULT_LOCKED')
      return work()
    })
  }

  /** Stores a change of what is stored now, which another node may have changed before. */
  async #store(
    input: Input,
    change: Partial<Pick<StoredInput, 'config' | 'enabled'>>,
    { commit, undo }: Prepared,
    note: Note,
  ): Promise<void> {
    let stored: StoredInput
    try {
      const { value, generation } = await this.#deps.store.change(input.id, () => change)
      stored = value
      note({ generation })
    } catch (error) {
      await undo()
      throw error
    }
    commit()
    const isOnlyOurs = stored.version === input.version + 1
    input.enabled = stored.enabled
    input.version = stored.version
    if (!isOnlyOurs) await input.adopt(stored)
  }

  async #follow(): Promise<void> {
    if (this.#closed) return
    const all = await this.#deps.store.list()
    const gone = new Set(this.#inputs.keys())
    for (const stored of all) {
      if (this.#closed) return
      gone.delete(stored.id)
      const known = this.#inputs.get(stored.id)
      if (known === undefined) await this.#know(stored)
      else if (known.version !== stored.version) await known.adopt(stored)
    }
    for (const id of gone) {
      const input = this.#inputs.get(id)
      this.#inputs.delete(id)
      await input?.halt(STOP_BUDGET_MS)
    }
  }

  async #know(stored: StoredInput): Promise<void> {
    const stats = new InputStats(await this.#deps.store.counters(stored.id))
    const input = new Input(stored, stats, this.#deps)
    this.#inputs.set(stored.id, input)
    if (stored.enabled && !this.#closed) await input.tryStart()
  }

  async #assertAgents(config: InputConfig): Promise<void> {
    for (const name of agentsOf(config)) {
      if (!(await this.#deps.agents.exists(name)))
        throw new VestryError('AGENT_NOT_FOUND', `Agent ${name} does not exist`)
    }
  }

  async #tick(): Promise<void> {
    await this.#keepCounters()
    for (const input of this.#inputs.values()) {
      if (!input.isDue) continue
      await this.#alone(async () => {
        if (this.#closed || !input.isDue || this.#inputs.get(input.id) !== input) return
        await input.tryStart()
      })
    }
  }

  async #haltAll(budgetMs: number): Promise<void> {
    await Promise.all(Array.from(this.#inputs.values(), (input) => input.halt(budgetMs)))
  }

  async #keepCounters(): Promise<void> {
    for (const { id, stats } of this.#inputs.values()) {
      const since = stats.take()
      if (since === undefined) continue
      try {
        stats.kept(await this.#deps.store.keepCounters(id, since))
      } catch {
        stats.notKept() // the next tick tries again
      }
    }
  }
}

function isObject(value: unknown): value is View {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
