/** `agents/deploy`, `agents/deployments/…`, `invoke/…` and the paths of triggers, `hooks/…` (runtime contract §12, §11.6). */
import { actorOf } from '../../identity/caller.ts'
import { formatTraceparent } from '../../identity/traceparent.ts'
import { type Deployment, deploymentBody } from '../deployments/deployment.ts'
import type { Deployments } from '../deployments/deployments.ts'
import type { Hooks } from '../deployments/hooks.ts'
import type { Invocations } from '../deployments/invocation.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import { PREFIX } from '../wire/target.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export interface DeploymentRouteDeps {
  readonly deployments: Deployments
  readonly invocations: Invocations
  readonly hooks: Hooks
  readonly verbs: VerbDoor
  /** Of `runtime.public_url`. */
  readonly publicUrl: string | undefined
  /** Of the API, as it listens. */
  readonly base: () => string
}

const MAX_EVENT_BYTES = 1_048_576
/** What may stand in a Host header that is told back to whoever sent it. */
const HOST = /^(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

export function deploymentRoutes(deps: DeploymentRouteDeps): RuntimeRoute[] {
  const { deployments, invocations, hooks, verbs } = deps
  const baseOf = (request: RuntimeRequest): string => {
    const host = request.header('host')
    if (deps.publicUrl !== undefined || host === undefined || !HOST.test(host)) return deps.base()
    return `http://${host}${PREFIX}`
  }
  const view = (request: RuntimeRequest, deployment: Deployment) =>
    deploymentBody(deployment, baseOf(request), deployments.live(deployment.id)?.hooks)
  const byVerb = async (
    request: RuntimeRequest,
    name: string,
    given: Record<string, unknown>,
  ): Promise<Record<string, unknown>> => {
    const { result } = await verbs(request, name, given)
    const { deployment_id: id } = result as { deployment_id: string } // these verbs answer with one
    return view(request, await deployments.get(id))
  }
  return [
    {
      method: 'POST',
      path: 'agents/deploy',
      access: 'admin',
      handle: async (request) => ({
        status: 201,
        body: await byVerb(request, 'deployment.create', request.json()),
      }),
    },
    {
      method: 'GET',
      path: 'agents/deployments',
      access: 'key',
      handle: async (request) => {
        const { scope, query } = request
        const asked = query['agent_id'] || undefined
        if (scope !== undefined && asked !== undefined && asked !== scope.agentName)
          return { body: [] }
        const found = await deployments.list(asked ?? scope?.agentName)
        return { body: found.map((one) => view(request, one)) }
      },
    },
    {
      method: 'GET',
      path: 'agents/deployments/:id',
      access: 'key',
      handle: async (request) => ({
        body: view(request, await deployments.get(idOf(request), request.scope?.agentName)),
      }),
    },
    {
      method: 'POST',
      path: 'agents/deployments/:id/stop',
      access: 'admin',
      handle: async (request) => {
        const body = await byVerb(request, 'deployment.stop', { deployment_id: idOf(request) })
        const { deployment_id, status, stopped_at } = body
        return { body: { deployment_id, status, stopped_at } }
      },
    },
    {
      method: 'POST',
      path: 'agents/deployments/:id/rollback',
      access: 'admin',
      handle: async (request) => ({
        status: 201,
        body: await byVerb(request, 'deployment.rollback', { deployment_id: idOf(request) }),
      }),
    },
    {
      method: 'POST',
      path: 'invoke/:id',
      access: 'key',
      handle: (request): Promise<RuntimeReply> => {
        const { requestId, remoteAddress, caller, scope } = request
        const traceparent = formatTraceparent(caller.trace)
        const askedBy = actorOf(caller.principal)
        const asked = { input: request.json(), requestId, remoteAddress, traceparent, askedBy }
        return invocations.invoke(idOf(request), asked, scope?.agentName)
      },
    },
    {
      method: 'POST',
      path: 'hooks/*',
      // Who sends shows who it is by a signature.
      access: 'public',
      maxBodyBytes: MAX_EVENT_BYTES,
      handle: ({ params, header, raw: body, requestId, remoteAddress }) =>
        hooks.receive({
          path: `hooks/${params['*'] ?? ''}`,
          header,
          body,
          requestId,
          remoteAddress,
        }),
    },
  ]
}

function idOf({ params }: RuntimeRequest): string {
  return params['id'] ?? ''
}
