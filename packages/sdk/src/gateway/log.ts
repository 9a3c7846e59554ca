/** What the client tells a log hook: never a token, a key or an answer; parameters only masked. */

export type GatewayOperation = 'generate-token' | 'proxy-request' | 'job'

export interface GatewayLogEntry {
  event: 'request' | 'answer' | 'failure' | 'retry' | 'rotation' | 'rotation-failed'
  operation: GatewayOperation
  correlationId?: string
  /** 0 for the first attempt. */
  attempt?: number
  tool?: string
  action?: string
  /** Of the call, with the values of sensitive names replaced. */
  params?: unknown
  statusCode?: number
  durationMs?: number
  /** Before a retry. */
  delayMs?: number
  /** The error's class code or the gateway's code. */
  code?: string
}

export type GatewayLogger = (entry: GatewayLogEntry) => void

/** A hook that fails must not fail the call it is told about. */
export function safely<A extends unknown[]>(
  hook: ((...args: A) => unknown) | undefined,
): (...args: A) => void {
  return (...args) => {
    try {
      const outcome = hook?.(...args)
      if (outcome instanceof Promise) outcome.catch(() => {})
    } catch {
      // Its own affair: there is nobody to tell but the hook that just failed.
    }
  }
}
