/** An HTTP endpoint (runtime contract §14.5): a path below `ep/` whose requests start an agent. */
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { isAgentName } from '../../identity/agent-name.ts'

export const SERVED_METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'] as const
export type ServedMethod = (typeof SERVED_METHODS)[number]

export const ENDPOINT_STATUSES = ['active', 'inactive', 'maintenance', 'error'] as const
export type EndpointStatus = (typeof ENDPOINT_STATUSES)[number]

/** As many as a request can have below `ep/`, and as long. */
const MAX_SEGMENTS = 30
const MAX_SEGMENT = 256

const Path = z
  .string()
  .max(512)
  .transform((text) => text.replace(/^\/+/, ''))
  .refine(
    (text) =>
      /^(?:[A-Za-z0-9._~-]+|\{[A-Za-z_]\w{0,63}\})(?:\/(?:[A-Za-z0-9._~-]+|\{[A-Za-z_]\w{0,63}\}))*$/.test(
        text,
      ),
    'must be a path such as orders/{id}',
  )
  .refine(
    (text) => text.split('/').every((part) => part !== '.' && part !== '..'),
    'must not hold dots as a segment',
  )
  .refine((text) => {
    const parts = text.split('/')
    return parts.length <= MAX_SEGMENTS && parts.every((part) => part.length <= MAX_SEGMENT)
  }, `must have at most ${MAX_SEGMENTS} segments of ${MAX_SEGMENT} characters`)
  .refine((text) => {
    const names = text.match(/\{\w+\}/g) ?? []
    return new Set(names).size === names.length
  }, 'must not name a parameter twice')
const AgentId = z.string().refine(isAgentName, 'is no agent id')
const Description = z.string().max(4_096)
const RateLimit = z.int().min(1).max(1_000_000)
const Timeout = z.int().min(1).max(600)
const Middleware = z.array(z.string().max(128)).max(32)
const MAX_METADATA_BYTES = 65_536
const Metadata = z
  .record(z.string(), z.unknown())
  .refine(
    (data) => Buffer.byteLength(JSON.stringify(data)) <= MAX_METADATA_BYTES,
    `must be at most ${MAX_METADATA_BYTES} bytes of JSON`,
  )

const Create = z.strictObject({
  path: Path,
  method: z.enum(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS']),
  agent_id: AgentId,
  description: Description.nullish(),
  auth_required: z.boolean().nullish(),
  /** Requests in a minute. */
  rate_limit: RateLimit.nullish(),
  timeout_seconds: Timeout.nullish(),
  middleware: Middleware.nullish(),
  metadata: Metadata.nullish(),
})

/** Every field may be there, the id too; null leaves it as it is. */
const Update = Create.extend({
  endpoint_id: z.string().nullish(),
  path: Path.nullish(),
  method: Create.shape.method.nullish(),
  agent_id: AgentId.nullish(),
  status: z.enum(ENDPOINT_STATUSES).nullish(),
})

export interface EndpointConfig {
  readonly agent_id: string
  readonly description: string | null
  readonly auth_required: boolean
  readonly rate_limit: number | null
  readonly timeout_seconds: number
  readonly middleware: readonly string[]
  readonly metadata: Readonly<Record<string, unknown>>
}

export interface Endpoint {
  readonly id: string
  readonly method: ServedMethod
  /** Without a slash at its beginning. */
  readonly path: string
  readonly config: EndpointConfig
  readonly status: EndpointStatus
  readonly createdBy: string
  /** Epoch ms. */
  readonly createdAt: number
  readonly updatedAt: number
}

export type NewEndpoint = Pick<Endpoint, 'method' | 'path' | 'config'>

/** @throws VestryError INVALID_PARAMS, UNSUPPORTED_VALUE */
export function readEndpoint(given: unknown): NewEndpoint {
  const { method, path, ...rest } = accept(Create, given)
  return {
    method: servedMethod(method),
    path,
    config: {
      agent_id: rest.agent_id,
      description: rest.description ?? null,
      auth_required: rest.auth_required ?? true,
      rate_limit: rest.rate_limit ?? null,
      timeout_seconds: rest.timeout_seconds ?? 30,
      middleware: noMiddleware(rest.middleware ?? []),
      metadata: rest.metadata ?? {},
    },
  }
}

/** @throws VestryError INVALID_PARAMS, UNSUPPORTED_VALUE */
export function changedEndpoint(endpoint: Endpoint, given: unknown): Endpoint {
  const changes = accept(Update, given)
  const { config } = endpoint
  if (changes.endpoint_id != null && changes.endpoint_id !== endpoint.id)
    throw new VestryError('INVALID_PARAMS', 'endpoint_id: is not the one of the path')
  return {
    ...endpoint,
    method: changes.method == null ? endpoint.method : servedMethod(changes.method),
    path: changes.path ?? endpoint.path,
    status: changes.status ?? endpoint.status,
    config: {
      agent_id: changes.agent_id ?? config.agent_id,
      description: changes.description ?? config.description,
      auth_required: changes.auth_required ?? config.auth_required,
      rate_limit: changes.rate_limit ?? config.rate_limit,
      timeout_seconds: changes.timeout_seconds ?? config.timeout_seconds,
      middleware: noMiddleware(changes.middleware ?? config.middleware),
      metadata: changes.metadata ?? config.metadata,
    },
  }
}

/** HEAD comes with GET, and OPTIONS belongs to browsers. */
function servedMethod(method: string): ServedMethod {
  const served = SERVED_METHODS.find((known) => known === method)
  if (served !== undefined) return served
  throw new VestryError('UNSUPPORTED_VALUE', `method: ${method} is served by itself`, {
    hint: `Use one of ${SERVED_METHODS.join(', ')}.`,
  })
}

/** Named middleware that nobody runs would be a promise nobody keeps. */
function noMiddleware(names: readonly string[]): readonly string[] {
  if (names.length === 0) return names
  throw new VestryError('UNSUPPORTED_VALUE', 'middleware: there is none to choose from', {
    hint: 'Authentication, limits, times and records are built in.',
  })
}

/** What two paths have in common that differ in the names of their parameters only: no request tells them apart. */
export function shapeOf({ method, path }: Pick<Endpoint, 'method' | 'path'>): string {
  return `${method} ${path.replaceAll(/\{\w+\}/g, '{}')}`
}

/** @returns The values of `{…}` in a path that fits, else undefined. */
export function pathParams(
  pattern: readonly string[],
  path: readonly string[],
): Record<string, string> | undefined {
  if (pattern.length !== path.length) return undefined
  const params: [string, string][] = []
  for (const [at, part] of pattern.entries()) {
    const value = path[at] as string
    if (part.startsWith('{')) params.push([part.slice(1, -1), value])
    else if (part !== value) return undefined
  }
  return Object.fromEntries(params)
}

/** What is written out beats a parameter, from the left. */
export function bySpecificity(one: Endpoint, other: Endpoint): number {
  const [first, second] = [rank(one), rank(other)]
  return first < second ? -1 : first > second ? 1 : 0
}

function rank({ path }: Endpoint): string {
  return path
    .split('/')
    .map((part) => (part.startsWith('{') ? '1' : '0'))
    .join('')
}
