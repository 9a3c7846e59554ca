/**
 * Timers and sockets of this library start outside of every context of the agent: otherwise they would
 * keep alive the store of whichever request happened to come first.
 */
import { AsyncResource } from 'node:async_hooks'

const root = new AsyncResource('VestryCoat', { requireManualDestroy: true })

export function outside<T>(run: () => T): T {
  return root.runInAsyncScope(run)
}
