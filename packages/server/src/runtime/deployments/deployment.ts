/** One deployment: an agent, as it was, that serves in an environment; and how it is asked for. Pure. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { invalidFields } from '../agents/definition.ts'

export const DEPLOYMENT_STATUSES = [
  'pending',
  'deploying',
  'running',
  'degraded',
  'failed',
  'stopping',
  'stopped',
] as const
export type DeploymentStatus = (typeof DEPLOYMENT_STATUSES)[number]

export interface Deployment {
  readonly id: string
  /** Of the agent's record. */
  readonly agentId: string
  /** Undefined for an agent that is no program. */
  readonly programVersion: number | undefined
  readonly environment: string
  readonly status: DeploymentStatus
  readonly config: DeploymentConfig
  readonly facts: DeploymentFacts
  /** Rises with each change. */
  readonly revision: number
  readonly createdBy: string
  /** Epoch ms. */
  readonly deployedAt: number
  /** Epoch ms; of one that serves no longer, whatever the reason. */
  readonly stoppedAt: number | undefined
}

export interface DeploymentFacts {
  readonly agentName: string
  readonly warnings: readonly string[]
  readonly lastError?: string
  /** The deployment that this one was rolled back from. */
  readonly rollbackOf?: string
}

const seconds = z.int().min(1).max(86_400)

const KNOWN = {
  max_concurrent_tasks: z.int().min(1).max(1_024),
  timeout_seconds: seconds,
  memory_mb: z.int().min(1).max(1_048_576),
  env: z.record(z.string().min(1).max(128), z.string().max(4_096)),
  model: z.string().min(1).max(256),
  temperature: z.number().min(0).max(2),
  workflow_id: z.string().min(1).max(128),
  sandbox: z.string().min(1).max(32),
  log_level: z.enum(['trace', 'debug', 'info', 'warn', 'error']),
  replace_previous: z.boolean(),
  /** Whether who sends an event waits for the end of the run. */
  response: z.enum(['accept', 'wait']),
}
/** Known, and without effect here: agents run within the server. */
const UNUSED = ['memory_mb', 'env', 'log_level'] as const
const Config = z.looseObject(KNOWN).partial()
export type DeploymentConfig = z.output<typeof Config>

const MAX_CONFIG_BYTES = 65_536
const ENVIRONMENT = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/i

export const PRODUCTION = 'production'

export interface AskedDeployment {
  readonly agentName: string
  readonly environment: string
  readonly config: DeploymentConfig
  readonly warnings: readonly string[]
}

/** @param body As it came; a member that is `null` counts as absent. @throws VestryError VALIDATION_ERROR */
export function readDeployRequest(body: Readonly<Record<string, unknown>>): AskedDeployment {
  const { agent_id: agentName, environment = null, config_overrides: overrides = null } = body
  const problems: { path: string; problem: string }[] = []
  if (typeof agentName !== 'string' || agentName === '')
    problems.push({ path: 'agent_id', problem: 'must name an agent' })
  if (environment !== null && !(typeof environment === 'string' && ENVIRONMENT.test(environment)))
    problems.push({
      path: 'environment',
      problem: 'must be 1 to 64 letters, digits, ".", "_" or "-"',
    })
  const read = Config.safeParse(overrides ?? {})
  if (!read.success) {
    for (const { path, message } of read.error.issues)
      problems.push({ path: ['config_overrides', ...path.map(String)].join('.'), problem: message })
  }
  if (problems.length > 0 || !read.success) throw invalidFields(problems)
  const config = read.data
  if (Buffer.byteLength(JSON.stringify(config)) > MAX_CONFIG_BYTES)
    throw invalidFields([
      { path: 'config_overrides', problem: `may take ${MAX_CONFIG_BYTES} bytes` },
    ])
  const unknown = Object.keys(config).filter((key) => !Object.hasOwn(KNOWN, key))
  return {
    agentName: agentName as string, // checked above
    environment: (environment as string | null) ?? 'development',
    config,
    warnings: [...unknown, ...UNUSED.filter((key) => config[key] !== undefined)].map(
      (key) => `config_overrides: "${key}" is kept, and changes nothing`,
    ),
  }
}

/** Serves, or tries to. */
export function isLive({ status, stoppedAt }: Deployment): boolean {
  if (stoppedAt !== undefined) return false
  return status === 'running' || status === 'degraded' || status === 'failed'
}

/** @param base Of the API, without a slash at its end: `http://localhost:8080/api/v1`. */
export function deploymentBody(
  deployment: Deployment,
  base: string,
  hooks: readonly { readonly name: string; readonly path: string }[] = [],
): Record<string, unknown> {
  const { facts, stoppedAt, programVersion } = deployment
  return {
    deployment_id: deployment.id,
    agent_id: facts.agentName,
    status: deployment.status,
    deployed_at: new Date(deployment.deployedAt).toISOString(),
    endpoint_url: isLive(deployment) ? `${base}/invoke/${deployment.id}` : null,
    environment: deployment.environment,
    agent_version: programVersion === undefined ? null : String(programVersion),
    config: deployment.config,
    stopped_at: stoppedAt === undefined ? null : new Date(stoppedAt).toISOString(),
    last_error: facts.lastError ?? null,
    replicas: isLive(deployment) ? 1 : 0,
    ...(hooks.length > 0 && {
      hooks: hooks.map(({ name, path }) => ({ name, url: `${base}/${path}` })),
    }),
    ...(facts.warnings.length > 0 && { warnings: facts.warnings }),
    ...(facts.rollbackOf !== undefined && { rollback_of: facts.rollbackOf }),
  }
}

export function unknownDeployment(id: string): VestryError {
  return new VestryError('DEPLOYMENT_NOT_FOUND', `There is no deployment "${id.slice(0, 64)}"`)
}
