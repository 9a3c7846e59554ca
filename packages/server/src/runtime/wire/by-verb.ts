/** Routes that are admin verbs of the same name: the path says of what, the body what about it. */
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from './route.ts'
import type { VerbDoor } from './verb-door.ts'

export interface VerbRoutes {
  /** Answers with the verb's own result. */
  call(
    request: RuntimeRequest,
    name: string,
    given: Record<string, unknown>,
    status?: number,
  ): Promise<RuntimeReply>
  /** A route about one thing, without a body. */
  one(method: RuntimeRoute['method'], tail: string, name: string): RuntimeRoute
}

/** @param key What the verbs call the id. */
export function verbRoutes(door: VerbDoor, path: string, key: string): VerbRoutes {
  const call: VerbRoutes['call'] = async (request, name, given, status = 200) => {
    const { result } = await door(request, name, given)
    return { status, body: result as Record<string, unknown> } // these verbs answer with objects
  }
  return {
    call,
    one: (method, tail, name) => ({
      method,
      path: `${path}/:id${tail}`,
      access: 'admin',
      handle: (request) => call(request, name, { [key]: request.params['id'] ?? '' }),
    }),
  }
}
