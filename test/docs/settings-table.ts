/** The table of settings in docs/operations.md: keys, defaults and bounds from the schema, words from here. */
import * as z from 'zod'
import { Config } from '../../packages/server/src/app/config.ts'

/** Whoever adds a setting says here what it is for. */
const MEANING: Readonly<Record<string, string>> = {
  'http.host': 'address of the HTTP port',
  'http.port': 'its port; 0: any free one. `--port` wins',
  'store.url': '`sqlite:/absolute/path` or `postgres://…`. `--store` wins',
  'vault.socket': 'agents’ Unix socket',
  'vault.socket_mode': 'its mode, octal',
  'vault.sockets': 'more sockets `{path, agents}`, each for these agents only',
  'vault.listen_tcp': '`ADDRESS:PORT` for agents over TCP, e.g. `127.0.0.1:7600`',
  'vault.allow_plaintext_remote': 'yes, TCP beyond loopback without TLS is meant',
  'vault.keyfile': 'key file that unseals at start',
  'vault.raw_retrieval': '`false`: `retrieve` is refused for all, whatever policy says',
  'vault.compat_rust': 'answer the second dialect of the wire, too',
  'vault.max_request_bytes': 'largest frame of an authenticated agent',
  'vault.inflight_per_connection': 'requests in execution; beyond it, reading waits',
  'vault.connections': 'connections of all agents',
  'vault.connections_per_tcp_source': 'of one TCP address',
  'vault.connections_unauthenticated': 'not yet authenticated',
  'vault.idle_timeout': 'seconds; closes idle connections. 0: never',
  'vault.session_idle': 'seconds without a request that end a session',
  'vault.session_max': 'seconds that end it in any case',
  'vault.sessions_per_agent': 'sessions of one agent at once',
  'vault.default_ttl': 'seconds of a lease when nobody says',
  'vault.max_ttl': 'seconds; no lease is longer, no rule may say more',
  'vault.max_lifetime': 'seconds from issue; no renewal reaches further',
  'vault.leases_per_agent': 'live leases of one agent',
  'vault.leases_total': 'of all',
  'vault.revoke_on_disconnect': 'leases end 30 s after the agent’s last connection',
  'vault.revoke_on_policy_change': 'all leases end when policies change',
  'vault.lockout_mode': '`source` or `agent`, see [identity.md](identity.md#sessions)',
  'vault.http_requests_per_agent': '`http_request` of one agent at once',
  'vault.requests_in_flight': 'requests of all agents at once',
  'vault.docs_base_url': 'puts a link into `docs_url` of errors',
  'vault.auto_seal_idle': 'seconds without a request after which the vault seals. 0: never',
  'egress.allow_cidrs': 'private ranges that are opened, see [egress.md](egress.md#addresses)',
  'egress.ca_file': 'authorities trusted besides the system’s, PEM',
  'egress.timeout_ms': 'time of an `http_request` that names none',
  'identity.trust_domain': 'SPIFFE trust domain of new agents',
  'identity.tts_issuer': '`iss` of transaction tokens, see [runs.md](runs.md#two-tokens)',
  'identity.tts_audience': 'audience of SVIDs at `/token`',
  'identity.llm_audience': 'audience of SVIDs for models',
  'identity.trat_ttl_seconds': 'seconds of a transaction token; a run may say otherwise',
  'identity.svid_ttl_seconds': 'seconds of an SVID',
  'identity.leeway_seconds': 'seconds that clocks may differ',
  'identity.run_path_prefix': 'a SPIFFE ID below it names its run',
  'identity.max_replacements': 'tokens of one run that may be made from other tokens',
  'identity.bundle_file': 'SPIFFE bundle of another authority, a file',
  'identity.bundle_url': 'the same, an address',
  'gateway.mode': '`live` or `mock`, for all tools; see [gateway.md](gateway.md#tools)',
  'gateway.agent_auth_mode': '`signed`: token requests must be signed; `legacy`: they may be',
  'gateway.token_issue_cidrs': 'addresses that may ask for tokens; empty: any',
  'gateway.token_format': '`sealed`: claims are encrypted for `gateway.private_key`',
  'gateway.signing_secret':
    'vault path of a secret that signs tokens, in the place of the generated one',
  'gateway.signing_secrets_previous': 'vault paths of secrets that verify tokens only',
  'gateway.private_key': 'vault path of an RSA key, PEM, that opens sealed tokens',
  'gateway.proof_mode':
    '`lenient`: a proof must not contradict its token; `strict`: it must equal it; `off`',
  'gateway.max_token_ttl_minutes': 'minutes; a longer wish is reduced',
  'gateway.naive_expiry_zone': 'zone of expiry times that name none',
  'gateway.naive_expiry_max_minutes': 'minutes that such a time can ask for',
  'gateway.policy_denial_status':
    '400 or 403; with 403 old clients take denials for failed authentication',
  'gateway.seed_default_policies': 'a new vault gets a policy for each of four roles',
  'gateway.default_timezone': 'zone of gateway policies that name none',
  'gateway.rate_limit_points': 'calls of one agent within the next setting',
  'gateway.rate_limit_duration_s': 'seconds, sliding',
  'gateway.idempotency_ttl_seconds': 'seconds a key counts',
  'gateway.job_result_ttl_seconds': 'seconds a result is kept',
  'gateway.job_concurrency': 'jobs at once',
  'gateway.job_queue_max': 'jobs that may wait',
  'gateway.js_abort_guard': '424 for errors that would end a published client’s process',
  'gateway.body_limit_bytes': 'largest body of a request',
  'gateway.http_fetch_allowed_domains':
    'domains, with subdomains, that `http_fetch` may reach at all; empty: policy alone says',
  'gateway.cb_fail_threshold': 'failures of a provider that open its breaker',
  'gateway.cb_window_ms': 'ms in which they count',
  'gateway.cb_open_ms': 'ms it stays open',
  'gateway.cb_bulkhead_concurrency': 'calls of one tool at once',
  'gateway.retry_max_retries': 'attempts after the first',
  'gateway.retry_base_delay_ms': 'ms before the first of them; doubles',
  'gateway.retry_max_delay_ms': 'ms it grows to',
  'gateway.retry_jitter_factor': 'share of it that is random',
  'gateway.cache_enabled': 'searches and pages are kept for a minute or less',
  'gateway.cache_max_size': 'replies in the cache',
  'gateway.cors_origins': 'origins that browsers may call from',
  'gateway.chaos': 'a fifth of mocked calls fails; `--dev` only',
  'gateway.metrics_legacy_aliases': 'counters under their old names, too',
  'gateway.tools': 'see [gateway.md](gateway.md#tools)',
  'llm.socket': 'agents’ Unix socket for models',
  'llm.socket_mode': 'its mode, octal',
  'llm.required_scope': 'scope that a transaction token needs',
  'llm.providers': 'see [llm.md](llm.md#providers)',
  'llm.dlp':
    '`block`, `redact` or `allow` credentials in requests, see [llm.md](llm.md#what-leaves)',
  'llm.budgets': 'see [llm.md](llm.md#budgets-and-prices)',
  'llm.prices_file': 'YAML file with prices of your own',
  'llm.requests_per_run_minute': 'requests of a run',
  'llm.requests_per_org_minute': 'requests of an organisation',
  'llm.requests_per_model_minute': 'requests of an organisation to one model',
  'llm.in_flight_per_run': 'requests of a run at once',
  'llm.connections': 'connections of all agents',
  'llm.body_limit_bytes': 'largest body of a request',
  'llm.memory_limit_bytes': 'all request bodies that are held at once',
  'llm.header_timeout_ms': 'ms in which headers must arrive',
  'llm.body_timeout_ms': 'ms in which the body must',
  'llm.timeout_ms': 'ms for an answer that is not streamed',
  'llm.first_byte_timeout_ms': 'ms until a stream begins',
  'llm.idle_timeout_ms': 'ms of silence within a stream',
  'llm.stream_timeout_ms': 'ms of a whole stream',
  'llm.native_timeout_ms': 'ms of a request to `/v1/messages`',
  'llm.heartbeat_ms': 'ms of silence after which a client is told that the stream lives',
  'llm.default_max_tokens': 'sent to providers that demand a limit when the request has none',
  'llm.model_max_tokens': 'the same by model',
  'runtime.signing_domain': 'of the signing key that the first start makes',
  'runtime.signing_developer': 'whose key it is, for who verifies',
  'runtime.insecure_key_discovery':
    'keys of providers over plain http and on loopback; for tests, see [signing.md](signing.md#looking-up-keys)',
  'telemetry.pod_name': 'name of this node in the record',
  'telemetry.enabled': 'the queue socket and the identity socket are opened',
  'telemetry.queue_socket': 'where agents send events and submit actions',
  'telemetry.identity_socket': 'where their processes claim identities',
  'telemetry.socket_mode': 'mode of both, octal; `0666` where agents run as other users',
  'telemetry.pod_sockets': 'both are opened in `/run/envpod`, too, where that may be written to',
  'telemetry.max_capture':
    '`none`, `hash`, `summary`, `redacted` or `raw`: events that tell more are cut down to it',
  'telemetry.connections': 'connections of each of the two sockets; one process gets a quarter',
  'telemetry.lines_per_second': 'events of one connection; beyond it, reading waits',
  'telemetry.lines_burst': 'events of one connection at once',
  'telemetry.actions_per_minute': 'requests of the action queue, all callers together',
  'telemetry.submits_per_minute': 'of which submitted actions',
  'telemetry.claims_per_minute': 'claims of identities, per user',
  'telemetry.otel': 'where the record is exported to, see [export.md](export.md)',
  'runtime.anonymous': 'with `--dev`: requests without a key act as an administrator',
  'runtime.rate_limit_per_minute': 'requests of one key; 0: no limit',
  'runtime.rate_limit_burst': 'of them at once',
  'runtime.trusted_proxies': 'addresses or blocks whose `X-Forwarded-For` counts',
  'runtime.public_url':
    'how clients reach this server, for addresses in answers; default: as the request at hand did',
  'runtime.cors_origins': 'origins that browsers may call from',
  'runtime.jwt_secret':
    'vault path of the secret with which clients sign tokens, see [runtime.md](runtime.md#who-may-ask)',
  'runtime.allow_unreviewed_tools': 'tools of MCP servers that nobody reviewed may be called',
  'runtime.require_widening_approval':
    'a program that may do more than what of its agent serves in the environment is deployed after an approval',
  'runtime.four_eyes': 'the reviewer must be somebody else than the submitter',
  'runtime.auto_approve_score':
    'tools up to this risk score, without a finding of medium severity, are approved by themselves',
  'runtime.auto_reject': 'tools with a sure critical finding are rejected by themselves',
  'runtime.mcp_enabled': 'MCP servers may be added and connected',
  'runtime.mcp_auto_connect':
    'they are connected at start, unless they were added with `--no-auto-connect`',
  'runtime.allow_open_listeners': 'HTTP inputs without authentication may leave loopback',
  'runtime.agent_max_iterations': 'model calls of one execution',
  'runtime.agent_tool_timeout_seconds': 'seconds of one tool call',
  'runtime.agent_timeout_seconds': 'seconds of one execution',
  'runtime.agent_queue_max': 'executions that may wait',
  'runtime.agent_heartbeat_seconds':
    'seconds between signs of life of agents that run elsewhere; three that are missed are an error',
  'runtime.agent_concurrency': 'executions at once',
  'runtime.workflow_concurrency': 'runs of workflows at once; one that waits holds no place',
  'runtime.workflow_queue_max': 'runs of workflows that may wait for a free place',
  'runtime.workflow_open_max': 'runs of workflows that have not ended, those that wait among them',
  'runtime.workflow_timeout_seconds':
    'how long a workflow may take whose definition does not say so',
  'runtime.data_root': 'where workflows may read files; relative to the home directory',
  'runtime.knowledge_embedder':
    '`offline`: a model in the package; `hashing`: words alone; `provider`: a model through the LLM gateway',
  'runtime.knowledge_model': '`provider:model`, where a provider embeds',
  'runtime.knowledge_dimension': 'of a provider’s vectors; default: the model’s own',
  'runtime.knowledge_agent': 'agent as which a provider is asked for embeddings',
  'audit.rotate_bytes': 'a segment ends at this size',
  'audit.rotate_hours': 'or after this time',
  'limits.agent_requests': 'rate of requests of one agent',
  'limits.authenticate': 'rate of logins of one source',
}

/** Defaults that are not in the schema, because they depend on other things. */
const COMPUTED: Readonly<Record<string, string>> = {
  'store.url': '`data/vestry.db` in the home',
  'vault.socket': '`run/vault.sock` in the home',
  'vault.listen_tcp': 'off',
  'identity.tts_issuer': '`https://tts.` and the trust domain',
  'identity.tts_audience': '`spiffe://<trust domain>/tts`',
  'identity.llm_audience': '`spiffe://<trust domain>/llm-gateway`',
  'llm.socket': '`run/llm.sock` in the home',
  'llm.prices_file': 'list prices',
  'llm.requests_per_run_minute': '60; with `--dev` no limit',
  'llm.requests_per_org_minute': '600; with `--dev` no limit',
  'llm.requests_per_model_minute': '600; with `--dev` no limit',
  'gateway.mode': '`live`; with `--dev` what is configured',
  'gateway.signing_secret': 'made and sealed',
  'gateway.naive_expiry_zone': 'of the server',
  'gateway.rate_limit_points': '5; with `--dev` no limit',
  'runtime.rate_limit_per_minute': '600; with `--dev` no limit',
  'runtime.rate_limit_burst': '200, or a third of the limit',
  'runtime.jwt_secret': 'none are accepted',
  'runtime.auto_approve_score': 'none are',
  'telemetry.pod_name': 'host name',
  'telemetry.queue_socket': '`run/queue.sock` in the home',
  'telemetry.identity_socket': '`run/identity.sock` in the home',
  'telemetry.otel': 'off',
  'limits.agent_requests': '100/s, burst 200',
  'limits.authenticate': '10/s, burst 20',
}

interface Property {
  default?: unknown
  minimum?: number
  maximum?: number
  properties?: Record<string, Property>
}

export interface Setting extends Pick<Property, 'minimum' | 'maximum'> {
  /** `section.key` */
  key: string
  /** undefined: the schema has none. */
  default: unknown
}

export function settings(): Setting[] {
  const schema = z.toJSONSchema(Config, { io: 'input' }) as Property
  return Object.entries(schema.properties ?? {}).flatMap(([section, { properties = {} }]) =>
    Object.entries(properties).map(([name, { default: standard, minimum, maximum }]) => ({
      key: `${section}.${name}`,
      default: standard,
      ...(minimum !== undefined && { minimum }),
      ...(maximum !== undefined && { maximum }),
    })),
  )
}

/** @throws when a setting has no words, or words have no setting. */
export function settingsTable(): string {
  const all = settings()
  const strangers = Object.keys(MEANING).filter((key) => !all.some((known) => known.key === key))
  if (strangers.length > 0) throw new Error(`no such setting: ${strangers.join(', ')}`)
  const rows = all.map((setting) => {
    const meaning = MEANING[setting.key]
    if (meaning === undefined) throw new Error(`${setting.key} is not described`)
    return `| \`${setting.key}\` | ${standard(setting)} | ${bounds(setting)} | ${meaning} |`
  })
  return ['| Setting | Default | Range | |', '|---|---|---|---|', ...rows].join('\n')
}

function standard({ key, default: value }: Setting): string {
  if (value === undefined) return COMPUTED[key] ?? '–'
  return typeof value === 'number' ? String(value) : `\`${JSON.stringify(value)}\``
}

/** The schema writes the largest safe integer where it has no bound. */
function bounds({ minimum, maximum = Number.MAX_SAFE_INTEGER }: Setting): string {
  if (minimum === undefined) return ''
  return maximum < Number.MAX_SAFE_INTEGER ? `${minimum}–${maximum}` : `≥ ${minimum}`
}
