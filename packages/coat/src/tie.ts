/** `tie`: tells what a function is at in the middle of its work. */
import { active } from './active.ts'
import { fault } from './counters.ts'
import { cleanName } from './facts.ts'
import { runtime } from './runtime.ts'
import { tieModeOf } from './settings.ts'
import { emitPointIn } from './span.ts'

export interface Tie {
  (name: string, data?: unknown): void
  /**
   * Registers a function that tells the values of variables. It is called once, when the active span
   * ends, and only if that span captures values; what it returns becomes the end's `locals`. Several
   * merge from left to right. Outside every span it is not called at all.
   */
  scope(thunk: () => object): void
}

const MAX_NAME = 64

/**
 * Tells `data` under a name, inside the active span. Data handed over like this is told redacted unless
 * the environment or `configure` say otherwise. Never throws, never waits.
 */
export const tie: Tie = Object.assign(tell, { scope })

function tell(name: string, data?: unknown): void {
  try {
    const instance = runtime()
    if (instance.disabled) return
    const parent = active()?.ids
    emitPointIn(instance, tieModeOf(instance.settings), {
      kind: 'x.coat.tie',
      payload: {
        name: cleanName(instance.capturer, nameOf(name)),
        ...(parent === undefined && { orphan: true }),
      },
      ...(data !== undefined && { captured: { data } }),
      parent,
    })
  } catch {
    fault()
  }
}

function scope(thunk: () => object): void {
  try {
    if (typeof thunk === 'function') active()?.span?.addScope(thunk)
  } catch {
    fault()
  }
}

/** What is no text has no name: turning it into one might run code of the program's. */
function nameOf(name: unknown): string {
  if (typeof name !== 'string') return ''
  // Not cut in the middle of a character.
  return name.length <= MAX_NAME ? name : name.slice(0, MAX_NAME).toWellFormed()
}
