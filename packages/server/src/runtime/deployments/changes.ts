/** Which changes a deployment may make, and what is told of those it may not. Pure. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Blocker } from './blockers.ts'
import { type AskedDeployment, type Deployment, isLive } from './deployment.ts'

const DEGRADED_AFTER = 3
const FAILED_AFTER = 10
const MAX_ERROR = 512

export interface Failure {
  readonly code: string
  readonly message: string
}

/** @param failures Of runs, one after the other. @returns undefined: as it was. */
export function statusAfter(failures: number): 'running' | 'degraded' | 'failed' | undefined {
  if (failures === 0) return 'running'
  if (failures >= FAILED_AFTER) return 'failed'
  return failures >= DEGRADED_AFTER ? 'degraded' : undefined
}

export function running(now: Deployment): Partial<Deployment> {
  if (now.status !== 'deploying')
    throw new VestryError('INVALID_STATE_TRANSITION', 'It was stopped before it served')
  return { status: 'running' }
}

/** What it may do is in force at last. */
export function servesAgain(now: Deployment): Partial<Deployment> {
  return isLive(now) ? { status: 'running' } : {}
}

/** @param error Of the run that made it so. */
export function doing(
  status: 'running' | 'degraded' | 'failed',
  error: Failure | undefined,
): (now: Deployment) => Partial<Deployment> {
  const told = error && { lastError: lastError(error) }
  return (now) => (isLive(now) ? { status, facts: { ...now.facts, ...told } } : {})
}

export function leaving(now: Deployment): Partial<Deployment> {
  return now.stoppedAt === undefined ? { status: 'stopping' } : {}
}

export function stoppedAt(ms: number): (now: Deployment) => Partial<Deployment> {
  return (now) => (now.stoppedAt === undefined ? { status: 'stopped', stoppedAt: ms } : {})
}

/** It never served. */
export function failedAt(ms: number, error: unknown): (now: Deployment) => Partial<Deployment> {
  return (now) => (now.status === 'deploying' ? { ...failing(now, error), stoppedAt: ms } : {})
}

/** It ought to serve. */
export function failing(now: Deployment, error: unknown): Partial<Deployment> {
  return { status: 'failed', facts: { ...now.facts, lastError: tell(error) } }
}

export function isSame(one: Deployment, agentId: string, environment: string): boolean {
  return one.agentId === agentId && one.environment === environment
}

/** What takes over when `now` is rolled back: of what was deployed there before, the newest. */
export function before(
  now: Deployment,
  newestFirst: readonly Deployment[],
): Deployment | undefined {
  return newestFirst.find(
    (one) =>
      isSame(one, now.agentId, now.environment) &&
      (one.stoppedAt === undefined || one.status === 'stopped') &&
      isEarlier(one, now),
  )
}

/** Of a program an earlier version; of any other agent what was deployed before. */
function isEarlier(one: Deployment, now: Deployment): boolean {
  if (now.programVersion === undefined || one.programVersion === undefined)
    return one.deployedAt < now.deployedAt && one.id !== now.id && one.id !== now.facts.rollbackOf
  return one.programVersion < now.programVersion
}

/** @throws VestryError SANDBOX_UNAVAILABLE, DEPLOYMENT_BLOCKED */
export function assertFree(
  blockers: readonly Blocker[],
  { environment }: Pick<AskedDeployment, 'environment'>,
): void {
  const [first] = blockers
  if (first === undefined) return
  const isSandbox = blockers.every(({ code }) => code === 'SANDBOX_UNAVAILABLE')
  throw new VestryError(
    isSandbox ? 'SANDBOX_UNAVAILABLE' : 'DEPLOYMENT_BLOCKED',
    `Not ready for ${environment}: ${first.message}`,
    { hint: 'Mend what is listed, and deploy again', context: { details: { blockers } } },
  )
}

export function wrongState({ id, status }: Deployment, why: string): VestryError {
  return new VestryError('INVALID_STATE_TRANSITION', `${id} is ${status}: ${why}`)
}

/** For `last_error`. */
export function tell(error: unknown): string {
  return lastError(asVestryError(error))
}

function lastError({ code, message }: Failure): string {
  return `${code}: ${message}`.slice(0, MAX_ERROR)
}
