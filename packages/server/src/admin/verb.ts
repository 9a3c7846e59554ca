/**
 * An admin verb: one function that the admin socket, and later every HTTP door, calls by name.
 * Its policy action, its record and its parameters are declared beside it.
 */

import { accept } from '@vestry/contract/accept'
import type * as z from 'zod'
import { perform } from '../call/perform.ts'
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

/** Who calls a verb, through whichever door. */
export interface VerbCall {
  readonly caller: Caller
  readonly by: string
  readonly requestId: string
  /** Not yet checked. */
  readonly given: unknown
  readonly secrets?: ReadonlyMap<string, Secret>
  readonly signal: () => AbortSignal
  readonly emit?: (result: Record<string, unknown>) => Promise<void>
}

/** Characters of a record's detail. */
const MAX_DETAIL = 160
const NO_SECRETS: ReadonlyMap<string, Secret> = new Map()

/**
 * Checks the parameters and walks the chain of stations with the operator as the caller.
 *
 * @throws VestryError INVALID_PARAMS, ACCESS_DENIED, AUDIT_UNAVAILABLE, and whatever the verb throws.
 */
export async function callVerb(deps: AdminDeps, verb: AdminVerb, call: VerbCall): Promise<Reply> {
  const { caller, by, requestId } = call
  const { vault } = deps
  const params: unknown = accept(verb.params, call.given)
  const data = verb.data?.(params) ?? {}
  return perform<Reply>(vault.stations, {
    caller,
    requestId,
    action: verb.action,
    event: verb.event,
    source: 'admin',
    resource: { kind: 'system' },
    context: { nowMs: vault.now(), transport: caller.peer.transport },
    detail: detailOf(verb.name, data),
    data: { verb: verb.name, ...data },
    readOnly: verb.action === 'admin:read',
    settle: () => ({
      effect: async (note) => {
        const result = await verb.run({
          deps,
          caller,
          by,
          requestId,
          params,
          secrets: call.secrets ?? NO_SECRETS,
          get signal() {
            return call.signal()
          },
          note,
          emit: call.emit ?? (() => Promise.resolve()),
        })
        return isReply(result) ? result : { result }
      },
      undo: (made: Reply) => made.release?.(),
    }),
  })
}

/** `agent.add scout`: the verb, and what its data name first. */
function detailOf(name: string, data: Readonly<Record<string, unknown>>): string {
  const subject = Object.values(data).find((value) => typeof value === 'string' || isTexts(value))
  if (subject === undefined) return name
  return `${name} ${isTexts(subject) ? subject.join(' ') : subject}`
    .slice(0, MAX_DETAIL)
    .toWellFormed()
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string')
}

/** Verbs return a plain result, or a whole reply when it carries a secret. */
function isReply(result: Record<string, unknown> | Reply): result is Reply {
  return typeof Reflect.get(result, 'release') === 'function'
}
