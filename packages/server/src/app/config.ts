/**
 * `vestry.yaml` → one checked, complete configuration. Unknown keys are errors that name the nearest
 * known one; `VESTRY_<SECTION>_<KEY>` overrides the file. Secrets are never in it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { issueText } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { GatewaySettings } from '../gateway/settings.ts'
import { MAX_TRAT_TTL } from '../identity/runs/run-registration.ts'
import { MAX_SVID_TTL } from '../identity/runs/svid.ts'
import { readYaml } from '../json/yaml.ts'
import { LlmSettings } from '../llm/settings.ts'
import { nearest } from '../policy/nearest.ts'
import { RuntimeSettings } from '../runtime/settings.ts'
import { TelemetrySettings } from '../telemetry/settings.ts'
import { withOtelSources } from './otel-sources.ts'

const seconds = (max: number) => z.int().min(1).max(max)
const Rate = z.strictObject({
  per_second: z.number().positive().max(1_000_000),
  burst: z.number().min(1).max(1_000_000),
})
const TcpAddress = z
  .string()
  .regex(
    /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]|localhost):\d{1,5}$/,
    'must be ADDRESS:PORT',
  )

export const Config = z.strictObject({
  http: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1'),
      port: z.int().min(0).max(65_535).default(8080),
    })
    .prefault({}),
  store: z
    .strictObject({
      /** `sqlite:PATH` or `postgres://…`; default: `data/vestry.db` in the home. */
      url: z.string().min(1).optional(),
    })
    .prefault({}),
  vault: z
    .strictObject({
      /** Unix socket of agents; default `run/vault.sock` in the home. */
      socket: z.string().min(1).optional(),
      socket_mode: z
        .string()
        .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0600"')
        .default('0600'),
      /** More sockets, each for a few agents only, to be mounted into their sandboxes. */
      sockets: z
        .array(z.strictObject({ path: z.string().min(1), agents: z.array(z.string()).min(1) }))
        .max(256)
        .default([]),
      listen_tcp: TcpAddress.optional(),
      /** The wire has no TLS: a non-loopback address needs this, in so many words. */
      allow_plaintext_remote: z.boolean().default(false),
      /** Unseals at start; written by `vestry init --keyfile`. */
      keyfile: z.string().min(1).optional(),
      raw_retrieval: z.boolean().default(true),
      compat_rust: z.boolean().default(true),
      max_request_bytes: z.int().min(65_536).max(67_108_864).default(4_194_304),
      inflight_per_connection: z.int().min(1).max(1024).default(32),
      connections: z.int().min(1).max(100_000).default(1024),
      connections_per_tcp_source: z.int().min(1).max(100_000).default(256),
      connections_unauthenticated: z.int().min(1).max(100_000).default(64),
      /** Seconds; 0 never closes an authenticated connection. */
      idle_timeout: z.int().min(0).max(86_400).default(0),
      session_idle: seconds(86_400).default(3_600),
      session_max: seconds(604_800).default(86_400),
      sessions_per_agent: z.int().min(1).max(10_000).default(64),
      default_ttl: seconds(31_536_000).default(3_600),
      max_ttl: seconds(31_536_000).default(86_400),
      max_lifetime: seconds(31_536_000).default(86_400),
      leases_per_agent: z.int().min(1).max(1_000_000).default(10_000),
      leases_total: z.int().min(1).max(4_000_000).default(256_000),
      revoke_on_disconnect: z.boolean().default(false),
      revoke_on_policy_change: z.boolean().default(false),
      lockout_mode: z.enum(['source', 'agent']).default('source'),
      http_requests_per_agent: z.int().min(1).max(1024).default(8),
      requests_in_flight: z.int().min(1).max(65_536).default(1024),
      docs_base_url: z.url().optional(),
      /** Seconds without a request after which the vault seals itself; 0 never does. */
      auto_seal_idle: z.int().min(0).max(604_800).default(0),
    })
    .prefault({}),
  egress: z
    .strictObject({
      /** Address ranges that are opened although they are private, e.g. `10.20.0.0/16`. */
      allow_cidrs: z.array(z.string().min(1)).max(64).default([]),
      ca_file: z.string().min(1).optional(),
      timeout_ms: z.int().min(100).max(120_000).default(30_000),
    })
    .prefault({}),
  identity: z
    .strictObject({
      trust_domain: z
        .string()
        .regex(/^[a-z0-9._-]{1,255}$/, 'must be a SPIFFE trust domain')
        .default('sage-sanctum.local'),
      /** `iss` of transaction tokens; default: `https://tts.` and the trust domain. */
      tts_issuer: z.string().min(1).max(512).optional(),
      /** Audience of identities at `/token`; default: `spiffe://<trust domain>/tts`. */
      tts_audience: z.string().min(1).max(512).optional(),
      /** Audience of identities on the LLM wire; default: `spiffe://<trust domain>/llm-gateway`. */
      llm_audience: z.string().min(1).max(512).optional(),
      trat_ttl_seconds: seconds(MAX_TRAT_TTL).default(300),
      svid_ttl_seconds: seconds(MAX_SVID_TTL).default(1_800),
      /** Clocks of others may be wrong by this much. */
      leeway_seconds: z.int().min(0).max(60).default(30),
      /** Below it a SPIFFE ID names its run. */
      run_path_prefix: z
        .string()
        .regex(/^\/(?:[A-Za-z0-9._-]+\/)+$/, 'must begin and end with "/"')
        .default('/scanner/'),
      /** Tokens that may be made from other tokens, per run. */
      max_replacements: z.int().min(0).max(100_000).default(200),
      /** Trust bundle of another issuer of identities in the trust domain. */
      bundle_file: z.string().min(1).optional(),
      bundle_url: z.url({ protocol: /^https?$/ }).optional(),
    })
    .prefault({}),
  gateway: GatewaySettings.prefault({}),
  llm: LlmSettings.prefault({}),
  telemetry: TelemetrySettings.prefault({}),
  runtime: RuntimeSettings.prefault({}),
  audit: z
    .strictObject({
      rotate_bytes: z.int().min(1_048_576).default(268_435_456),
      rotate_hours: z.int().min(1).max(8_760).default(24),
    })
    .prefault({}),
  limits: z
    .strictObject({ agent_requests: Rate.optional(), authenticate: Rate.optional() })
    .prefault({}),
})
export type Config = z.output<typeof Config>

/**
 * @param file Absent is fine when it is the home's own file; `required` names one the user gave, `pod` a
 *   `pod.yaml` whose settings of the export win.
 */
export function loadConfig(
  file: string,
  env: NodeJS.ProcessEnv,
  { required = false, pod }: { required?: boolean; pod?: string | undefined } = {},
): Config {
  const raw = existsSync(file) || required ? readFile(file) : {}
  const merged = withOtelSources(withEnvironment(raw, env), { env, podFile: pod })
  const parsed = Config.safeParse(merged)
  if (parsed.success) return parsed.data
  const { issues } = parsed.error
  const isOfPod = issues.every(({ path: [part, name] }) => part === 'telemetry' && name === 'otel')
  throw new VestryError('CONFIG_INVALID', issues.map(describeIssue).join('; '), {
    hint:
      pod !== undefined && isOfPod
        ? `Correct the "otel" section of ${pod}`
        : `Correct ${file}, or the VESTRY_… variable of that name`,
  })
}

function readFile(file: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new VestryError(
      'CONFIG_INVALID',
      `${file} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`,
      {
        hint: 'Check the path and its permissions',
        cause,
      },
    )
  }
  let value: unknown
  try {
    value = readYaml(text)
  } catch (cause) {
    throw new VestryError('CONFIG_INVALID', `${file}: ${(cause as Error).message}`, {
      hint: 'The file must be YAML, such as "http: { port: 8080 }"',
      cause,
    })
  }
  if (value === null || value === undefined) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  throw new VestryError(
    'CONFIG_INVALID',
    `${file} must hold sections such as "http:" and "egress:"`,
  )
}

/** Variables that are not settings. */
const NOT_SETTINGS = new Set(['VESTRY_HOME', 'VESTRY_PASSPHRASE_FILE', 'VESTRY_NODE_RESTARTED'])

function withEnvironment(
  raw: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...raw }
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('VESTRY_') || NOT_SETTINGS.has(name) || text === undefined) continue
    const [section, ...words] = name.slice('VESTRY_'.length).toLowerCase().split('_')
    const key = words.join('_')
    if (section === undefined || key === '' || !Object.hasOwn(Config.shape, section)) {
      throw new VestryError('CONFIG_INVALID', `${name} is not a known setting`, {
        hint: 'Settings are VESTRY_<SECTION>_<KEY>, such as VESTRY_HTTP_PORT',
      })
    }
    const before = merged[section]
    const known = typeof before === 'object' && before !== null ? before : {}
    merged[section] = { ...known, [key]: settingOf(name, text) }
  }
  return merged
}

function settingOf(name: string, text: string): unknown {
  try {
    return readYaml(text)
  } catch (cause) {
    throw new VestryError('CONFIG_INVALID', `${name}: ${(cause as Error).message}`, { cause })
  }
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.join('.')
  if (issue.code !== 'unrecognized_keys')
    return `${path === '' ? 'configuration' : path}: ${issueText(issue)}`
  return issue.keys
    .map((key) => {
      const full = path === '' ? key : `${path}.${key}`
      const close = nearest(key, knownKeys(issue.path))
      return `unknown key "${full}"${close === undefined ? '' : `, did you mean "${close}"?`}`
    })
    .join('; ')
}

function knownKeys(path: readonly PropertyKey[]): string[] {
  const [section] = path
  if (section === undefined) return Object.keys(Config.shape)
  if (path.length > 1 || !Object.hasOwn(Config.shape, section)) return []
  const schema = Config.shape[section as keyof typeof Config.shape]
  return Object.keys((schema.def.innerType as z.ZodObject).shape)
}
