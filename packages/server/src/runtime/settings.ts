/** The `runtime` section of the configuration. */
import * as z from 'zod'

export const RuntimeSettings = z.strictObject({
  /** With `--dev`: requests without a key act as an administrator, on loopback only. */
  anonymous: z.boolean().default(false),
  /** Requests of one key in a minute, and at once; 0 for no limit. With `--dev` no limit unless set. */
  rate_limit_per_minute: z.int().min(0).max(1_000_000).optional(),
  rate_limit_burst: z.int().min(1).max(1_000_000).optional(),
  /** Addresses whose `X-Forwarded-For` counts. */
  trusted_proxies: z.array(z.string().min(1)).max(64).default([]),
  /** How clients reach this server, such as `https://vestry.example.com`; absent: as the request at hand did. */
  public_url: z
    .url({ protocol: /^https?$/ })
    .max(512)
    .optional(),
  cors_origins: z.array(z.url()).max(64).default([]),
  /** Vault path of the HS256 secret with which tokens of other clients are signed; absent: none are accepted. */
  jwt_secret: z.string().min(1).optional(),
  /** Tools of MCP servers that nobody reviewed may be called. With `--dev` they may. */
  allow_unreviewed_tools: z.boolean().default(false),
  /** A program that may do more than what of its agent serves in the same environment is deployed after an operator's yes. */
  require_widening_approval: z.boolean().default(false),
  /** The reviewer must be somebody else than the submitter. */
  four_eyes: z.boolean().default(false),
  /** Tools with a risk score of at most this and no finding of medium severity or more are approved by themselves; absent: none. */
  auto_approve_score: z.int().min(0).max(100).optional(),
  /** Tools with a critical finding of confidence 0.9 or more are rejected by themselves. */
  auto_reject: z.boolean().default(false),
  /** Signing identity of the key that is made on first start. */
  signing_domain: z.string().min(1).max(253).default('localhost'),
  signing_developer: z.string().min(1).max(128).default('Vestry'),
  /** Where keys of providers are looked up over plain HTTP and on private addresses; for tests. */
  insecure_key_discovery: z.boolean().default(false),
  mcp_enabled: z.boolean().default(true),
  /** Servers are connected at start, unless their own configuration says otherwise. */
  mcp_auto_connect: z.boolean().default(true),
  /** Listeners of HTTP inputs without authentication may leave loopback. */
  allow_open_listeners: z.boolean().default(false),
  /** Model calls of one execution of an agent. */
  agent_max_iterations: z.int().min(1).max(100).default(15),
  agent_tool_timeout_seconds: z.int().min(1).max(600).default(120),
  /** Seconds after which an execution of an agent ends, whatever it does. */
  agent_timeout_seconds: z.int().min(1).max(86_400).default(900),
  /** Executions of agents that may wait for a free place. */
  agent_queue_max: z.int().min(1).max(100_000).default(1_000),
  /** Agents that run elsewhere tell this often that they are alive; silent for three times as long, they are gone. */
  agent_heartbeat_seconds: z.int().min(1).max(86_400).default(60),
  agent_concurrency: z.int().min(1).max(1_024).default(8),
  /** Runs of workflows at once; one that waits for something holds no place. */
  workflow_concurrency: z.int().min(1).max(1_024).default(32),
  /** Runs of workflows that may wait for a free place. */
  workflow_queue_max: z.int().min(1).max(100_000).default(10_000),
  /** Runs of workflows that have not ended, those that wait for a signal, a yes or a time among them. */
  workflow_open_max: z.int().min(1).max(1_000_000).default(100_000),
  /** Of runs whose definition names no time. */
  workflow_timeout_seconds: z.int().min(1).max(2_592_000).default(2_592_000),
  /** Where workflows may read files; relative to the home directory. */
  data_root: z.string().min(1).max(4_096).default('data'),
  /** What turns knowledge into vectors: a model that comes with the package, words alone, or a provider's model. */
  knowledge_embedder: z.enum(['offline', 'hashing', 'provider']).default('offline'),
  /** `provider:model`, asked through the LLM gateway. */
  knowledge_model: z.string().min(3).max(256).default('openai:text-embedding-3-small'),
  /** Of a provider's vectors; absent: as the model has them by itself. */
  knowledge_dimension: z.int().min(8).max(4_096).optional(),
  /** Name of the agent as which a provider is asked for embeddings: its policy, budget and record. */
  knowledge_agent: z.string().min(1).max(128).default('knowledge'),
})
export type RuntimeSettings = z.output<typeof RuntimeSettings>
