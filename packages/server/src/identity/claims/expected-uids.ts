/** Users that operators start agents as. They count where the terms of an agent name no users. */

/** Agents started with a user of their own at the same time, on this node. */
const MAX_ENTRIES = 10_000

export class ExpectedUids {
  readonly #own: number
  readonly #byAgent = new Map<string, Map<number, number>>()
  #size = 0

  /** @param own The daemon's. */
  constructor(own: number) {
    this.#own = own
  }

  of(agentId: string): ReadonlySet<number> {
    return new Set([this.#own, ...(this.#byAgent.get(agentId)?.keys() ?? [])])
  }

  /** @returns false when there are too many. */
  expect(agentId: string, uid: number): boolean {
    const uids = this.#byAgent.get(agentId) ?? new Map<number, number>()
    const count = uids.get(uid)
    if (count === undefined && this.#size >= MAX_ENTRIES) return false
    if (count === undefined) this.#size += 1
    uids.set(uid, (count ?? 0) + 1)
    this.#byAgent.set(agentId, uids)
    return true
  }

  forget(agentId: string, uid: number): void {
    const uids = this.#byAgent.get(agentId)
    const count = uids?.get(uid)
    if (uids === undefined || count === undefined) return
    if (count > 1) {
      uids.set(uid, count - 1)
      return
    }
    uids.delete(uid)
    this.#size -= 1
    if (uids.size === 0) this.#byAgent.delete(agentId)
  }
}
