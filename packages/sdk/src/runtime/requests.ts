/** What the methods of the client are given; keys are those of the wire (runtime contract §3–§14). */
import type {
  Agent,
  EndpointStatus,
  HttpInputConfig,
  HttpMethod,
  KnowledgeSourceType,
  MemoryLevel,
  MemoryType,
  SecretBackendType,
  VaultAuthMethod,
  VectorDistance,
} from '@vestry/contract/runtime'

/** RFC 3339 text, or a date that is written as such. */
export type Timestamp = string | Date

export type AgentInput = Pick<
  Agent,
  | 'id'
  | 'name'
  | 'description'
  | 'system_prompt'
  | 'tools'
  | 'model'
  | 'temperature'
  | 'top_p'
  | 'max_tokens'
>

/** What an agent is asked. */
export interface ExecuteAgentRequest {
  /** Text, or anything that is then written as JSON. */
  input?: unknown
  parameters?: Readonly<Record<string, unknown>>
}

export interface AgentHeartbeat {
  /** As the agent's own machinery calls it: `Running`, `Waiting`, `Failed` and the like. */
  state: string
  metadata?: Readonly<Record<string, unknown>> | null
  last_result?: string | null
}

export interface AgentEvent {
  event_type: 'RunStarted' | 'RunCompleted' | 'RunFailed'
  payload?: unknown
}

export interface MessageInput {
  /** An agent's id. */
  sender: string
  payload: string
  topic?: string | null
  /** Default 300. */
  ttl_seconds?: number
}

export interface WorkflowExecutionRequest {
  workflow_id: string
  parameters: Readonly<Record<string, unknown>>
  agent_id?: string | null
}

/** A tool as it is submitted. Any keyword of JSON Schema may stand in `schema`. */
export interface ToolInput {
  name: string
  description: string
  schema: ToolSchemaInput
  provider: { name: string; public_key_url?: string | null | undefined }
}

export interface ToolSchemaInput {
  /** Default `object`. */
  type?: string
  properties: Readonly<Record<string, unknown>>
  required?: readonly string[]
  [keyword: string]: unknown
}

export interface ReviewSessionCreate {
  tool: ToolInput
  submitted_by: string
  /** Default `normal`. */
  priority?: 'low' | 'normal' | 'high' | 'urgent'
}

export interface HumanReviewDecision {
  decision: 'approve' | 'reject' | (string & {})
  comments?: string | null
  reviewer_id: string
}

export interface SigningRequest {
  review_id: string
  /** `default` is the key that is made on first start. */
  signing_key_id: string
}

/** A signature over a tool, and what it is checked with: a key, a domain's published key, or a review. */
export interface VerifyToolRequest {
  tool?: ToolInput
  document?: Readonly<Record<string, unknown>>
  signature?: string
  public_key_pem?: string
  domain?: string
  review_id?: string
  profile?: 'A' | 'B'
}

export interface ListReviewsQuery {
  /** From 1. Default 1. */
  page?: number
  /** 1 to 100. Default 20. */
  limit?: number
  status?: string
  /** Who submitted it, or who provides the tool. */
  author?: string
}

export interface VaultConfig {
  url: string
  auth_method: VaultAuthMethod
  token?: string | null
  role_id?: string | null
  secret_id?: string | null
  kubernetes_role?: string | null
  aws_role?: string | null
  [more: string]: unknown
}

export interface SecretBackendConfig {
  backend_type: SecretBackendType
  vault_config?: VaultConfig | null
  file_path?: string | null
  encryption_key?: string | null
}

export interface SecretRequest {
  agent_id: string
  secret_name: string
  secret_value: string
  description?: string | null
}

export interface McpServerConfig {
  name: string
  /** The program and its arguments, or one `http(s)://` address. */
  command: readonly string[]
  /** Values may be `secret://NAME` and `vault://PATH`: they are looked up when the server starts. */
  env?: Readonly<Record<string, string>>
  cwd?: string | null
  /** Default 30. */
  timeout_seconds?: number
  [more: string]: unknown
}

export interface KnowledgeItemInput {
  id: string
  content: string
  embedding?: readonly number[] | null
  metadata: {
    source: string
    source_type: KnowledgeSourceType
    chunk_index?: number | null
    timestamp: Timestamp
    agent_id?: string | null
    labels?: readonly string[]
  }
}

/** Either `text` or `base64`. */
export interface KnowledgeDocument {
  /** Default: the name. */
  id?: string
  name: string
  /** Default: as the name ends, such as `text/markdown` for `.md`. */
  media_type?: string
  text?: string
  base64?: string
  /** Default `document`. */
  source_type?: KnowledgeSourceType
  agent_id?: string | null
  labels?: readonly string[]
  timestamp?: Timestamp
}

export interface VectorSearchRequest {
  query: string
  agent_id?: string | null
  source_types?: readonly KnowledgeSourceType[]
  limit?: number
  similarity_threshold?: number
}

export interface ListKnowledgeQuery {
  agent_id?: string
  source_type?: KnowledgeSourceType
  /** From 1. */
  page?: number
  limit?: number
}

export interface ContextQuery {
  query: string
  agent_id?: string | null
  max_context_items?: number
  include_conversation_history?: boolean
}

export interface DslCompileRequest {
  dsl_content: string
  agent_name?: string | null
  validate_only?: boolean
}

export interface AgentDeployRequest {
  agent_id: string
  environment?: string
  config_overrides?: Readonly<Record<string, unknown>>
}

export type HttpInputConfigInput = Partial<Omit<HttpInputConfig, 'agent_id'>> & { agent_id: string }

export interface HttpInputCreateRequest {
  config: HttpInputConfigInput
}

export interface HttpInputUpdateRequest {
  server_id: string
  config: HttpInputConfigInput
}

export interface WebhookTriggerRequest {
  server_id: string
  payload: Readonly<Record<string, unknown>>
  headers?: Readonly<Record<string, string>>
}

export interface HttpEndpointCreateRequest {
  path: string
  method: HttpMethod
  agent_id: string
  description?: string | null
  auth_required?: boolean
  /** Requests in a minute. */
  rate_limit?: number | null
  timeout_seconds?: number
  middleware?: readonly string[]
  metadata?: Readonly<Record<string, unknown>>
}

/** What is absent stays as it is. */
export type HttpEndpointUpdateRequest = { endpoint_id: string } & Partial<
  HttpEndpointCreateRequest & { status: EndpointStatus }
>

export interface SigningKeyRequest {
  key_id: string
  domain: string
  developer_name: string
}

export interface ListExecutionsQuery {
  workflow_id?: string
  status?: string
}

/** A workflow that is kept by its name. */
export interface WorkflowDefinitionInput {
  id: string
  version: string
  description?: string
  /** JSON Schema of what it is given. */
  parameters: Readonly<Record<string, unknown>>
  steps: readonly Readonly<Record<string, unknown>>[]
  outputs?: Readonly<Record<string, string>>
  [more: string]: unknown
}

export interface ScheduleCreateRequest {
  name: string
  /** 5, 6 or 7 fields; Sunday is 0 or 7. Or one time in RFC 3339. */
  cron_expression: string
  agent_name: string
  /** Default `UTC`. */
  timezone?: string
  policy_ids?: readonly string[]
  /** Runs once and is done. */
  one_shot?: boolean
}

/** What is absent stays as it is. */
export type ScheduleUpdateRequest = Partial<ScheduleCreateRequest>

export interface MemoryStoreRequest {
  content: Readonly<Record<string, unknown>>
  memory_type: MemoryType
  memory_level: MemoryLevel
  agent_id: string
  conversation_id?: string | null
  /** 0 to 1. Default 0. */
  importance_score?: number
  parent_id?: string | null
  metadata?: Readonly<Record<string, unknown>>
}

export interface MemoryQuery {
  agent_id: string
  memory_id?: string | null
  conversation_id?: string | null
  memory_type?: MemoryType | null
  memory_level?: MemoryLevel | null
  parent_id?: string | null
}

export interface MemorySearchRequest {
  agent_id: string
  /** Members that must be equal; `text` is searched by its meaning. */
  query?: Readonly<Record<string, unknown>> | null
  memory_levels?: readonly MemoryLevel[] | null
  content_contains?: string | null
  importance_threshold?: number | null
  time_range?: { start?: Timestamp | null; end?: Timestamp | null } | null
  /** Default 50. */
  limit?: number
}

export interface CollectionCreateRequest {
  name: string
  /** 1 to 8192. */
  vector_size: number
  /** Default `Cosine`. */
  distance?: VectorDistance
  on_disk_payload?: boolean
  hnsw_config?: Readonly<Record<string, unknown>> | null
  optimizers_config?: Readonly<Record<string, unknown>> | null
}

export interface VectorUpsertRequest {
  collection_name: string
  points: readonly {
    id: string | number
    vector: readonly number[] | Readonly<Record<string, readonly number[]>>
    payload?: Readonly<Record<string, unknown>>
  }[]
  wait?: boolean
}

export interface PointSearchRequest {
  collection_name: string
  vector: readonly number[]
  /** Which of several named vectors. */
  using?: string
  /** Members of the payload that must be equal. */
  filter?: Readonly<Record<string, unknown>> | null
  /** Default 10. */
  limit?: number
  score_threshold?: number | null
}

export interface VectorDeleteRequest {
  collection_name: string
  ids: readonly (string | number)[]
}
