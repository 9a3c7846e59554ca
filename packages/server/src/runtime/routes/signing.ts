/** `tool-review/verify` and `signing-keys` (runtime contract §7.2, §7.8). */
import { VestryError } from '@vestry/contract/errors'
import { actorOf } from '../../identity/caller.ts'
import { readToolJson } from '../../json/number-tokens.ts'
import type { ToolSignature } from '../../review/signing/signatures.ts'
import type { SigningPart } from '../../review/signing-part.ts'
import { chainState, readVerification } from '../../review/verify-request.ts'
import { verificationBody } from '../../review/verify-verb.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export interface SigningRouteDeps {
  readonly part: Pick<SigningPart, 'verifier'>
  readonly verbs: VerbDoor
  /**
   * The signature of a review, as far as it is this agent's to see.
   * @throws VestryError REVIEW_NOT_FOUND, NOT_SIGNED
   */
  readonly signed: (reviewId: string, agentId: string | undefined) => Promise<ToolSignature>
}

/** Below the 25 s that an answer may take. */
const LOOKUP_MS = 10_000

export function signingRoutes({ part, verbs, signed }: SigningRouteDeps): RuntimeRoute[] {
  return [
    {
      method: 'POST',
      path: 'tool-review/verify',
      access: 'key',
      handle: (request) => verify(request, part, signed),
    },
    {
      method: 'POST',
      path: 'signing-keys',
      access: 'admin',
      handle: async (request) => ({
        status: 201,
        body: await resultOf(verbs, request, 'signing_key.add', request.json()),
      }),
    },
    {
      method: 'GET',
      path: 'signing-keys',
      access: 'admin',
      handle: async (request) => {
        const { keys } = await resultOf(verbs, request, 'signing_key.list', {})
        return { body: keys as readonly unknown[] }
      },
    },
    {
      method: 'POST',
      path: 'signing-keys/:id/revoke',
      access: 'admin',
      handle: async (request) => {
        const given = { ...bodyIfAny(request), key_id: request.params['id'] }
        return { body: await resultOf(verbs, request, 'signing_key.revoke', given) }
      },
    },
  ]
}

async function verify(
  request: RuntimeRequest,
  { verifier }: SigningRouteDeps['part'],
  signed: SigningRouteDeps['signed'],
): Promise<RuntimeReply> {
  const { scope, signal, raw, requestId } = request
  const asked = await readVerification(readToolJson(raw), (id) => signed(id, scope?.agentId))
  // An agent's key may use what is known. Making this daemon call an address is an operator's to decide.
  const mayAsk = scope === undefined
  const found = await verifier.verify({
    ...asked.request,
    signal,
    timeoutMs: LOOKUP_MS,
    mayAsk,
    actor: actorOf(request.caller.principal),
    requestId,
  })
  const chain = asked.chain && chainState(asked.chain.previousHash, asked.chain.expected)
  return { body: { ...verificationBody(found), ...(chain !== undefined && { chain }) } }
}

/** These verbs answer with plain results; there is no secret to release. */
async function resultOf(
  verbs: VerbDoor,
  request: RuntimeRequest,
  name: string,
  given: unknown,
): Promise<Record<string, unknown>> {
  const { result } = await verbs(request, name, given)
  if (typeof result === 'object' && result !== null) return result as Record<string, unknown>
  throw new VestryError('INTERNAL_ERROR', `${name} gave no result`)
}

function bodyIfAny(request: RuntimeRequest): Record<string, unknown> {
  return request.raw.length === 0 ? {} : request.json()
}
