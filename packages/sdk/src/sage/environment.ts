/**
 * The variables an agent is started with. Nothing is read at import; a variable that is set but empty
 * counts as unset.
 */
import { resolve } from 'node:path'
import { DEFAULT_PROVIDER, rowOf } from '../llm/providers/table.ts'
import { ConfigurationError } from './errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** What every mode reads. */
export interface RunEnvironment {
  readonly runId: string
  readonly orgId: string
  readonly workDir: string
  readonly outputDir: string
}

/** Undefined when unset or empty. */
export function variable(env: Environment, name: string): string | undefined {
  const value = env[name]
  return value === '' ? undefined : value
}

/** @throws ConfigurationError that names the variable. */
export function needed(env: Environment, name: string): string {
  const value = variable(env, name)
  if (value !== undefined) return value
  throw new ConfigurationError(`${name} is not set`)
}

/** Only `1` and `true`: a person who writes `0` or `false` means no. */
export function isOn(env: Environment, name: string): boolean {
  return ['1', 'true'].includes((variable(env, name) ?? '').trim().toLowerCase())
}

export const isDirectAllowed = (env: Environment): boolean => isOn(env, 'SAGE_SANCTUM_ALLOW_DIRECT')

/** @throws ConfigurationError for a missing RUN_ID, then for a missing ORG_ID. */
export function readRun(env: Environment): RunEnvironment {
  return {
    runId: needed(env, 'RUN_ID'),
    orgId: needed(env, 'ORG_ID'),
    workDir: variable(env, 'WORK_DIR') ?? '/work',
    outputDir: variable(env, 'OUTPUT_PATH') ?? '/output',
  }
}

/** The model when no token names one. */
export function environmentModel(env: Environment): string {
  return variable(env, 'SAGE_MODEL') ?? variable(env, 'OPENAI_MODEL') ?? 'gpt-4o'
}

/** Where the gateway listens when there is no socket: host and port of the provider's base URL. */
export interface TcpFallback {
  readonly url: string
  readonly host: string
  readonly port: number
}

const DEFAULT_PORT = 8080

/**
 * @throws ConfigurationError for an `https` URL, since only plain HTTP is spoken here and nobody
 *         should believe otherwise, and for text that is no URL.
 */
export function tcpFallback(env: Environment, provider: string): TcpFallback {
  const row = rowOf(provider) ?? DEFAULT_PROVIDER
  const url = variable(env, row.baseUrlVariable) ?? row.gatewayBaseUrl
  const parsed = httpUrl(row.baseUrlVariable, url)
  if (parsed.protocol === 'https:') {
    throw new ConfigurationError(
      `${row.baseUrlVariable} is an https URL, but the gateway is reached by plain HTTP or by LLM_GATEWAY_SOCKET`,
    )
  }
  // URL drops a port that is the scheme's default, so an explicit :80 has to be told from none.
  const explicit = /^[a-z]+:\/\/[^/?#]*:(\d+)(?:[/?#]|$)/i.exec(url)?.[1]
  return {
    url,
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: explicit === undefined ? DEFAULT_PORT : Number(explicit),
  }
}

/** The provider's own API, or what stands in for it. @throws ConfigurationError for what is no URL. */
export function directBaseUrl(env: Environment, provider: string): string {
  const row = rowOf(provider) ?? DEFAULT_PROVIDER
  const url = variable(env, row.baseUrlVariable) ?? row.directBaseUrl
  httpUrl(row.baseUrlVariable, url)
  return url
}

/** Messages name the variable and never repeat the text, which may hold a password. */
function httpUrl(name: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new ConfigurationError(`${name} is not an http URL`)
  }
  if (url.username === '' && url.password === '') return url
  throw new ConfigurationError(`${name} holds credentials, which do not belong there`)
}

/** @throws ConfigurationError for a path that no Unix socket can have. */
export function socketPath(path: string): string {
  const absolute = resolve(path)
  const bytes = Buffer.byteLength(absolute)
  if (absolute.includes('\0')) throw new ConfigurationError('A socket path has a NUL character')
  if (bytes > 103) {
    throw new ConfigurationError(`The socket path is ${bytes} bytes long; sockets allow 103`)
  }
  return absolute
}
