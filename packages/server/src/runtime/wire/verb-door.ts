/** Admin verbs through the runtime API: one function behind this door, the socket and the command line. */
import { VestryError } from '@vestry/contract/errors'
import type { AdminDeps } from '../../admin/deps.ts'
import { type AdminVerb, callVerb } from '../../admin/verb.ts'
import { actorOf } from '../../identity/caller.ts'
import type { Secret } from '../../seal/secret.ts'
import type { Reply } from '../../vault/wire/reply.ts'
import type { RuntimeRequest } from './route.ts'

/**
 * Calls a verb as whoever sent the request. The caller releases what the reply holds.
 *
 * @throws VestryError INVALID_PARAMS, ACCESS_DENIED, and what the verb throws.
 */
export type VerbDoor = (
  request: Pick<RuntimeRequest, 'caller' | 'requestId' | 'signal'>,
  name: string,
  given: unknown,
  secrets?: ReadonlyMap<string, Secret>,
) => Promise<Reply>

/** Both are asked at the first call: they come to be later than routes. */
export function verbDoor(deps: () => AdminDeps, verbs: () => readonly AdminVerb[]): VerbDoor {
  let byName: ReadonlyMap<string, AdminVerb> | undefined
  return async ({ caller, requestId, signal }, name, given, secrets) => {
    byName ??= new Map(verbs().map((verb) => [verb.name, verb]))
    const verb = byName.get(name)
    if (verb === undefined) throw new VestryError('INTERNAL_ERROR', `no verb ${name}`)
    const { principal } = caller
    const by = principal.kind === 'operator' ? principal.operator.name : actorOf(principal)
    return callVerb(deps(), verb, {
      caller,
      by,
      requestId,
      given,
      signal: () => signal,
      ...(secrets !== undefined && { secrets }),
    })
  }
}
