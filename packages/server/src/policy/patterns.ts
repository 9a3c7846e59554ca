/** The host patterns and the windows that policies name, parsed once. */
import { entityRefs } from './cedar/entity-refs.ts'
import type { StoredPolicy } from './cedar/policy-set.ts'
import type { EntityUid } from './cedar/value.ts'
import { type HostPattern, hostMatches, parseHostPatterns } from './host.ts'
import type { PolicyContext } from './policy-request.ts'
import { inPolicy } from './prepared-policy.ts'
import { parseWindow, type Window, windowIsOpen } from './window.ts'

export interface KnownPatterns {
  /** Whether the target of a request lies under this pattern; no for a pattern that is not known here. */
  holdsHost(uid: EntityUid, context: PolicyContext): boolean
  /** The same of a window and the time. */
  isOpen(uid: EntityUid, context: PolicyContext): boolean
}

export class Patterns implements KnownPatterns {
  readonly #hosts = new Map<string, HostPattern[]>()
  readonly #windows = new Map<string, Window>()

  /** @throws VestryError `POLICY_INVALID` naming the policy with the malformed pattern. */
  constructor(policies: readonly StoredPolicy[]) {
    for (const { id, json } of policies) {
      inPolicy(id, () => {
        for (const text of entityRefs(json, 'HostGlob'))
          this.#hosts.set(text, parseHostPatterns(text))
        for (const text of entityRefs(json, 'Window')) this.#windows.set(text, parseWindow(text))
      })
    }
  }

  get size(): number {
    return this.#hosts.size + this.#windows.size
  }

  holdsHost({ id }: EntityUid, { target }: PolicyContext): boolean {
    if (target === undefined) return false
    return this.#hosts.get(id)?.some((pattern) => hostMatches(pattern, target)) ?? false
  }

  isOpen({ id }: EntityUid, { nowMs }: PolicyContext): boolean {
    const window = this.#windows.get(id)
    return window !== undefined && windowIsOpen(window, nowMs)
  }
}
