/** How one agent does, as its deployments have it. */
import type { Deployment } from './deployment.ts'
import type { DeploymentStore } from './deployment-store.ts'

export interface Standing {
  /** Epoch ms; undefined: nothing of it serves. */
  readonly sinceMs: number | undefined
  readonly isWell: boolean
  /** Epoch ms, of the deployment that was stopped last; undefined while one serves. */
  readonly stoppedMs: number | undefined
}

/** Among these is the one that was stopped last, or near enough. */
const NEWEST = 50

/** @param live Those of it that serve. */
export async function standingOf(
  agentId: string,
  live: readonly Deployment[],
  store: Pick<DeploymentStore, 'list'>,
): Promise<Standing> {
  const isWell = live.every(({ status }) => status === 'running')
  if (live.length > 0) {
    const sinceMs = Math.min(...live.map((one) => one.deployedAt))
    return { sinceMs, isWell, stoppedMs: undefined }
  }
  const stopped = (await store.list(agentId, NEWEST))
    .filter(({ status }) => status === 'stopped')
    .flatMap((one) => one.stoppedAt ?? [])
  const stoppedMs = stopped.length === 0 ? undefined : Math.max(...stopped)
  return { sinceMs: undefined, isWell, stoppedMs }
}
