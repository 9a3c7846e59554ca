/** How a run can end: codes, and waits that have an end themselves. */
import { AgentShutdown } from './agent.ts'
import type { AgentResult } from './io.ts'

export const EXIT_UNEXPECTED = 1
export const EXIT_SHUTDOWN = 130

/** How a run ended. */
export interface Ending {
  readonly code: number
  readonly error?: string | undefined
  readonly result?: AgentResult | undefined
  readonly isPartial?: boolean
}

export type Settled<T> = { readonly value: T } | { readonly error: unknown }

export function settled<T>(work: Promise<T>): Promise<Settled<T>> {
  return work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
}

/** Undefined when time is up. */
export async function inTime<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** @throws Error when `run` returned no result. */
export function checked(result: AgentResult | undefined | null): AgentResult {
  if (typeof result === 'object' && result !== null) return result
  throw new Error('The agent returned no result')
}

export function exitCodeOf(result: AgentResult): number {
  return validCode(result.exitCode ?? 0)
}

/** What no process can exit with becomes 1. */
export function validCode(code: number): number {
  return Number.isInteger(code) && code >= 0 && code <= 255 ? code : EXIT_UNEXPECTED
}

/** Like `instanceof`, for anything that can be thrown: even asking may throw. */
export function isOf<T>(Class: abstract new (...args: never[]) => T, thrown: unknown): thrown is T {
  try {
    return thrown instanceof Class
  } catch {
    return false
  }
}

/** What is known of anything that was thrown. */
export function described(thrown: unknown): { message: string; trace: string } {
  try {
    if (!(thrown instanceof Error)) return { message: String(thrown), trace: String(thrown) }
    const message = String(thrown.message)
    return { message, trace: String(thrown.stack ?? message) }
  } catch {
    const message = 'Something was thrown that cannot be read'
    return { message, trace: message }
  }
}

/** Whether the error, or what caused it, is the shutdown itself or somebody's word for it. */
export function stemsFromShutdown(error: unknown): boolean {
  for (let cause = error, depth = 0; isOf(Error, cause) && depth < 8; depth += 1) {
    if (cause instanceof AgentShutdown || cause.name === 'AbortError') return true
    cause = cause.cause
  }
  return false
}
