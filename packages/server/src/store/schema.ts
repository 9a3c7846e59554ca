/**
 * Every table of the store, as Kysely sees it. `migrations.ts` creates them; the two change together.
 * Times are epoch milliseconds, `*_json` columns are JSON text, `mac` is the row MAC of seal/row-mac.ts,
 * blobs are the bytes that seal/ wrote.
 */
import type { Generated } from 'kysely'

export interface Tables {
  /** Facts about the store itself: `vault_id`, `generation`, `audit_head`. */
  meta: { key: string; value: string }
  /** One row per way to open the root key. */
  slot: {
    id: string
    type: 'passphrase' | 'keyfile' | 'shamir'
    label: string
    kdf_json: string
    nonce: Uint8Array
    wrapped_root: Uint8Array
    created_at: number
  }
  /** The single sealed keyring; `id` is always 1. */
  keyring: { id: number; nonce: Uint8Array; ct: Uint8Array; updated_at: number }
  agent: {
    id: string
    name: string
    display_name: string
    role: string
    status: 'enabled' | 'disabled' | 'revoked'
    /** `AgentKey[]` of identity/agent.ts. */
    keys_json: string
    spiffe_id: string
    meta_json: string
    require_sig_v2: number
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  operator: {
    id: string
    name: string
    role: 'owner' | 'admin' | 'auditor' | 'approver'
    /** Raw Ed25519 public key, 32 bytes. */
    public_key: Uint8Array
    status: 'enabled' | 'revoked'
    created_at: number
    mac: Uint8Array
  }
  api_key: {
    /** The `keyid` half; the secret half exists only as `hash`. */
    id: string
    name: string
    role: 'owner' | 'admin' | 'auditor' | 'approver' | 'agent'
    /** Set when the key acts as one agent. */
    agent_id: string | null
    /** HMAC-SHA-256(hash key, secret). */
    hash: Uint8Array
    status: 'enabled' | 'revoked'
    created_at: number
    expires_at: number | null
    mac: Uint8Array
  }
  policy: {
    /** `vault:<name>` for imported vault rules, `gateway:<uuid>` for gateway policies; the Cedar `@id` otherwise. */
    id: string
    format: 'cedar' | 'vault' | 'gateway'
    /** Cedar text, imported or as written. */
    text: string
    /** Cedar's JSON form of `text`, compiled at start without the wasm engine; of a gateway policy its owner and spec. */
    json: string
    /** What the operator gave, in its own format. */
    source: string
    /** SHA-256 hex of `json`. */
    digest: string
    enabled: number
    position: number
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  /** Policy sets that decided something, by digest, so that an old decision can be explained. */
  policy_set: { digest: string; json: string; created_at: number }
  credential: {
    path: string
    type: string | null
    description: string | null
    /** JSON array of strings. */
    tags_json: string
    metadata_json: string
    /** `CredentialSettings` of vault/credential.ts: allowed_hosts, inject, key_encoding, use_only … */
    settings_json: string
    /** Current version; 0 when none was written. */
    version: number
    min_decrypt_version: number
    created_at: number
    updated_at: number
    expires_at: number | null
    deleted_at: number | null
    mac: Uint8Array
  }
  credential_version: {
    path: string
    version: number
    /** SNCR record of seal/record.ts; empty once destroyed. */
    record: Uint8Array
    created_at: number
    created_by: string
    destroyed_at: number | null
    /** Encryptions made with this version, rounded up to the last reserved block. */
    encryptions: number
    mac: Uint8Array
  }
  /** Row MACs that came and went in the transaction under way; triggers write it, `change` empties it. */
  row_change: { table: string; before: Uint8Array | null; after: Uint8Array | null }
  /** Written behind, for listing and for closing leases after a crash; the live truth is in memory. */
  lease: {
    /** HMAC of the lease id: a stolen database hands out no lease ids. */
    id_hash: string
    /** Which of the nodes that share the store granted it; empty where only one exists. */
    node: Generated<string>
    agent_id: string
    path: string
    version: number
    kind: 'retrieve' | 'header' | 'wrap' | 'backend'
    policy: string
    request_id: string
    issued_at: number
    expires_at: number
    state: 'live' | 'released' | 'expired' | 'revoked'
    reason: string | null
    ended_at: number | null
  }
  approval: {
    id: string
    agent_id: string
    /** The agent's name when it asked. */
    agent: string
    action: string
    resource: string
    /** One line for who decides: addresses, names and sizes, never values. */
    summary: string
    /** What the agent said it is for. */
    reason: string | null
    /** SHA-256 hex of the canonical parameters. */
    params_digest: string
    policy_id: string
    state: 'pending' | 'allowed' | 'denied' | 'used'
    /** `once`, or epoch ms until which the grant holds. */
    scope: string
    requested_at: number
    decided_at: number | null
    decided_by: string | null
    expires_at: number
    mac: Uint8Array
  }
  /** One row per window (fixed) or per slot of a window (sliding); `used` is what was charged in it. */
  limit_window: { key: string; window_start: number; used: number; expires_at: number }
  /** `reserved` is the sum of the key's holds. Whole numbers in the unit of the budget. */
  budget: { key: string; reserved: number; spent: number; updated_at: number }
  budget_hold: { id: string; key: string; amount: number; expires_at: number }
  /** The durable journal of effects (journal/journal.ts). */
  execution: {
    id: string
    /** Which part runs it: `gateway`. */
    kind: string
    /** SHA-256 hex of what must not happen twice; unique within its kind. */
    key: string | null
    /** SHA-256 hex of what was asked under the key. */
    fingerprint: string | null
    agent_id: string
    /** What it does, for lists: `gmail_send:send`. */
    subject: string
    /** Somebody waits for it, or a worker picks it up. */
    mode: 'inline' | 'queued'
    /** May run again after a crash. */
    repeatable: number
    state: 'reserved' | 'sent' | 'done' | 'failed' | 'unknown'
    /** Of a failed one: the upstream may have been reached. */
    reached: number
    /** The process that runs it, and until when nobody else may take it over. */
    owner: string | null
    owner_until: number | null
    attempts: number
    /** Not before. */
    run_at: number
    /** Kept this long after its end. */
    retain_ms: number
    /** SNCR records of seal/record.ts. */
    input: Uint8Array | null
    output: Uint8Array | null
    error_code: string | null
    created_at: number
    started_at: number | null
    finished_at: number | null
    /** Of an ended one: when it is forgotten. */
    expires_at: number | null
  }
  /** The registry of gateway tokens; the token itself is nowhere. */
  gateway_token: {
    id: string
    /** What the mint answered. */
    token_id: string
    agent_id: string
    /** SHA-256 hex of the payload. */
    payload_hash: string
    tools_json: string
    permissions_json: string
    /** Default intent. */
    intent: string | null
    txn: string
    issued_at: number
    expires_at: number
    revoked_at: number | null
    mac: Uint8Array
  }
  /** Nonces of signed token requests, each good for once. */
  agent_nonce: { agent_id: string; nonce: string; expires_at: number }
  /** HTTP tools that operators defined; `id` is the tool's name. */
  tool: {
    id: string
    definition_json: string
    /** `sha256:…` over the schemapin-v1 form of the definition. */
    digest: string
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  /** Runs: transactions that were registered, and what their tokens may say. */
  run: {
    /** Also the `txn` of what happens in it. */
    id: string
    agent_id: string
    spiffe_id: string
    definition_json: string
    /** The node whose sockets and files serve it. */
    node: string
    uid: number | null
    state: 'open' | 'closed'
    /** Tokens made from other tokens; the one column that the MAC leaves out. */
    replacements: number
    created_at: number
    expires_at: number
    closed_at: number | null
    mac: Uint8Array
  }
  /** Keys that sign the tokens of runs. */
  run_key: {
    /** The `kid`. */
    id: string
    use: 'trat' | 'svid'
    alg: string
    public_jwk: string
    /** SNCR record of seal/record.ts: PKCS #8. */
    private_key: Uint8Array
    created_at: number
    active_at: number
    retired_at: number | null
    mac: Uint8Array
  }
  /** What an agent's processes may claim; agents without a row have the standard terms. `id` is the agent's. */
  claim_terms: {
    id: string
    terms_json: string
    updated_at: number
    mac: Uint8Array
  }
  /** Which process is which agent. A row goes when its claim ends; the MAC covers all of it. */
  claim: {
    /** The `jti`. */
    id: string
    agent_id: string
    /** The node on whose host the process runs, and the boot of that host: a pid means nothing elsewhere. */
    node: string
    boot_id: string
    definition_json: string
    issued_at: number
    expires_at: number
    mac: Uint8Array
  }
  /** A tool's way through review. `tool_json` is canonical schemapin-v1 text. The MAC covers the row. */
  review: {
    id: string
    tool_json: string
    tool_name: string
    provider_name: string
    schema_hash: string
    submitted_by: string
    /** In lower case, to be found by. */
    submitted_by_key: string
    /** Id of the agent whose key submitted it; empty where administrators alone may see it. */
    owner: string
    /** 0 urgent, 1 high, 2 normal, 3 low. */
    priority: number
    status: string
    state_json: string
    /** Canonical text of what was seen or signed before, where the submitter knew it. */
    before_json: string | null
    /** Raised by each change; a change names the one it saw. */
    version: number
    submitted_at: number
    updated_at: number
    /** When the analysis it has now ended. */
    analysed_at: number | null
    /** When a person decided it. */
    decided_at: number | null
    mac: Uint8Array
  }
  review_analysis: {
    id: string
    review_id: string
    risk_score: number
    result_json: string
    duration_ms: number
    completed_at: number
    mac: Uint8Array
  }
  /** Hash-chained per review. */
  review_transition: {
    review_id: string
    seq: number
    at: number
    from_status: string
    to_status: string
    actor: string
    detail_json: string
    prev_hash: string
    hash: string
  }
  signing_key: {
    id: string
    domain: string
    developer_name: string
    public_key_pem: string
    fingerprint: string
    /** SNCR record of seal/record.ts: PKCS #8. */
    private_key: Uint8Array
    status: 'active' | 'revoked'
    revoked_at: number | null
    revoked_reason: string | null
    created_at: number
    mac: Uint8Array
  }
  /** `id` is that of the review. */
  tool_signature: {
    id: string
    tool_name: string
    provider_name: string
    /** The exact text that was signed. */
    canonical_json: string
    schema_hash: string
    signature: string
    profile: string
    signing_key_id: string
    key_fingerprint: string
    signer_id: string
    signed_at: number
    /** Digest of the tool of that name and provider which was signed before and differs. */
    previous_hash: string | null
    mac: Uint8Array
  }
  /** Keys of others, trusted on first use; `id` is `tool_id@domain`. */
  key_pin: { id: string; pins_json: string; updated_at: number; mac: Uint8Array }
  /** Settings that hold secrets, such as the back end of secrets; `record` is an SNCR record. */
  sealed_setting: {
    id: string
    record: Uint8Array
    version: number
    updated_at: number
    mac: Uint8Array
  }
  /** `id` is the server's name; `record` seals its whole configuration. */
  mcp_server: {
    id: string
    transport: string
    record: Uint8Array
    version: number
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  /** What a server's tool looked like when it was first seen; `id` is `server/tool`. */
  mcp_tool_pin: {
    id: string
    server: string
    tool: string
    digest: string
    definition_json: string
    first_seen_at: number
    changed_at: number | null
    /** The last other definition that was reported. */
    seen_digest: string | null
    review_id: string | null
    mac: Uint8Array
  }
  /** What the runtime knows of an agent beyond its identity; `id` is the agent's. */
  runtime_agent: {
    id: string
    definition_json: string
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  /** Executions of agents. `id` is also the execution's in the journal, and its transaction. */
  agent_run: {
    id: string
    agent_id: string
    status: string
    trigger: string
    /** Names and numbers only. */
    facts_json: string
    /** SNCR record of what was asked and what was answered. */
    content: Uint8Array
    created_at: number
    started_at: number | null
    finished_at: number | null
  }
  /** What was sent to agents. */
  agent_message: {
    id: string
    /** Who gets it. */
    agent_id: string
    status: string
    /** SNCR record. */
    record: Uint8Array
    bytes: number
    created_at: number
    expires_at: number
  }
  /** Listeners for requests of others; `record` seals the configuration, which may hold a password. */
  http_input: {
    id: string
    record: Uint8Array
    version: number
    enabled: number
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  http_endpoint: {
    id: string
    method: string
    path: string
    config_json: string
    status: string
    created_by: string
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  /** Counters that outlive a restart; written behind. */
  runtime_stat: { id: string; stats_json: string; updated_at: number }
  /** One step of a durable execution (journal/steps.ts): begun at most once at a time, kept with its result. */
  execution_step: {
    execution_id: string
    /** Unique within the execution; the same at every run of it. */
    key: string
    kind: string
    state: 'sent' | 'done' | 'failed' | 'waiting'
    /** Doing it twice does no harm: it runs again after a crash. */
    repeatable: number
    attempts: number
    error_code: string | null
    /** SNCR record of seal/record.ts. */
    output: Uint8Array | null
    /** Of one that waits: when it is tried next. */
    run_at: number | null
    started_at: number
    finished_at: number | null
  }
  /** `definition_json` is canonical. */
  workflow_definition: {
    id: string
    version: string
    definition_json: string
    created_by: string
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  /** Runs of workflows. `id` is also the execution's in the journal, and its transaction. */
  workflow_run: {
    id: string
    workflow_id: string
    /** Id of the agent in whose name it runs. */
    agent_id: string | null
    /** The run whose step this is. */
    parent_id: string | null
    status: string
    trigger: string
    /** Names and numbers only. */
    facts_json: string
    /** SNCR record of the definition as it was, the parameters and the result. */
    content: Uint8Array
    created_at: number
    started_at: number | null
    finished_at: number | null
  }
  /** What somebody told a run; `record` is an SNCR record. */
  workflow_signal: { execution_id: string; name: string; record: Uint8Array; created_at: number }
  /** A version of an agent that is written in the DSL; `id` is `<agent id>/<version>`. */
  dsl_program: {
    id: string
    agent_id: string
    version: number
    source: string
    /** SHA-256 hex of `source`. */
    source_hash: string
    definition_json: string
    /** What it asks for, from which its policies are made. */
    permissions_json: string
    created_by: string
    created_at: number
    mac: Uint8Array
  }
  deployment: {
    id: string
    agent_id: string
    /** Of `dsl_program`; null for an agent that is no program. */
    program_version: number | null
    environment: string
    status: string
    config_json: string
    facts_json: string
    /** Raised by each change; a change names the one it saw. */
    revision: number
    created_by: string
    deployed_at: number
    stopped_at: number | null
    mac: Uint8Array
  }
  webhook_delivery: {
    id: string
    deployment_id: string
    execution_id: string | null
    at: number
  }
  /** Executions that have a place in a deployment. */
  deployment_run: {
    execution_id: string
    deployment_id: string
    at: number
  }
  schedule: {
    id: string
    name: string
    cron: string
    timezone: string
    agent_id: string
    /** The deployment that it is part of; it goes when that ends. */
    deployment_id: string | null
    one_shot: number
    enabled: number
    config_json: string
    created_by: string
    created_at: number
    updated_at: number
    mac: Uint8Array
  }
  schedule_state: {
    id: string
    next_run_at: number | null
    last_run_at: number | null
    run_count: number
    failure_count: number
  }
  schedule_run: {
    id: string
    schedule_id: string
    execution_id: string | null
    /** When it was to be; one run for each. */
    due_at: number
    status: string
    error: string | null
    started_at: number
    completed_at: number | null
  }
  /** What policy is asked about: all items with one owner, one kind of source and the same labels. */
  knowledge_class: {
    id: string
    /** Name of an agent; empty for shared knowledge. */
    owner: string
    /** The agent itself: a name that is free is given again. */
    owner_id: string
    source_type: string
    labels_json: string
    created_at: number
    mac: Uint8Array
  }
  knowledge_item: {
    id: string
    class_id: string
    source: string
    content: string
    /** SHA-256 hex of what was put in, so that the same again changes nothing. */
    content_hash: string
    metadata_json: string
    /** With what its chunks were embedded: name, dimension and version. */
    embedder: string
    timestamp: number
    created_at: number
    updated_at: number
  }
  knowledge_chunk: {
    item_id: string
    seq: number
    class_id: string
    text: string
    /** The headings above it. */
    heading: string
    /** float32, little endian, of length 1; null until it is embedded. */
    vector: Uint8Array | null
  }
  /** Which items changed, in the order of commit; an item has its newest change only. */
  knowledge_change: { revision: number; item_id: string; at: number }
  memory_node: {
    id: string
    /** Id of the agent: another one that gets its name does not get its memory. */
    agent: string
    conversation_id: string | null
    parent_id: string | null
    memory_type: string
    memory_level: string
    content_json: string
    metadata_json: string
    /** Of what the transaction that stored it had read. */
    labels_json: string
    importance: number
    access_count: number
    /** Id of what made the vector; empty where nothing did. */
    embedder: string
    /** float32, little endian, of length 1. */
    vector: Uint8Array | null
    timestamp: number
    last_accessed: number | null
    created_at: number
  }
  vector_collection: { id: string; config_json: string; created_at: number }
  vector_point: {
    collection: string
    id: string
    /** One or several named vectors, as `knowledge` packs them. */
    vectors: Uint8Array
    payload_json: string
    updated_at: number
  }
  /** Labels of what a transaction has read. */
  txn_label: { txn: string; label: string; at: number }
  /** Query index over the audit log; can be rebuilt from it. */
  audit_index: {
    /** Each node writes a chain of its own; empty where only one node exists. */
    node: Generated<string>
    seq: number
    timestamp: number
    action: string
    phase: string
    agent: string | null
    actor: string
    source: string
    success: number
    path: string | null
    request_id: string | null
    txn: string | null
    trace_id: string | null
    decision_id: string | null
    segment: string
    offset: number
    length: number
  }
}

/** Every table name, at run time; the compiler refuses a missing or an extra one. */
const NAMES: Record<keyof Tables, true> = {
  meta: true,
  slot: true,
  keyring: true,
  agent: true,
  operator: true,
  api_key: true,
  policy: true,
  policy_set: true,
  credential: true,
  credential_version: true,
  row_change: true,
  lease: true,
  approval: true,
  limit_window: true,
  budget: true,
  budget_hold: true,
  execution: true,
  gateway_token: true,
  agent_nonce: true,
  tool: true,
  run: true,
  run_key: true,
  claim_terms: true,
  claim: true,
  review: true,
  review_analysis: true,
  review_transition: true,
  signing_key: true,
  tool_signature: true,
  key_pin: true,
  sealed_setting: true,
  mcp_server: true,
  mcp_tool_pin: true,
  runtime_agent: true,
  agent_run: true,
  agent_message: true,
  http_input: true,
  http_endpoint: true,
  runtime_stat: true,
  execution_step: true,
  workflow_definition: true,
  workflow_run: true,
  workflow_signal: true,
  dsl_program: true,
  deployment: true,
  webhook_delivery: true,
  deployment_run: true,
  schedule: true,
  schedule_state: true,
  schedule_run: true,
  knowledge_class: true,
  knowledge_item: true,
  knowledge_chunk: true,
  knowledge_change: true,
  memory_node: true,
  vector_collection: true,
  vector_point: true,
  txn_label: true,
  audit_index: true,
}
export const TABLE_NAMES: readonly string[] = Object.keys(NAMES).sort()
