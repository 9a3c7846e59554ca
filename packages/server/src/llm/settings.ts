/** The `llm` section of the configuration, and what its parts read of it. */
import * as z from 'zod'
import { BudgetSettings } from './budget-settings.ts'

const milliseconds = (max: number) => z.int().min(10).max(max)
const PerMinute = z.int().min(1).max(1_000_000)

/** `mock` is the built-in stand-in: it answers from the request alone and needs no network. */
export const PROVIDER_KINDS = [
  'openai',
  'anthropic',
  'google',
  'openai-compatible',
  'mock',
] as const
export type ProviderKind = (typeof PROVIDER_KINDS)[number]

const ProviderEntry = z.strictObject({
  /** Default: the entry's own name, or `openai-compatible` for any other name. */
  kind: z.enum(PROVIDER_KINDS).optional(),
  /** Default: where the provider lives. */
  base_url: z
    .url({ protocol: /^https?$/ })
    .refine((text) => !/[?#@]/.test(text), 'must have no query, fragment or user')
    .optional(),
  /** Vault path of the key; default `llm/<name>`. False: the server asks for none. */
  credential: z.union([z.string().min(1), z.literal(false)]).optional(),
})
type ProviderEntry = z.output<typeof ProviderEntry>

const Providers = z
  .record(z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, 'must be a provider name'), ProviderEntry)
  .superRefine((providers, context) => {
    for (const [name, entry] of Object.entries(providers)) {
      if (kindOf(name, entry) !== 'openai-compatible' || entry.base_url !== undefined) continue
      context.addIssue({
        code: 'custom',
        path: [name, 'base_url'],
        message: 'is needed: nobody knows where it lives',
      })
    }
  })

/** Whose API a provider speaks: what its entry says, else what its name says. */
export function kindOf(name: string, entry: Pick<ProviderEntry, 'kind'> | undefined): ProviderKind {
  return entry?.kind ?? PROVIDER_KINDS.find((kind) => kind === name) ?? 'openai-compatible'
}

export const LlmSettings = z.strictObject({
  /** Unix socket of agents; default `run/llm.sock` in the home. */
  socket: z.string().min(1).optional(),
  socket_mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0600"')
    .default('0600'),
  /** What a transaction token must be good for. */
  required_scope: z.string().min(1).max(128).default('scan.execute'),
  providers: Providers.default({}),
  /** What becomes of a request that holds a provider key, a private key or a token. */
  dlp: z.enum(['allow', 'redact', 'block']).default('block'),
  budgets: BudgetSettings.prefault({}),
  /** Prices of your own, instead of the list prices that come with this version. */
  prices_file: z.string().min(1).optional(),
  /** Defaults 60, 600 and 600; with `--dev` no limit. */
  requests_per_run_minute: PerMinute.optional(),
  requests_per_org_minute: PerMinute.optional(),
  requests_per_model_minute: PerMinute.optional(),
  /** Requests of one run at once. */
  in_flight_per_run: z.int().min(1).max(1_024).default(16),
  connections: z.int().min(1).max(65_536).default(512),
  body_limit_bytes: z.int().min(1_024).max(67_108_864).default(20_971_520),
  /** All request bodies that are held in memory together. */
  memory_limit_bytes: z.int().min(1_048_576).max(4_294_967_296).default(536_870_912),
  header_timeout_ms: milliseconds(60_000).default(10_000),
  body_timeout_ms: milliseconds(600_000).default(60_000),
  /** For an answer that is not streamed. Below the 120 s after which published clients give up. */
  timeout_ms: milliseconds(600_000).default(110_000),
  first_byte_timeout_ms: milliseconds(600_000).default(110_000),
  idle_timeout_ms: milliseconds(600_000).default(150_000),
  stream_timeout_ms: milliseconds(3_600_000).default(600_000),
  /** For the native Anthropic route, which carries whole agent turns. */
  native_timeout_ms: milliseconds(3_600_000).default(600_000),
  /** Silence on a stream after which a comment line tells the client that it lives. */
  heartbeat_ms: milliseconds(110_000).default(15_000),
  /** Sent to providers that demand a limit when the request has none; a model's own entry comes first. */
  default_max_tokens: z.int().min(1).max(1_000_000).default(4_096),
  model_max_tokens: z.record(z.string().min(1), z.int().min(1).max(1_000_000)).default({}),
})
export type LlmSettings = z.output<typeof LlmSettings>
