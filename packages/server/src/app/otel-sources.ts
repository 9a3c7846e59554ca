/**
 * Where the settings of the export come from: a `pod.yaml` wins over `vestry.yaml`, which wins over the host's
 * OTEL_EXPORTER_OTLP_… variables. Gives what the file would have said; the schema checks it afterwards.
 */
import { readFileSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import { readYaml } from '../json/yaml.ts'

type Members = Readonly<Record<string, unknown>>

export interface OtelSources {
  readonly env: NodeJS.ProcessEnv
  /** `pod.yaml` as `vestry up --pod` names it. */
  readonly podFile: string | undefined
}

/**
 * @param raw The configuration as read, before it is checked.
 * @throws VestryError CONFIG_INVALID for a file or a variable that cannot be used.
 */
export function withOtelSources(
  raw: Record<string, unknown>,
  { env, podFile }: OtelSources,
): Record<string, unknown> {
  const telemetry = members(raw['telemetry'])
  if (raw['telemetry'] !== undefined && telemetry === undefined) return raw // the schema will say so
  const pod = podFile === undefined ? undefined : podSettings(podFile)
  // Of another file, for another receiver: headers must not go where they were not meant to.
  const given = pod ?? telemetry?.['otel']
  if (given !== undefined && members(given) === undefined) return raw
  const otel = withHost(members(given), env)
  return otel === undefined ? raw : { ...raw, telemetry: { ...telemetry, otel } }
}

/** The parts of a pod's file that are about the export; all else is for others. */
function podSettings(file: string): Members | undefined {
  let document: unknown
  try {
    document = readYaml(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new VestryError('CONFIG_INVALID', `${file}: ${(cause as Error).message}`, {
      hint: 'Give --pod the pod.yaml of this pod',
      cause,
    })
  }
  const pod = members(document)
  if (pod === undefined) throw new VestryError('CONFIG_INVALID', `${file} holds no settings`)
  const own = section(pod['otel'], `${file}: otel`)
  const monitoring = section(pod['monitoring'], `${file}: monitoring`)
  const older = section(monitoring?.['otlp'], `${file}: monitoring.otlp`)
  if (older === undefined) return own
  const alias: Record<string, unknown> = {}
  for (const name of ['endpoint', 'service_name'] as const) {
    const value = older[name]
    if (value === undefined) continue
    if (own?.[name] !== undefined && own[name] !== value) {
      throw new VestryError(
        'CONFIG_INVALID',
        `${file}: otel.${name} and monitoring.otlp.${name} differ`,
        { hint: 'They mean the same; remove one of them' },
      )
    }
    alias[name] = value
  }
  return { ...alias, ...own }
}

function section(value: unknown, name: string): Members | undefined {
  if (value === undefined || value === null) return undefined
  const found = members(value)
  if (found === undefined) throw new VestryError('CONFIG_INVALID', `${name} must hold settings`)
  return found
}

const PREFIX = 'OTEL_EXPORTER_OTLP_'

/** Fills in what the files leave open. Without an endpoint anywhere there is nothing to fill in. */
function withHost(given: Members | undefined, env: NodeJS.ProcessEnv): Members | undefined {
  const host = hostSettings(env)
  if (host === undefined) return given
  if (given === undefined) return hasEndpoint(host) ? host : undefined
  const { endpoint, logs, traces, ...rest } = host
  const merged: Record<string, unknown> = { ...rest, ...given }
  const elsewhere = given['endpoint'] !== undefined && given['endpoint'] !== endpoint
  // Headers that were set beside an endpoint are for that endpoint.
  if (elsewhere && endpoint !== undefined && given['headers'] === undefined)
    delete merged['headers']
  if (elsewhere || hasEndpoint(given)) return merged
  return { ...host, ...given }
}

function hasEndpoint(settings: Members): boolean {
  const own = (name: string) => members(settings[name])?.['endpoint'] !== undefined
  return settings['endpoint'] !== undefined || own('logs') || own('traces')
}

function hostSettings(env: NodeJS.ProcessEnv): Members | undefined {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return undefined
  const logs = signalSettings(env, 'LOGS_')
  const traces = signalSettings(env, 'TRACES_')
  const signals = [
    ...(env['OTEL_LOGS_EXPORTER'] === 'none' ? [] : ['logs']),
    ...(env['OTEL_TRACES_EXPORTER'] === 'none' ? [] : ['spans']),
  ]
  const settings = {
    ...signalSettings(env, ''),
    ...(logs !== undefined && { logs }),
    ...(traces !== undefined && { traces }),
  }
  if (Object.keys(settings).length === 0 || signals.length === 0) return undefined
  return signals.length === 2 ? settings : { ...settings, signals }
}

function signalSettings(env: NodeJS.ProcessEnv, signal: string): Members | undefined {
  const read = (name: string): string | undefined => {
    const text = env[`${PREFIX}${signal}${name}`]?.trim()
    return text === '' ? undefined : text
  }
  const endpoint = read('ENDPOINT')
  const protocol = read('PROTOCOL')
  const headers = read('HEADERS')
  const timeout = read('TIMEOUT')
  if (protocol !== undefined && protocol !== 'http/protobuf' && protocol !== 'http/json') {
    throw new VestryError(
      'CONFIG_INVALID',
      `${PREFIX}${signal}PROTOCOL: "${protocol}" is not spoken here`,
      { hint: 'Set it to http/protobuf or http/json, and the endpoint to the port for HTTP' },
    )
  }
  if (timeout !== undefined && !/^\d{1,9}$/.test(timeout))
    throw new VestryError(
      'CONFIG_INVALID',
      `${PREFIX}${signal}TIMEOUT is no number of milliseconds`,
    )
  const found = {
    ...(endpoint !== undefined && { endpoint }),
    ...(protocol !== undefined && { protocol }),
    ...(headers !== undefined && { headers: headersOf(headers, `${PREFIX}${signal}HEADERS`) }),
    ...(timeout !== undefined && { timeout_ms: Number(timeout) }),
  }
  return Object.keys(found).length === 0 ? undefined : found
}

/** `name=value,name=value`, percent-encoded, as OpenTelemetry has it. */
function headersOf(text: string, variable: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const pair of text.split(',')) {
    if (pair.trim() === '') continue
    const at = pair.indexOf('=')
    if (at < 1) throw new VestryError('CONFIG_INVALID', `${variable} must be name=value,name=value`)
    try {
      headers[pair.slice(0, at).trim()] = decodeURIComponent(pair.slice(at + 1).trim())
    } catch (cause) {
      throw new VestryError('CONFIG_INVALID', `${variable} is not percent-encoded text`, { cause })
    }
  }
  return headers
}

function members(value: unknown): Members | undefined {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Members)
    : undefined
}
