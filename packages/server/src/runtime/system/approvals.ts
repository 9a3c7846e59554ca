/** Calls that wait for somebody's yes, for operators of the runtime API; the same that `vestry approval` shows. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export function approvalRoutes(verbs: VerbDoor): RuntimeRoute[] {
  const decide = (word: string, verb: string): RuntimeRoute => ({
    method: 'POST',
    path: `approvals/:id/${word}`,
    access: 'approve',
    handle: async (request) => ({ body: await decided(verbs, request, verb) }),
  })
  return [
    {
      method: 'GET',
      path: 'approvals',
      access: 'approve',
      handle: async (request) => {
        const state = request.query['state']
        const { result } = await verbs(request, 'approval.list', state ? { state } : {})
        const { approvals } = result as { approvals: readonly unknown[] } // as that verb answers
        return { body: approvals }
      },
    },
    decide('approve', 'approval.allow'),
    decide('deny', 'approval.deny'),
  ]
}

async function decided(
  verbs: VerbDoor,
  request: RuntimeRequest,
  verb: string,
): Promise<Record<string, unknown>> {
  try {
    const { result } = await verbs(request, verb, { id: request.params['id'] })
    return result as Record<string, unknown> // these verbs answer with objects
  } catch (error) {
    if (asVestryError(error).code !== 'NOT_FOUND') throw error
    const { result } = await verbs(request, 'approval.list', {})
    const { approvals } = result as { approvals: readonly { id: string; state: string }[] }
    const found = approvals.find(({ id }) => id === request.params['id'])
    if (found === undefined) throw error
    throw new VestryError('INVALID_STATE_TRANSITION', `Approval ${found.id} is ${found.state}`)
  }
}
