/**
 * What the runtime API answers and is asked (runtime contract §3–§14), as shapes that are checked at run time. Members
 * that are not named here are kept: newer servers say more.
 */
import * as z from 'zod'

/** An enum as a constant object and a type of the same name: `ReviewStatus.APPROVED` is `'approved'`. */
type Values<T> = T[keyof T]

export const AgentState = {
  IDLE: 'idle',
  ACTIVE: 'active',
  BUSY: 'busy',
  ERROR: 'error',
  STOPPED: 'stopped',
} as const
export type AgentState = Values<typeof AgentState>

export const ReviewStatus = {
  SUBMITTED: 'submitted',
  PENDING_ANALYSIS: 'pending_analysis',
  ANALYZING: 'analyzing',
  PENDING_REVIEW: 'pending_review',
  UNDER_REVIEW: 'under_review',
  APPROVED: 'approved',
  REJECTED: 'rejected',
  SIGNED: 'signed',
} as const
export type ReviewStatus = Values<typeof ReviewStatus>

export const FindingSeverity = {
  LOW: 'low',
  MEDIUM: 'medium',
  HIGH: 'high',
  CRITICAL: 'critical',
} as const
export type FindingSeverity = Values<typeof FindingSeverity>

export const FindingCategory = {
  SCHEMA_INJECTION: 'schema_injection',
  PRIVILEGE_ESCALATION: 'privilege_escalation',
  DATA_EXPOSURE: 'data_exposure',
  MALICIOUS_CODE: 'malicious_code',
  RESOURCE_ABUSE: 'resource_abuse',
} as const
export type FindingCategory = Values<typeof FindingCategory>

/** `VESTRY` is this server's own vault and the default. */
export const SecretBackendType = {
  VAULT: 'vault',
  ENCRYPTED_FILE: 'encrypted_file',
  OS_KEYCHAIN: 'os_keychain',
  VESTRY: 'vestry',
} as const
export type SecretBackendType = Values<typeof SecretBackendType>

export const VaultAuthMethod = {
  TOKEN: 'token',
  KUBERNETES: 'kubernetes',
  AWS_IAM: 'aws_iam',
  APPROLE: 'approle',
} as const
export type VaultAuthMethod = Values<typeof VaultAuthMethod>

export const McpConnectionStatus = {
  CONNECTED: 'connected',
  DISCONNECTED: 'disconnected',
  CONNECTING: 'connecting',
  ERROR: 'error',
} as const
export type McpConnectionStatus = Values<typeof McpConnectionStatus>

export const KnowledgeSourceType = {
  DOCUMENT: 'document',
  CODE: 'code',
  API_REFERENCE: 'api_reference',
  CONVERSATION: 'conversation',
} as const
export type KnowledgeSourceType = Values<typeof KnowledgeSourceType>

export const RouteMatchType = {
  PATH_PREFIX: 'path_prefix',
  HEADER_EQUALS: 'header_equals',
  JSON_FIELD_EQUALS: 'json_field_equals',
} as const
export type RouteMatchType = Values<typeof RouteMatchType>

export const HttpMethod = {
  GET: 'GET',
  POST: 'POST',
  PUT: 'PUT',
  DELETE: 'DELETE',
  PATCH: 'PATCH',
  HEAD: 'HEAD',
  OPTIONS: 'OPTIONS',
} as const
export type HttpMethod = Values<typeof HttpMethod>

export const EndpointStatus = {
  ACTIVE: 'active',
  INACTIVE: 'inactive',
  MAINTENANCE: 'maintenance',
  ERROR: 'error',
} as const
export type EndpointStatus = Values<typeof EndpointStatus>

export const MemoryType = {
  CONVERSATION: 'conversation',
  FACT: 'fact',
  EXPERIENCE: 'experience',
  CONTEXT: 'context',
  METADATA: 'metadata',
} as const
export type MemoryType = Values<typeof MemoryType>

export const MemoryLevel = {
  SHORT_TERM: 'short_term',
  LONG_TERM: 'long_term',
  EPISODIC: 'episodic',
  SEMANTIC: 'semantic',
} as const
export type MemoryLevel = Values<typeof MemoryLevel>

export const VectorDistance = { COSINE: 'Cosine', EUCLIDEAN: 'Euclidean', DOT: 'Dot' } as const
export type VectorDistance = Values<typeof VectorDistance>

const text = z.string()
const optionalText = z.string().nullish()
const count = z.int()
const amount = z.number()
/** RFC 3339, UTC. */
const time = z.string()
const optionalTime = z.string().nullish()
/** As it came: a copy would lose a member called `__proto__`, which a signature may cover. */
const json = z.custom<Record<string, unknown>>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'expected an object',
)

/** Any JSON object: what methods without a model of their own answer. */
export const AnyObject = json
export type AnyObject = z.output<typeof AnyObject>

export const HealthResponse = z.looseObject({
  status: text,
  uptime_seconds: count,
  timestamp: time,
  version: text,
})
export type HealthResponse = z.output<typeof HealthResponse>

export const SystemMetrics = z.looseObject({
  uptime_seconds: count,
  memory_usage_bytes: count,
  memory_usage_percent: amount,
  cpu_usage_percent: amount,
  disk_usage_bytes: count,
  disk_usage_percent: amount,
  active_agents: count,
  total_agents: count,
  secrets_count: count,
  mcp_connections: count,
  vector_db_items: count,
})
export type SystemMetrics = z.output<typeof SystemMetrics>

export const AgentMetrics = z.looseObject({
  agent_id: text,
  tasks_completed: count,
  tasks_failed: count,
  average_response_time_ms: amount,
  memory_usage_bytes: count,
  cpu_usage_percent: amount,
  last_activity: time,
  uptime_seconds: count,
})
export type AgentMetrics = z.output<typeof AgentMetrics>

export const Agent = z.looseObject({
  id: text,
  name: text,
  description: text,
  system_prompt: text,
  tools: z.array(text),
  model: text,
  temperature: amount,
  top_p: amount,
  max_tokens: count,
})
export type Agent = z.output<typeof Agent>

export const ResourceUsage = z.looseObject({
  memory_bytes: count,
  cpu_percent: amount,
  active_tasks: count,
})
export type ResourceUsage = z.output<typeof ResourceUsage>

export const AgentStatusResponse = z.looseObject({
  agent_id: text,
  state: z.enum(AgentState),
  last_activity: time,
  resource_usage: ResourceUsage,
})
export type AgentStatusResponse = z.output<typeof AgentStatusResponse>

export const AgentExecutionStarted = z.looseObject({ execution_id: text, status: text })
export type AgentExecutionStarted = z.output<typeof AgentExecutionStarted>

export const AgentExecution = z.looseObject({
  execution_id: text,
  agent_id: text,
  status: text,
  started_at: time,
  completed_at: optionalTime,
  result: json.nullish(),
  error: json.nullish(),
})
export type AgentExecution = z.output<typeof AgentExecution>

export const AgentHistory = z.looseObject({
  history: z.array(z.looseObject({ execution_id: text, status: text, timestamp: time })),
})
export type AgentHistory = z.output<typeof AgentHistory>

export const AgentMessage = z.looseObject({
  message_id: text,
  sender: text,
  recipient: optionalText,
  topic: optionalText,
  payload: text,
  message_type: text,
  timestamp_secs: count,
  ttl_seconds: count,
})
export type AgentMessage = z.output<typeof AgentMessage>

export const AgentMessages = z.looseObject({ messages: z.array(AgentMessage) })
export type AgentMessages = z.output<typeof AgentMessages>

export const WorkflowExecutionResponse = z.looseObject({
  execution_id: text,
  status: text,
  started_at: time,
  result: json.nullish(),
})
export type WorkflowExecutionResponse = z.output<typeof WorkflowExecutionResponse>

/** One step of a run, as it stands. */
export const WorkflowStep = z.looseObject({
  id: text,
  kind: text,
  status: text,
  started_at: time,
  duration_ms: z.number(),
  output: z.unknown(),
  error: json.nullish(),
})
export type WorkflowStep = z.output<typeof WorkflowStep>

export const WorkflowExecutionList = z.looseObject({
  executions: z.array(WorkflowExecutionResponse),
})
export type WorkflowExecutionList = z.output<typeof WorkflowExecutionList>

export const ToolProvider = z.looseObject({ name: text, public_key_url: optionalText })
export type ToolProvider = z.output<typeof ToolProvider>

export const ToolSchema = z.looseObject({
  type: text.default('object'),
  properties: json,
  required: z.array(text).default([]),
})
export type ToolSchema = z.output<typeof ToolSchema>

/** Some servers answer with the other name of the schema. */
function withSchema(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const { tool_schema: schema, ...rest } = value as Record<string, unknown>
  return schema === undefined || 'schema' in rest ? value : { ...rest, schema }
}

export const Tool = z.preprocess(
  withSchema,
  z.looseObject({ name: text, description: text, schema: ToolSchema, provider: ToolProvider }),
)
export type Tool = z.output<typeof Tool>

export const SecurityFinding = z.looseObject({
  finding_id: text,
  severity: z.enum(FindingSeverity),
  category: z.enum(FindingCategory),
  title: text,
  description: text,
  confidence: amount.min(0).max(1),
  recommendation: optionalText,
})
export type SecurityFinding = z.output<typeof SecurityFinding>

export const ReviewSessionState = z.looseObject({
  type: text,
  analysis_id: optionalText,
  analysis_completed_at: optionalTime,
  critical_findings: z.array(SecurityFinding).default([]),
  human_reviewer_id: optionalText,
  review_started_at: optionalTime,
})
export type ReviewSessionState = z.output<typeof ReviewSessionState>

export const ReviewSessionResponse = z.looseObject({
  review_id: text,
  status: z.enum(ReviewStatus),
  submitted_at: time,
  estimated_completion: optionalTime,
})
export type ReviewSessionResponse = z.output<typeof ReviewSessionResponse>

export const ReviewSession = z.looseObject({
  review_id: text,
  tool: Tool,
  status: z.enum(ReviewStatus),
  state: ReviewSessionState,
  submitted_by: text,
  submitted_at: time,
  estimated_completion: optionalTime,
  priority: text,
})
export type ReviewSession = z.output<typeof ReviewSession>

export const PaginationInfo = z.looseObject({
  page: count,
  limit: count,
  total: count,
  has_next: z.boolean(),
})
export type PaginationInfo = z.output<typeof PaginationInfo>

export const ReviewSessionList = z.looseObject({
  sessions: z.array(ReviewSession),
  pagination: PaginationInfo,
})
export type ReviewSessionList = z.output<typeof ReviewSessionList>

export const ReviewQueue = z.looseObject({ queue: z.array(ReviewSession), total: count })
export type ReviewQueue = z.output<typeof ReviewQueue>

/** Each entry holds the hash of the one before it; `intact` says whether all of them do. */
export const ReviewAudit = z.looseObject({
  review_id: text,
  entries: z.array(
    z.looseObject({
      seq: count,
      at: time,
      from: optionalText,
      to: text,
      actor: text,
      prev_hash: optionalText,
      hash: text,
    }),
  ),
  intact: z.boolean(),
})
export type ReviewAudit = z.output<typeof ReviewAudit>

export const AnalysisResults = z.looseObject({
  analysis_id: text,
  risk_score: count.min(0).max(100),
  findings: z.array(SecurityFinding),
  recommendations: z.array(text),
  completed_at: time,
})
export type AnalysisResults = z.output<typeof AnalysisResults>

export const SigningResponse = z.looseObject({
  signature: text,
  signed_at: time,
  signer_id: text,
  signature_algorithm: text,
})
export type SigningResponse = z.output<typeof SigningResponse>

export const SignedTool = z.looseObject({
  tool: Tool,
  signature: text,
  signed_at: time,
  signer_id: text,
  signature_algorithm: text,
  review_id: text,
})
export type SignedTool = z.output<typeof SignedTool>

export const VerificationResult = z.looseObject({
  valid: z.boolean(),
  code: optionalText,
  message: optionalText,
})
export type VerificationResult = z.output<typeof VerificationResult>

export const SecretResponse = z.looseObject({
  secret_name: text,
  agent_id: text,
  created_at: time,
  updated_at: optionalTime,
})
export type SecretResponse = z.output<typeof SecretResponse>

export const SecretListResponse = z.looseObject({ secrets: z.array(text), agent_id: text })
export type SecretListResponse = z.output<typeof SecretListResponse>

export const SecretValue = z.looseObject({ value: text })

export const McpConnectionInfo = z.looseObject({
  server_name: text,
  status: z.enum(McpConnectionStatus),
  pid: count.nullish(),
  connected_at: optionalTime,
  last_error: optionalText,
  tools_count: count.default(0),
  resources_count: count.default(0),
})
export type McpConnectionInfo = z.output<typeof McpConnectionInfo>

export const McpToolInfo = z.preprocess(
  withSchema,
  z.looseObject({
    name: text,
    description: text,
    server_name: text,
    schema: json,
    verified: z.boolean(),
    verification_hash: optionalText,
  }),
)
export type McpToolInfo = z.output<typeof McpToolInfo>

export const McpResourceInfo = z.looseObject({
  uri: text,
  name: optionalText,
  description: optionalText,
  mime_type: optionalText,
  server_name: text,
})
export type McpResourceInfo = z.output<typeof McpResourceInfo>

export const McpToolResult = z.looseObject({
  content: z.array(json),
  structured_content: json.nullish(),
  is_error: z.boolean(),
})
export type McpToolResult = z.output<typeof McpToolResult>

export const VectorMetadata = z.looseObject({
  source: text,
  source_type: z.enum(KnowledgeSourceType),
  chunk_index: count.nullish(),
  timestamp: time,
  agent_id: optionalText,
})
export type VectorMetadata = z.output<typeof VectorMetadata>

export const KnowledgeItem = z.looseObject({
  id: text,
  content: text,
  embedding: z.array(amount).nullish(),
  metadata: VectorMetadata,
})
export type KnowledgeItem = z.output<typeof KnowledgeItem>

export const VectorSearchResult = z.looseObject({ item: KnowledgeItem, similarity_score: amount })
export type VectorSearchResult = z.output<typeof VectorSearchResult>

export const VectorSearchResponse = z.looseObject({
  results: z.array(VectorSearchResult),
  query: text,
  total_results: count,
})
export type VectorSearchResponse = z.output<typeof VectorSearchResponse>

export const ContextResponse = z.looseObject({
  context_items: z.array(text),
  sources: z.array(text),
  query: text,
  relevance_scores: z.array(amount),
})
export type ContextResponse = z.output<typeof ContextResponse>

export const DslCompileResponse = z.looseObject({
  success: z.boolean(),
  agent_id: optionalText,
  errors: z.array(text).default([]),
  warnings: z.array(text).default([]),
  compiled_at: time,
})
export type DslCompileResponse = z.output<typeof DslCompileResponse>

export const AgentDeployResponse = z.looseObject({
  deployment_id: text,
  agent_id: text,
  status: text,
  deployed_at: time,
  endpoint_url: optionalText,
})
export type AgentDeployResponse = z.output<typeof AgentDeployResponse>

export const InvokeResponse = z.looseObject({
  status: text,
  execution_id: text,
  output: z.unknown(),
  latency_ms: amount,
})
export type InvokeResponse = z.output<typeof InvokeResponse>

export const ScheduleCreated = z.looseObject({ job_id: text, next_run: optionalTime, status: text })
export type ScheduleCreated = z.output<typeof ScheduleCreated>

export const ScheduleSummary = z.looseObject({
  job_id: text,
  name: text,
  cron_expression: text,
  timezone: text,
  status: text,
  enabled: z.boolean(),
  next_run: optionalTime,
  run_count: count,
})
export type ScheduleSummary = z.output<typeof ScheduleSummary>

export const ScheduleDetail = z.looseObject({
  ...ScheduleSummary.shape,
  one_shot: z.boolean(),
  last_run: optionalTime,
  failure_count: count,
  created_at: time,
  updated_at: time,
})
export type ScheduleDetail = z.output<typeof ScheduleDetail>

export const ScheduleAction = z.looseObject({ job_id: text, action: text, status: text })
export type ScheduleAction = z.output<typeof ScheduleAction>

export const ScheduleDeleted = z.looseObject({ job_id: text, deleted: z.boolean() })
export type ScheduleDeleted = z.output<typeof ScheduleDeleted>

export const ScheduleRun = z.looseObject({
  run_id: text,
  started_at: time,
  completed_at: optionalTime,
  status: text,
  error: optionalText,
  execution_time_ms: amount.nullish(),
})
export type ScheduleRun = z.output<typeof ScheduleRun>

export const ScheduleHistory = z.looseObject({ job_id: text, history: z.array(ScheduleRun) })
export type ScheduleHistory = z.output<typeof ScheduleHistory>

export const NextRuns = z.looseObject({ job_id: text, next_runs: z.array(time) })
export type NextRuns = z.output<typeof NextRuns>

export const SchedulerHealth = z.looseObject({
  is_running: z.boolean(),
  store_accessible: z.boolean(),
  jobs_total: count,
  jobs_active: count,
  jobs_paused: count,
  jobs_dead_letter: count,
  global_active_runs: count,
  max_concurrent: count,
  runs_total: count,
  runs_succeeded: count,
  runs_failed: count,
  average_execution_time_ms: amount,
  longest_run_ms: amount,
})
export type SchedulerHealth = z.output<typeof SchedulerHealth>

export const MemoryNode = z.looseObject({
  id: text,
  content: json,
  memory_type: z.enum(MemoryType),
  memory_level: z.enum(MemoryLevel),
  timestamp: time,
  agent_id: text,
  conversation_id: optionalText,
  parent_id: optionalText,
  children_ids: z.array(text).default([]),
  importance_score: amount.default(0),
  access_count: count.default(0),
  last_accessed: optionalTime,
  metadata: json,
})
export type MemoryNode = z.output<typeof MemoryNode>

export const MemoryResponse = z.looseObject({
  memory: MemoryNode,
  success: z.boolean(),
  message: optionalText,
})
export type MemoryResponse = z.output<typeof MemoryResponse>

export const MemorySearchResponse = z.looseObject({
  memories: z.array(MemoryNode),
  total_count: count,
  search_time_ms: amount,
  success: z.boolean(),
  message: optionalText,
})
export type MemorySearchResponse = z.output<typeof MemorySearchResponse>

export const ConsolidationResponse = z.looseObject({
  agent_id: text,
  promoted_count: count,
  pruned_count: count,
  consolidated_count: count,
  execution_time_ms: amount,
  success: z.boolean(),
  message: optionalText,
})
export type ConsolidationResponse = z.output<typeof ConsolidationResponse>

export const ConversationContext = z.looseObject({
  conversation_id: text,
  agent_id: text,
  memories: z.array(MemoryNode),
  context_summary: optionalText,
  created_at: time,
  updated_at: time,
  metadata: json,
})
export type ConversationContext = z.output<typeof ConversationContext>

export const CollectionResponse = z.looseObject({
  collection_name: text,
  status: text,
  result: json.nullish(),
})
export type CollectionResponse = z.output<typeof CollectionResponse>

export const CollectionInfo = z.looseObject({
  collection_name: text,
  config: json,
  status: text,
  vectors_count: count,
  indexed_vectors_count: count,
  points_count: count,
})
export type CollectionInfo = z.output<typeof CollectionInfo>

export const UpsertResponse = z.looseObject({
  collection_name: text,
  operation_id: optionalText,
  status: text,
  points_count: count,
})
export type UpsertResponse = z.output<typeof UpsertResponse>

export const VectorPoint = z.looseObject({
  id: z.union([text, count]),
  vector: z.union([z.array(amount), z.record(text, z.array(amount))]).nullish(),
  payload: json,
})
export type VectorPoint = z.output<typeof VectorPoint>

export const PointSearchResponse = z.looseObject({
  results: z.array(z.looseObject({ id: z.union([text, count]), score: amount, payload: json })),
  total_results: count,
})
export type PointSearchResponse = z.output<typeof PointSearchResponse>

export const CountResponse = z.looseObject({ count })
export type CountResponse = z.output<typeof CountResponse>

export const RoutingRule = z.looseObject({
  condition_type: z.enum(RouteMatchType),
  condition_value: text,
  condition_target: optionalText,
  agent_id: text,
})
export type RoutingRule = z.output<typeof RoutingRule>

export const ResponseControl = z.looseObject({
  default_status: count.default(200),
  agent_output_to_json: z.boolean().default(true),
  error_status: count.default(500),
  echo_input_on_error: z.boolean().default(false),
})
export type ResponseControl = z.output<typeof ResponseControl>

export const HttpInputConfig = z.looseObject({
  bind_address: text.default('0.0.0.0'),
  port: count.default(8081),
  path: text.default('/webhook'),
  agent_id: text,
  auth_header: optionalText,
  jwt_public_key_path: optionalText,
  max_body_bytes: count.default(65_536),
  concurrency: count.default(10),
  routing_rules: z.array(RoutingRule).nullish(),
  response_control: ResponseControl.nullish(),
  forward_headers: z.array(text).default([]),
  cors_enabled: z.boolean().default(false),
  audit_enabled: z.boolean().default(true),
})
export type HttpInputConfig = z.output<typeof HttpInputConfig>

export const HttpInputServerInfo = z.looseObject({
  server_id: text,
  config: HttpInputConfig,
  status: text,
  uptime_seconds: count.nullish(),
  requests_processed: count,
  active_connections: count,
  last_error: optionalText,
})
export type HttpInputServerInfo = z.output<typeof HttpInputServerInfo>

export const WebhookTriggerResponse = z.looseObject({
  status: text,
  response_code: count,
  response_body: json,
  processing_time_ms: amount,
  agent_id: text,
})
export type WebhookTriggerResponse = z.output<typeof WebhookTriggerResponse>

export const EndpointMetrics = z.looseObject({
  endpoint_id: text,
  total_requests: count,
  successful_requests: count,
  failed_requests: count,
  average_response_time_ms: amount,
  max_response_time_ms: amount,
  min_response_time_ms: amount,
  requests_per_minute: amount,
  error_rate_percent: amount,
  last_request_at: optionalTime,
  uptime_seconds: count,
})
export type EndpointMetrics = z.output<typeof EndpointMetrics>

export const HttpEndpointInfo = z.looseObject({
  endpoint_id: text,
  path: text,
  method: z.enum(HttpMethod),
  agent_id: text,
  description: optionalText,
  status: z.enum(EndpointStatus),
  auth_required: z.boolean(),
  rate_limit: count.nullish(),
  timeout_seconds: count,
  middleware: z.array(text),
  created_at: time,
  updated_at: time,
  created_by: text,
  metrics: EndpointMetrics.nullish(),
  metadata: json,
})
export type HttpEndpointInfo = z.output<typeof HttpEndpointInfo>

export const EndpointChange = z.looseObject({
  endpoint_id: text,
  status: text,
  message: optionalText,
  endpoint_info: HttpEndpointInfo.nullish(),
  created_at: optionalTime,
})
export type EndpointChange = z.output<typeof EndpointChange>

export const SigningKey = z.looseObject({
  key_id: text,
  domain: text,
  key_fingerprint: text,
  status: text,
})
export type SigningKey = z.output<typeof SigningKey>

export const ErrorResponse = z.looseObject({
  error: text,
  code: text,
  details: json.nullish(),
  request_id: optionalText,
})
export type ErrorResponse = z.output<typeof ErrorResponse>
