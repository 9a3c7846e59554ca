/** What the gateway answers when all went well: the shapes, and reading them. A broken one is never retried. */
import { GatewayError } from './errors.ts'
import { instantOf, type TokenRequest } from './token.ts'
import type { Minted } from './token-line.ts'

/** The whole answer to a proxied call; `proxy()` returns its `data`. */
export interface ProxyResponse<T = unknown> {
  success: boolean
  data: T
  metadata: Record<string, unknown>
}

export type JobStatus = 'queued' | 'running' | 'done' | 'failed'

/** A job's state: the gateway's members, and the camel-case names of the ones code branches on. */
export interface JobResponse<T = unknown> {
  jobId: string
  job_id: string
  status: JobStatus
  /** What the synchronous call would have returned; only when `done`. */
  result?: T | null
  /** Only when `failed`. */
  error?: string | null
  /** The gateway's code for the failure, e.g. `UPSTREAM_FAILED`, and the status it would have had. */
  errorCode?: string
  errorStatus?: number
  metadata?: Record<string, unknown> | null
  created_at?: string
  started_at?: string | null
  finished_at?: string | null
}

/** A submitted job, under both spellings. */
export interface JobHandle {
  jobId: string
  job_id: string
}

const STATUSES: ReadonlySet<unknown> = new Set<JobStatus>(['queued', 'running', 'done', 'failed'])

/** A JSON object, or undefined. */
export function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined // just checked
  } catch {
    return undefined
  }
}

/** `data` of a proxied call: any value, but it has to be there. */
export function dataOf(text: string): unknown {
  const answer = jsonObject(text)
  if (answer === undefined || !Object.hasOwn(answer, 'data')) throw unreadable('data')
  return answer['data']
}

/** @param startedMs When the request was made: the lifetime counts from there, by this machine's clock. */
export function mintedOf(text: string, request: TokenRequest, startedMs: number): Minted {
  const answer = jsonObject(text)
  const token = answer?.['agent_token']
  if (typeof token !== 'string' || token === '') throw unreadable('agent_token')
  const expires = instantOf(answer?.['expires_at'])
  const issued = instantOf(answer?.['issued_at'])
  if (expires === undefined) {
    return { token, expiresAtMs: startedMs + request.ttlMinutes * 60_000 }
  }
  // Between two instants of the gateway's clock, so that it may differ from ours.
  return { token, expiresAtMs: issued === undefined ? expires : startedMs + (expires - issued) }
}

export function jobHandleOf(text: string): JobHandle {
  const id = jsonObject(text)?.['job_id']
  if (typeof id !== 'string' || id === '') throw unreadable('job_id')
  return { jobId: id, job_id: id }
}

export function jobOf<T>(text: string, id: string): JobResponse<T> {
  const answer = jsonObject(text)
  if (answer === undefined || !STATUSES.has(answer['status'])) throw unreadable('status')
  const { error_code: errorCode, error_status: errorStatus } = answer
  return {
    ...answer,
    ...(typeof errorCode === 'string' && { errorCode }),
    ...(typeof errorStatus === 'number' && { errorStatus }),
    jobId: id,
    job_id: id,
  } as JobResponse<T> // status was checked; the rest is as documented on the wire
}

function unreadable(member: string): GatewayError {
  return new GatewayError(`The gateway's answer has no usable ${member}`)
}
