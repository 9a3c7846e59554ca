/** How an HTTP input is set up (runtime contract §13.1): read from what clients send, and shown to them again. */
import { isIP } from 'node:net'
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { isAgentName } from '../../identity/agent-name.ts'

const AgentId = z.string().refine(isAgentName, 'is no agent id')
const HeaderName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'is no header name')
const Status = z.int().min(200).max(599)
/** Clients write every field of their model, so what was not set arrives as null. */
const orDefault = <T extends z.ZodType>(type: T, standard: z.input<T>) =>
  type.nullish().transform((value) => value ?? standard)

const Rule = z.strictObject({
  condition_type: z.enum(['path_prefix', 'header_equals', 'json_field_equals']),
  condition_value: z.string().max(1_024),
  condition_target: z.string().min(1).max(256).nullish(),
  agent_id: AgentId,
})
export type RoutingRule = z.output<typeof Rule>

const Control = z.strictObject({
  default_status: orDefault(Status, 200),
  agent_output_to_json: orDefault(z.boolean(), true),
  error_status: orDefault(z.int().min(400).max(599), 500),
  echo_input_on_error: orDefault(z.boolean(), false),
})
export type ResponseControl = z.output<typeof Control>

const Shape = z.strictObject({
  bind_address: orDefault(
    z.string().refine((text) => text === 'localhost' || isIP(text) !== 0, 'must be an IP address'),
    '0.0.0.0',
  ),
  port: orDefault(z.int().min(0).max(65_535), 8_081),
  path: orDefault(
    z
      .string()
      .regex(/^\/(?:[A-Za-z0-9._~-]+(?:\/[A-Za-z0-9._~-]+)*)?$/, 'must be a path such as /webhook'),
    '/webhook',
  ),
  agent_id: AgentId,
  auth_header: z.string().min(1).max(4_096).nullish(),
  jwt_public_key_path: z.string().min(1).max(4_096).nullish(),
  jwt_audience: z.string().min(1).max(1_024).nullish(),
  max_body_bytes: orDefault(z.int().min(1).max(4_194_304), 65_536),
  concurrency: orDefault(z.int().min(1).max(1_024), 10),
  routing_rules: z.array(Rule).max(256).nullish(),
  response_control: Control.nullish(),
  forward_headers: orDefault(z.array(HeaderName).max(64), []),
  cors_enabled: orDefault(z.boolean(), false),
  audit_enabled: orDefault(z.boolean(), true),
})
export type InputConfig = z.output<typeof Shape>

/** Stands where a password is; sent back, it means the one that is there. */
export const HIDDEN = '[secret]'

/**
 * @param before What an update changes: a password that is sent back hidden stays.
 * @throws VestryError INVALID_PARAMS naming the field.
 */
export function readInputConfig(given: unknown, before?: InputConfig): InputConfig {
  const config = accept(Shape, given)
  for (const segment of config.path.split('/'))
    if (segment === '.' || segment === '..')
      throw new VestryError('INVALID_PARAMS', 'path: must not hold dots as a segment')
  for (const [index, rule] of (config.routing_rules ?? []).entries()) {
    if (rule.condition_type !== 'path_prefix' && rule.condition_target == null)
      throw new VestryError(
        'INVALID_PARAMS',
        `routing_rules.${index}.condition_target: is needed for ${rule.condition_type}`,
      )
  }
  if (
    isAuthenticated(config) &&
    config.forward_headers.some((name) => /^authorization$/i.test(name))
  )
    throw new VestryError(
      'INVALID_PARAMS',
      'forward_headers: authorization is the password of the input, and no agent gets to see it',
    )
  if (config.auth_header !== HIDDEN) return config
  if (before?.auth_header == null)
    throw new VestryError('INVALID_PARAMS', `auth_header: "${HIDDEN}" stands for one that is set`)
  return { ...config, auth_header: before.auth_header }
}

export function isAuthenticated(config: InputConfig): boolean {
  return config.auth_header != null || config.jwt_public_key_path != null
}

/** Where it listens: without authentication on this machine only, unless that was allowed. */
export function addressOf(config: InputConfig, allowOpen: boolean): string {
  const address = config.bind_address === 'localhost' ? LOOPBACK : config.bind_address
  return isAuthenticated(config) || allowOpen || isLoopback(address) ? address : LOOPBACK
}

const LOOPBACK = '127.0.0.1'

export function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}

/** For answers: passwords written into the configuration are hidden, references are not. */
export function shownConfig(
  config: InputConfig,
  isReference: (text: string) => boolean,
): Record<string, unknown> {
  const { auth_header: auth } = config
  const { jwt_audience: audience, ...rest } = config
  return {
    ...rest,
    ...(audience != null && { jwt_audience: audience }),
    auth_header: auth == null ? null : isReference(auth) ? auth : HIDDEN,
    jwt_public_key_path: config.jwt_public_key_path ?? null,
    routing_rules:
      config.routing_rules?.map((rule) => ({
        ...rule,
        condition_target: rule.condition_target ?? null,
      })) ?? null,
    response_control: config.response_control ?? null,
  }
}

export const STANDARD_CONTROL: ResponseControl = {
  default_status: 200,
  agent_output_to_json: true,
  error_status: 500,
  echo_input_on_error: false,
}

/** Every agent a request may be given to. */
export function agentsOf(config: InputConfig): string[] {
  return [
    ...new Set([config.agent_id, ...(config.routing_rules ?? []).map((rule) => rule.agent_id)]),
  ]
}
