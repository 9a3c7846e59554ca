/**
 * An admin verb: one function that the admin socket, and later every HTTP door, calls by name.
 * Its policy action, its record and its parameters are declared beside it.
 */

import type * as z from 'zod'
import type { Caller } from '../identity/caller.ts'
import type { Secret } from '../seal/secret.ts'
import type { Reply } from '../vault/wire/reply.ts'
import type { AdminDeps } from './deps.ts'

export interface AdminCall<P> {
  readonly deps: AdminDeps
  readonly caller: Caller
  /** Name of the operator who asks, for `created_by` and the like. */
  readonly by: string
  readonly requestId: string
  readonly params: P
  readonly secrets: ReadonlyMap<string, Secret>
  readonly signal: AbortSignal
  /** Adds facts to the record of this call. */
  readonly note: (facts: Record<string, unknown>) => void
  /** Sends one more frame with the same id, for verbs that stream. */
  readonly emit: (result: Record<string, unknown>) => Promise<void>
}

export interface AdminVerb<S extends z.ZodType = z.ZodType> {
  /** `agent.add`; the socket calls it `admin.agent.add`. */
  readonly name: string
  readonly action: 'admin:read' | 'admin:write' | 'admin:approve' | 'admin:seal'
  /** The record's action, e.g. `agent.register`. */
  readonly event: string
  readonly params: S
  /** What the record says of the parameters: names and numbers, never values. */
  readonly data?: (params: z.output<S>) => Record<string, unknown>
  readonly run: (call: AdminCall<z.output<S>>) => Promise<Record<string, unknown> | Reply>
}

/** Keeps the parameter type between schema and function. */
export function verb<S extends z.ZodType>(definition: AdminVerb<S>): AdminVerb {
  // Sound: `run` and `data` only ever see what `params` produced.
  return definition as unknown as AdminVerb
}
