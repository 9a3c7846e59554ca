/** What the methods of the client are given; keys are those of the wire (runtime contract §3–§14). */
import type {
  Agent,
  EndpointStatus,
  HttpInputConfig,
  HttpMethod,
  KnowledgeSourceType,
  SecretBackendType,
  VaultAuthMethod,
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
  }
}

export interface VectorSearchRequest {
  query: string
  agent_id?: string | null
  source_types?: readonly KnowledgeSourceType[]
  limit?: number
  similarity_threshold?: number
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
