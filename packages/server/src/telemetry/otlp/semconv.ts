/** Every attribute name that is exported, by vocabulary, and the revisions they were taken from. */

/**
 * The `gen_ai.*` and `mcp.*` names are at Development stability and may be renamed; this is the state that is
 * emitted, told as `envpod.semconv.gen_ai` on every resource.
 */
export const GEN_AI_REVISION = '1.42.0'

/** OpenTelemetry. */
export const OTEL = {
  serviceName: 'service.name',
  serviceInstance: 'service.instance.id',
  host: 'host.name',
  os: 'os.type',
  language: 'telemetry.sdk.language',
  session: 'session.id',
  errorType: 'error.type',
  exception: 'exception',
  exceptionType: 'exception.type',
  exceptionMessage: 'exception.message',
  exceptionEscaped: 'exception.escaped',
  mcpMethod: 'mcp.method.name',
  mcpSession: 'mcp.session.id',
  mcpProtocol: 'mcp.protocol.version',
  rpcRequestId: 'jsonrpc.request.id',
  transport: 'network.transport',
} as const

/** OpenInference. */
export const OI = {
  project: 'openinference.project.name',
  spanKind: 'openinference.span.kind',
  agentName: 'agent.name',
  input: 'input.value',
  inputType: 'input.mime_type',
  output: 'output.value',
  outputType: 'output.mime_type',
  graphId: 'graph.node.id',
  graphName: 'graph.node.name',
  graphParent: 'graph.node.parent_id',
  system: 'llm.system',
  provider: 'llm.provider',
  model: 'llm.model_name',
  requestModel: 'llm.request.model_name',
  responseModel: 'llm.response.model_name',
  parameters: 'llm.invocation_parameters',
  inputMessages: 'llm.input_messages',
  outputMessages: 'llm.output_messages',
  role: 'message.role',
  content: 'message.content',
  toolCalls: 'message.tool_calls',
  toolCallId: 'tool_call.id',
  toolCallName: 'tool_call.function.name',
  tools: 'llm.tools',
  toolSchema: 'tool.json_schema',
  finishReason: 'llm.finish_reason',
  promptTokens: 'llm.token_count.prompt',
  completionTokens: 'llm.token_count.completion',
  totalTokens: 'llm.token_count.total',
  cacheRead: 'llm.token_count.prompt_details.cache_read',
  cacheWrite: 'llm.token_count.prompt_details.cache_write',
  promptAudio: 'llm.token_count.prompt_details.audio',
  reasoning: 'llm.token_count.completion_details.reasoning',
  completionAudio: 'llm.token_count.completion_details.audio',
  cost: 'llm.cost.total',
  embeddingModel: 'embedding.model_name',
  toolName: 'tool.name',
  toolId: 'tool.id',
  toolDescription: 'tool.description',
  toolParameters: 'tool.parameters',
  documents: 'retrieval.documents',
  documentId: 'document.id',
  documentScore: 'document.score',
  documentContent: 'document.content',
  documentMetadata: 'document.metadata',
} as const

/** Names whose values may be long: what was said, given and answered. */
const CONTENT: ReadonlySet<string> = new Set([
  ...['input.value', 'output.value', 'tool.parameters', 'llm.invocation_parameters'],
  ...['gen_ai.input.messages', 'gen_ai.output.messages'],
  ...['gen_ai.tool.call.arguments', 'gen_ai.tool.call.result', 'gen_ai.tool.description'],
  ...['gen_ai.retrieval.query.text', 'gen_ai.memory.query.text'],
  ...['tool.description', 'exception.message', 'envpod.tie.data'],
])

/** The same, of lists. */
const CONTENTS = [
  'llm.input_messages.',
  'llm.output_messages.',
  'llm.tools.',
  'retrieval.documents.',
]

export function isContent(name: string): boolean {
  return CONTENT.has(name) || CONTENTS.some((list) => name.startsWith(list))
}

/** What OpenInference puts where a text was hidden on purpose. */
export const HIDDEN = '__REDACTED__'

/** OpenTelemetry's conventions for generative AI. */
export const GEN_AI = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  conversation: 'gen_ai.conversation.id',
  agentName: 'gen_ai.agent.name',
  agentId: 'gen_ai.agent.id',
  requestModel: 'gen_ai.request.model',
  temperature: 'gen_ai.request.temperature',
  maxTokens: 'gen_ai.request.max_tokens',
  topP: 'gen_ai.request.top_p',
  topK: 'gen_ai.request.top_k',
  seed: 'gen_ai.request.seed',
  stop: 'gen_ai.request.stop_sequences',
  stream: 'gen_ai.request.stream',
  responseModel: 'gen_ai.response.model',
  responseId: 'gen_ai.response.id',
  finishReasons: 'gen_ai.response.finish_reasons',
  firstChunk: 'gen_ai.response.time_to_first_chunk',
  outputType: 'gen_ai.output.type',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheRead: 'gen_ai.usage.cache_read.input_tokens',
  cacheWrite: 'gen_ai.usage.cache_creation.input_tokens',
  reasoning: 'gen_ai.usage.reasoning.output_tokens',
  inputMessages: 'gen_ai.input.messages',
  outputMessages: 'gen_ai.output.messages',
  toolName: 'gen_ai.tool.name',
  toolType: 'gen_ai.tool.type',
  toolCallId: 'gen_ai.tool.call.id',
  toolDescription: 'gen_ai.tool.description',
  toolArguments: 'gen_ai.tool.call.arguments',
  toolResult: 'gen_ai.tool.call.result',
  workflow: 'gen_ai.workflow.name',
  dataSource: 'gen_ai.data_source.id',
  retrievalQuery: 'gen_ai.retrieval.query.text',
  memoryStore: 'gen_ai.memory.store.id',
  memoryRecord: 'gen_ai.memory.record.id',
  memoryCount: 'gen_ai.memory.record.count',
  memoryQuery: 'gen_ai.memory.query.text',
} as const

/** Ours: what the host knows, and what neither vocabulary has a name for. */
export const ENVPOD = {
  semconv: 'envpod.semconv.gen_ai',
  podName: 'envpod.pod_name',
  podId: 'envpod.pod_id',
  spec: 'envpod.spec',
  kind: 'envpod.kind',
  seq: 'envpod.audit_seq',
  pid: 'envpod.pid',
  uid: 'envpod.uid',
  claimKind: 'envpod.claim_kind',
  claimId: 'envpod.agent_claim_id',
  capabilities: 'envpod.capabilities',
  session: 'envpod.session',
  role: 'envpod.agent_role',
  overwrote: 'envpod.overwrote',
  anonymousPid: 'envpod.anonymous.pid',
  anonymousUid: 'envpod.anonymous.uid',
  anonymousSession: 'envpod.anonymous.session',
  fingerprint: 'envpod.anonymous.fingerprint',
  declaredName: 'envpod.declared_agent_name',
  subagent: 'envpod.subagent.name',
  framework: 'envpod.framework',
  captureMode: 'envpod.capture.mode',
  fn: 'envpod.fn',
  op: 'envpod.op',
  status: 'envpod.status',
  runId: 'envpod.run_id',
  stepId: 'envpod.step_id',
  traceId: 'envpod.trace_id',
  spanId: 'envpod.span_id',
  incomplete: 'envpod.incomplete',
  phase: 'envpod.phase',
  turns: 'envpod.turns',
  mcpServer: 'envpod.mcp.server',
  tieName: 'envpod.tie.name',
  tieData: 'envpod.tie.data',
  humanRequest: 'envpod.human.request',
  humanOutcome: 'envpod.human.outcome',
  humanWaited: 'envpod.human.waited_ms',
  humanQueue: 'envpod.human.queue_id',
  attribution: 'envpod.attribution.method',
  source: 'envpod.source',
  success: 'envpod.success',
  decisionId: 'envpod.decision_id',
  txn: 'envpod.txn',
  outcome: 'envpod.outcome.code',
  duration: 'envpod.duration_ms',
  operation: 'envpod.operation',
} as const
