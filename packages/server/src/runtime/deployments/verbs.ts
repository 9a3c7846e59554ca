/** Deployments for operators: behind the runtime API and the command line alike. */
import { newRequestId } from '@vestry/contract/ids'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import { actorOf } from '../../identity/caller.ts'
import { formatTraceparent } from '../../identity/traceparent.ts'
import { type Deployment, deploymentBody } from './deployment.ts'
import type { Deployments, Note } from './deployments.ts'
import type { Invocations } from './invocation.ts'

export interface DeploymentVerbDeps {
  readonly deployments: Deployments
  readonly invocations: Invocations
  /** Of the API, as configured: without a slash at its end. */
  readonly base: () => string
}

const Id = z.string().min(1).max(64)
const One = z.strictObject({ deployment_id: Id })
const Body = z.record(z.string(), z.unknown())

export function deploymentVerbs({
  deployments,
  invocations,
  base,
}: DeploymentVerbDeps): AdminVerb[] {
  const view = (deployment: Deployment) =>
    deploymentBody(deployment, base(), deployments.live(deployment.id)?.hooks)
  const one = (
    name: string,
    event: string,
    run: (id: string, by: string, note: Note) => Promise<Deployment>,
  ): AdminVerb =>
    verb({
      name,
      action: 'admin:write',
      event,
      params: One,
      data: ({ deployment_id: id }) => ({ deployment: id }),
      run: async ({ params, by, note }) => view(await run(params.deployment_id, by, note)),
    })
  return [
    verb({
      name: 'deployment.create',
      action: 'admin:write',
      event: 'deployment.start',
      params: Body,
      data: ({ agent_id: agent }) =>
        typeof agent === 'string' ? { agent: agent.slice(0, 128) } : {},
      run: async ({ params, by, note }) => view(await deployments.deploy(params, by, note)),
    }),
    verb({
      name: 'deployment.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ agent: z.string().min(1).max(128).optional() }),
      run: async ({ params }) => ({
        deployments: (await deployments.list(params.agent)).map(view),
      }),
    }),
    verb({
      name: 'deployment.show',
      action: 'admin:read',
      event: 'admin.read',
      params: One,
      run: async ({ params }) => view(await deployments.get(params.deployment_id)),
    }),
    one('deployment.stop', 'deployment.stop', (id, _, note) => deployments.stop(id, note)),
    one('deployment.rollback', 'deployment.rollback', (id, by, note) =>
      deployments.rollback(id, by, note),
    ),
    verb({
      name: 'deployment.invoke',
      // The agent starts itself, so that this is where it is asked who may have it started.
      action: 'admin:write',
      event: 'deployment.invoke',
      params: z.strictObject({ deployment_id: Id, input: Body }),
      data: ({ deployment_id: id }) => ({ deployment: id }),
      run: async ({ params, caller }) => {
        const { principal, trace } = caller
        const askedBy = actorOf(principal)
        const traceparent = formatTraceparent(trace)
        // A request of its own: in a trace, records of one id are one call.
        const requestId = newRequestId()
        const asked = { input: params.input, requestId, askedBy, traceparent }
        return (await invocations.invoke(params.deployment_id, asked)).body
      },
    }),
  ]
}
