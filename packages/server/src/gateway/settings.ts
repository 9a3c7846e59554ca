/** The `gateway` section of the configuration, and what its parts read of it. */
import * as z from 'zod'

const ToolName = z.string().regex(/^[a-z][a-z0-9_]{0,31}$/, 'must be a tool name such as "crm"')
const milliseconds = (max: number) => z.int().min(1).max(max)

/** For a built-in tool where it is and which credential it uses; for any other name a whole definition. */
const ToolEntry = z.record(z.string(), z.unknown())

export const GatewaySettings = z.strictObject({
  /** Default: live; with `--dev` mock for every tool that is not configured. */
  mode: z.enum(['mock', 'live']).optional(),
  agent_auth_mode: z.enum(['legacy', 'signed']).default('legacy'),
  /** Addresses that may ask for tokens; empty: any. */
  token_issue_cidrs: z.array(z.string().min(1)).max(64).default([]),
  token_format: z.enum(['signed', 'sealed']).default('signed'),
  /** Vault paths. Absent: a secret is generated and sealed. */
  signing_secret: z.string().min(1).optional(),
  signing_secrets_previous: z.array(z.string().min(1)).max(8).default([]),
  /** Vault path of an RSA key as PEM: sealed tokens are accepted, and issued if so configured. */
  private_key: z.string().min(1).optional(),
  proof_mode: z.enum(['lenient', 'strict', 'off']).default('lenient'),
  max_token_ttl_minutes: z.int().min(1).max(1440).default(1440),
  /** IANA zone of expiry times without one; default: the server's. */
  naive_expiry_zone: z.string().min(1).optional(),
  naive_expiry_max_minutes: z.int().min(1).max(1440).default(60),
  policy_denial_status: z.union([z.literal(400), z.literal(403)]).default(400),
  seed_default_policies: z.boolean().default(true),
  default_timezone: z.string().min(1).default('UTC'),
  /** Calls of one agent in `rate_limit_duration_s`; default 5, with `--dev` no limit. */
  rate_limit_points: z.int().min(1).max(1_000_000).optional(),
  rate_limit_duration_s: z.int().min(1).max(86_400).default(60),
  idempotency_ttl_seconds: z.int().min(60).max(2_592_000).default(86_400),
  job_result_ttl_seconds: z.int().min(60).max(2_592_000).default(3_600),
  job_concurrency: z.int().min(1).max(1_024).default(4),
  job_queue_max: z.int().min(1).max(1_000_000).default(1_000),
  /** Keeps 5xx answers away from a client whose process they would end. */
  js_abort_guard: z.boolean().default(true),
  body_limit_bytes: z.int().min(1_024).max(67_108_864).default(1_048_576),
  /** Hosts, with their subdomains, that `http_fetch` may reach at all; empty: policy alone decides. */
  http_fetch_allowed_domains: z.array(z.string().min(1)).max(1_000).default([]),
  cb_fail_threshold: z.int().min(1).max(10_000).default(5),
  cb_window_ms: milliseconds(3_600_000).default(60_000),
  cb_open_ms: milliseconds(3_600_000).default(30_000),
  cb_bulkhead_concurrency: z.int().min(1).max(10_000).default(10),
  retry_max_retries: z.int().min(0).max(10).default(2),
  retry_base_delay_ms: milliseconds(60_000).default(250),
  retry_max_delay_ms: milliseconds(60_000).default(1_000),
  retry_jitter_factor: z.number().min(0).max(1).default(0.1),
  cache_enabled: z.boolean().default(true),
  cache_max_size: z.int().min(1).max(1_000_000).default(1_000),
  /** Origins that browsers may call from; empty: none. */
  cors_origins: z.array(z.url()).max(64).default([]),
  /** Fails a fifth of mock calls; refused without `--dev`. */
  chaos: z.boolean().default(false),
  metrics_legacy_aliases: z.boolean().default(false),
  tools: z.record(ToolName, ToolEntry).default({}),
})
export type GatewaySettings = z.output<typeof GatewaySettings>
