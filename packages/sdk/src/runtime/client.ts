/**
 * The client of the runtime API: agents, tool review and signing, secrets, MCP servers, HTTP inputs, knowledge, and the
 * agent language. One method per operation, named as in the Python SDK; requests and answers have the wire's own keys.
 */
import { inspect } from 'node:util'
import * as shapes from '@vestry/contract/runtime'
import { sleep } from '../vault/wait.ts'
import { APIError, SymbiontError, TimeoutError } from './errors.ts'
import { createExchange, type Exchange, type RuntimeCall } from './exchange.ts'
import { resolveOptions, type SymbiontClientOptions } from './options.ts'
import { id, segments } from './path.ts'
import type * as requests from './requests.ts'
import { LIST_OF_TEXT, listOf, type Shape } from './shape.ts'

/** What every method takes last. */
export interface CallOptions {
  /** Ends the call with the signal's own reason. */
  signal?: AbortSignal
}

export interface WaitForReviewOptions extends CallOptions {
  /** Default 300. */
  timeoutSeconds?: number
  /** Between two looks. Default 5. */
  intervalSeconds?: number
}

/** Less would be a loop without a pause. */
const MIN_INTERVAL_SECONDS = 0.01
const MAX_WAIT_SECONDS = 2_000_000
const MAX_TOLD = 1_000
const DECIDED: ReadonlySet<string> = new Set(['approved', 'rejected', 'signed'])

export class SymbiontClient {
  readonly #exchange: Exchange
  readonly #baseUrl: string
  readonly #hasKey: boolean

  /** @throws SymbiontError `INVALID_OPTION` for an option, variable or file that cannot be used. */
  constructor(options: SymbiontClientOptions = {}) {
    const settings = resolveOptions(options)
    this.#exchange = createExchange(settings)
    this.#baseUrl = settings.baseUrl
    this.#hasKey = settings.apiKey !== undefined
  }

  // System

  /** Whether the server works. Needs no key. */
  async healthCheck(options?: CallOptions): Promise<shapes.HealthResponse> {
    return this.#get('health', shapes.HealthResponse, options)
  }

  /** Needs an administrator's key. */
  async getMetrics(options?: CallOptions): Promise<shapes.SystemMetrics> {
    return this.#get('metrics', shapes.SystemMetrics, options)
  }

  /** Scheduler, tasks and load, and the host. Needs an administrator's key. */
  async getMetricsSnapshot(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get('metrics/snapshot', shapes.AnyObject, options)
  }

  /** Version and counts in short. Needs an administrator's key. */
  async getStatus(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get('status', shapes.AnyObject, options)
  }

  async getAgentMetrics(agentId: string, options?: CallOptions): Promise<shapes.AgentMetrics> {
    return this.#get(`agents/${id(agentId)}/metrics`, shapes.AgentMetrics, options)
  }

  // Agents

  /** Ids, oldest first. */
  async listAgents(options?: CallOptions): Promise<string[]> {
    return this.#get('agents', LIST_OF_TEXT, options)
  }

  async getAgentStatus(
    agentId: string,
    options?: CallOptions,
  ): Promise<shapes.AgentStatusResponse> {
    return this.#get(`agents/${id(agentId)}`, shapes.AgentStatusResponse, options)
  }

  async createAgent(agent: requests.AgentInput, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#post('agents', agent, shapes.AnyObject, options)
  }

  async updateAgent(
    agentId: string,
    changes: Partial<requests.AgentInput>,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#send('PUT', `agents/${id(agentId)}`, changes, shapes.AnyObject, options)
  }

  async deleteAgent(agentId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#delete(`agents/${id(agentId)}`, shapes.AnyObject, options)
  }

  /**
   * Starts one execution; {@link getAgentExecution} tells how it goes.
   *
   * @param request `input` is text or anything that is then given as JSON; `parameters` stand below it.
   */
  async executeAgent(
    agentId: string,
    request: requests.ExecuteAgentRequest = {},
    options?: CallOptions,
  ): Promise<shapes.AgentExecutionStarted> {
    const path = `agents/${id(agentId)}/execute`
    return this.#post(path, request, shapes.AgentExecutionStarted, options)
  }

  /** With the input of the execution before, unless it is given another one. */
  async reExecuteAgent(
    agentId: string,
    request: requests.ExecuteAgentRequest = {},
    options?: CallOptions,
  ): Promise<shapes.AgentExecutionStarted> {
    const path = `agents/${id(agentId)}/re-execute`
    return this.#post(path, request, shapes.AgentExecutionStarted, options)
  }

  async getAgentExecution(
    agentId: string,
    executionId: string,
    options?: CallOptions & {
      /** The answer comes when the execution has ended, or after this long: 0 to 20. Default 0. */
      waitSeconds?: number
    },
  ): Promise<shapes.AgentExecution> {
    const path = `agents/${id(agentId)}/executions/${id(executionId)}`
    const query = { wait_seconds: options?.waitSeconds }
    return this.#get(path, shapes.AgentExecution, options, query)
  }

  async cancelAgentExecution(
    agentId: string,
    executionId: string,
    options?: CallOptions,
  ): Promise<shapes.AgentExecution> {
    const path = `agents/${id(agentId)}/executions/${id(executionId)}`
    return this.#delete(path, shapes.AgentExecution, options)
  }

  /** Newest first. */
  async getAgentHistory(
    agentId: string,
    options?: CallOptions & { /** Default 100. */ limit?: number },
  ): Promise<shapes.AgentHistory> {
    const query = { limit: options?.limit }
    return this.#get(`agents/${id(agentId)}/history`, shapes.AgentHistory, options, query)
  }

  /** Ends all that the agent does at present. */
  async stopAgent(agentId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `agents/${id(agentId)}/stop`
    return this.#repeatable(path, undefined, shapes.AnyObject, options)
  }

  // Agents that run elsewhere, and messages between agents

  async sendAgentHeartbeat(
    agentId: string,
    heartbeat: requests.AgentHeartbeat,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `agents/${id(agentId)}/heartbeat`
    return this.#repeatable(path, heartbeat, shapes.AnyObject, options)
  }

  async sendAgentEvent(
    agentId: string,
    event: requests.AgentEvent,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#post(`agents/${id(agentId)}/events`, event, shapes.AnyObject, options)
  }

  /** The last hundred. */
  async listAgentEvents(agentId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get(`agents/${id(agentId)}/events`, shapes.AnyObject, options)
  }

  async sendMessage(
    recipientId: string,
    message: requests.MessageInput,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#post(`agents/${id(recipientId)}/messages`, message, shapes.AnyObject, options)
  }

  /** Takes them out of the mailbox; so it is sent once, whatever becomes of it. */
  async receiveMessages(agentId: string, options?: CallOptions): Promise<shapes.AgentMessages> {
    const call = { method: 'GET', path: `agents/${id(agentId)}/messages`, once: true } as const
    return this.#call(call, shapes.AgentMessages, options)
  }

  async getMessageStatus(messageId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get(`messages/${id(messageId)}/status`, shapes.AnyObject, options)
  }

  // Workflows

  async executeWorkflow(
    request: requests.WorkflowExecutionRequest,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#post('workflows', request, shapes.AnyObject, options)
  }

  // Tool review

  async submitToolForReview(
    request: requests.ReviewSessionCreate,
    options?: CallOptions,
  ): Promise<shapes.ReviewSessionResponse> {
    return this.#post('tool-review/sessions', request, shapes.ReviewSessionResponse, options)
  }

  async getReviewSession(reviewId: string, options?: CallOptions): Promise<shapes.ReviewSession> {
    return this.#get(`tool-review/sessions/${id(reviewId)}`, shapes.ReviewSession, options)
  }

  /** Newest first. */
  async listReviewSessions(
    { page = 1, limit = 20, status, author }: requests.ListReviewsQuery = {},
    options?: CallOptions,
  ): Promise<shapes.ReviewSessionList> {
    const query = { page, limit, status: status || undefined, author: author || undefined }
    return this.#get('tool-review/sessions', shapes.ReviewSessionList, options, query)
  }

  /** `NotFoundError` until the analysis is complete. */
  async getAnalysisResults(
    analysisId: string,
    options?: CallOptions,
  ): Promise<shapes.AnalysisResults> {
    return this.#get(`tool-review/analysis/${id(analysisId)}`, shapes.AnalysisResults, options)
  }

  /**
   * Looks at once, and then every `intervalSeconds`, until the review is approved, rejected or signed.
   *
   * @throws TimeoutError when it is none of these within `timeoutSeconds`.
   */
  async waitForReviewCompletion(
    reviewId: string,
    { timeoutSeconds = 300, intervalSeconds = 5, signal }: WaitForReviewOptions = {},
  ): Promise<shapes.ReviewSession> {
    assertSeconds('timeoutSeconds', timeoutSeconds, 0)
    assertSeconds('intervalSeconds', intervalSeconds, MIN_INTERVAL_SECONDS)
    const endsAt = performance.now() + timeoutSeconds * 1_000
    for (;;) {
      const session = await this.getReviewSession(reviewId, signal === undefined ? {} : { signal })
      if (DECIDED.has(session.status)) return session
      const left = endsAt - performance.now()
      if (left <= 0)
        throw new TimeoutError(`Review ${reviewId} was not decided within ${timeoutSeconds} s`, {
          code: 'TIMEOUT',
        })
      await sleep(Math.min(intervalSeconds * 1_000, left), signal)
    }
  }

  async submitHumanReviewDecision(
    reviewId: string,
    decision: requests.HumanReviewDecision,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `tool-review/sessions/${id(reviewId)}/decisions`
    return this.#post(path, decision, shapes.AnyObject, options)
  }

  /** Says who looks at it, so that nobody else begins. */
  async claimReview(
    reviewId: string,
    reviewerId: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `tool-review/sessions/${id(reviewId)}/claim`
    return this.#post(path, { reviewer_id: reviewerId }, shapes.AnyObject, options)
  }

  async reanalyzeTool(reviewId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `tool-review/sessions/${id(reviewId)}/reanalyze`
    return this.#post(path, undefined, shapes.AnyObject, options)
  }

  /** What waits for a person, the most urgent first. */
  async getReviewQueue(options?: CallOptions): Promise<shapes.ReviewQueue> {
    return this.#get('tool-review/queue', shapes.ReviewQueue, options)
  }

  async getReviewStats(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get('tool-review/stats', shapes.AnyObject, options)
  }

  /** Every step of a review, hash-chained. */
  async getReviewAudit(reviewId: string, options?: CallOptions): Promise<shapes.ReviewAudit> {
    return this.#get(`tool-review/sessions/${id(reviewId)}/audit`, shapes.ReviewAudit, options)
  }

  async signApprovedTool(
    request: requests.SigningRequest,
    options?: CallOptions,
  ): Promise<shapes.SigningResponse> {
    return this.#repeatable('tool-review/sign', request, shapes.SigningResponse, options)
  }

  async getSignedTool(reviewId: string, options?: CallOptions): Promise<shapes.SignedTool> {
    return this.#get(`tool-review/signed/${id(reviewId)}`, shapes.SignedTool, options)
  }

  /** An invalid signature is an answer with `valid: false`, not an error. */
  async verifyTool(
    request: requests.VerifyToolRequest,
    options?: CallOptions,
  ): Promise<shapes.VerificationResult> {
    return this.#repeatable('tool-review/verify', request, shapes.VerificationResult, options)
  }

  async listSigningKeys(options?: CallOptions): Promise<shapes.SigningKey[]> {
    return this.#get('signing-keys', listOf(shapes.SigningKey), options)
  }

  async createSigningKey(
    request: requests.SigningKeyRequest,
    options?: CallOptions,
  ): Promise<shapes.SigningKey> {
    return this.#post('signing-keys', request, shapes.SigningKey, options)
  }

  /** What it signed is valid no longer. */
  async revokeSigningKey(
    keyId: string,
    reason: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#post(`signing-keys/${id(keyId)}/revoke`, { reason }, shapes.AnyObject, options)
  }

  // Secrets

  async configureSecretBackend(
    config: requests.SecretBackendConfig,
    options?: CallOptions & { /** Copies what the old back end holds. */ migrate?: boolean },
  ): Promise<shapes.AnyObject> {
    const query = options?.migrate === true ? { migrate: true } : undefined
    return this.#post('secrets/config', config, shapes.AnyObject, options, query)
  }

  /** Which back end keeps secrets; nothing of its credentials. */
  async getSecretBackend(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get('secrets/config', shapes.AnyObject, options)
  }

  /** How far copying to another back end has come. */
  async getSecretMigration(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get('secrets/config/migration', shapes.AnyObject, options)
  }

  async storeSecret(
    request: requests.SecretRequest,
    options?: CallOptions,
  ): Promise<shapes.SecretResponse> {
    return this.#post('secrets', request, shapes.SecretResponse, options)
  }

  /** @returns The value itself. */
  async getSecret(agentId: string, secretName: string, options?: CallOptions): Promise<string> {
    const path = `secrets/${id(agentId)}/${segments(secretName)}`
    const { value } = await this.#get(path, shapes.SecretValue, options)
    return value
  }

  /** Names, sorted. */
  async listSecrets(agentId: string, options?: CallOptions): Promise<shapes.SecretListResponse> {
    return this.#get(`secrets/${id(agentId)}`, shapes.SecretListResponse, options)
  }

  async deleteSecret(
    agentId: string,
    secretName: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `secrets/${id(agentId)}/${segments(secretName)}`
    return this.#delete(path, shapes.AnyObject, options)
  }

  // MCP servers

  async addMcpServer(
    config: requests.McpServerConfig,
    options?: CallOptions & {
      /** Takes the place of another one of this name. */ replace?: boolean
    },
  ): Promise<shapes.AnyObject> {
    const query = options?.replace === true ? { replace: true } : undefined
    return this.#post('mcp/servers', config, shapes.AnyObject, options, query)
  }

  async listMcpServers(options?: CallOptions): Promise<shapes.McpConnectionInfo[]> {
    return this.#get('mcp/servers', listOf(shapes.McpConnectionInfo), options)
  }

  async getMcpServer(name: string, options?: CallOptions): Promise<shapes.McpConnectionInfo> {
    return this.#get(`mcp/servers/${id(name)}`, shapes.McpConnectionInfo, options)
  }

  async removeMcpServer(name: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#delete(`mcp/servers/${id(name)}`, shapes.AnyObject, options)
  }

  async connectMcpServer(name: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#repeatable(`mcp/servers/${id(name)}/connect`, undefined, shapes.AnyObject, options)
  }

  async disconnectMcpServer(name: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `mcp/servers/${id(name)}/disconnect`
    return this.#repeatable(path, undefined, shapes.AnyObject, options)
  }

  /** Of one server, or of all that are connected. */
  async listMcpTools(server?: string, options?: CallOptions): Promise<shapes.McpToolInfo[]> {
    return this.#get('mcp/tools', listOf(shapes.McpToolInfo), options, {
      server: server || undefined,
    })
  }

  async listMcpResources(
    server?: string,
    options?: CallOptions,
  ): Promise<shapes.McpResourceInfo[]> {
    const query = { server: server || undefined }
    return this.#get('mcp/resources', listOf(shapes.McpResourceInfo), options, query)
  }

  async callMcpTool(
    server: string,
    tool: string,
    args: Readonly<Record<string, unknown>> = {},
    options?: CallOptions,
  ): Promise<shapes.McpToolResult> {
    const path = `mcp/servers/${id(server)}/tools/${id(tool)}/call`
    return this.#post(path, { arguments: args }, shapes.McpToolResult, options)
  }

  async listMcpPrompts(server: string, options?: CallOptions): Promise<shapes.AnyObject[]> {
    return this.#get(`mcp/servers/${id(server)}/prompts`, listOf(shapes.AnyObject), options)
  }

  async readMcpResource(
    server: string,
    uri: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `mcp/servers/${id(server)}/resources/read`
    return this.#get(path, shapes.AnyObject, options, { uri })
  }

  /** What the server last wrote to its standard error. Needs an administrator's key. */
  async getMcpServerLogs(server: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get(`mcp/servers/${id(server)}/logs`, shapes.AnyObject, options)
  }

  // Calls that wait for somebody's yes

  async listApprovals(
    { state }: { /** Default: those that wait. */ state?: string } = {},
    options?: CallOptions,
  ): Promise<shapes.AnyObject[]> {
    return this.#get('approvals', listOf(shapes.AnyObject), options, { state: state || undefined })
  }

  async approve(approvalId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#post(`approvals/${id(approvalId)}/approve`, undefined, shapes.AnyObject, options)
  }

  async deny(approvalId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#post(`approvals/${id(approvalId)}/deny`, undefined, shapes.AnyObject, options)
  }

  // Knowledge

  async addKnowledgeItem(
    item: requests.KnowledgeItemInput,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#post('knowledge', item, shapes.AnyObject, options)
  }

  async searchKnowledge(
    request: requests.VectorSearchRequest,
    options?: CallOptions,
  ): Promise<shapes.VectorSearchResponse> {
    return this.#repeatable('knowledge/search', request, shapes.VectorSearchResponse, options)
  }

  async getContext(
    query: requests.ContextQuery,
    options?: CallOptions,
  ): Promise<shapes.ContextResponse> {
    return this.#repeatable('rag/context', query, shapes.ContextResponse, options)
  }

  async deleteKnowledgeItem(itemId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#delete(`knowledge/${id(itemId)}`, shapes.AnyObject, options)
  }

  // The agent language and deployments

  async compileDsl(
    request: requests.DslCompileRequest,
    options?: CallOptions,
  ): Promise<shapes.DslCompileResponse> {
    const call = { method: 'POST', path: 'dsl/compile', body: request } as const
    const repeatable = request.validate_only === true
    return this.#call({ ...call, repeatable }, shapes.DslCompileResponse, options)
  }

  async deployAgent(
    request: requests.AgentDeployRequest,
    options?: CallOptions,
  ): Promise<shapes.AgentDeployResponse> {
    return this.#post('agents/deploy', request, shapes.AgentDeployResponse, options)
  }

  async getAgentDeployment(
    deploymentId: string,
    options?: CallOptions,
  ): Promise<shapes.AgentDeployResponse> {
    return this.#get(`agents/deployments/${id(deploymentId)}`, shapes.AgentDeployResponse, options)
  }

  async listAgentDeployments(
    agentId?: string,
    options?: CallOptions,
  ): Promise<shapes.AgentDeployResponse[]> {
    const query = { agent_id: agentId || undefined }
    return this.#get('agents/deployments', listOf(shapes.AgentDeployResponse), options, query)
  }

  async stopAgentDeployment(
    deploymentId: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `agents/deployments/${id(deploymentId)}/stop`
    return this.#repeatable(path, undefined, shapes.AnyObject, options)
  }

  // HTTP inputs

  async createHttpInputServer(
    request: requests.HttpInputCreateRequest,
    options?: CallOptions,
  ): Promise<shapes.HttpInputServerInfo> {
    return this.#post('http-input/servers', request, shapes.HttpInputServerInfo, options)
  }

  async listHttpInputServers(options?: CallOptions): Promise<shapes.HttpInputServerInfo[]> {
    return this.#get('http-input/servers', listOf(shapes.HttpInputServerInfo), options)
  }

  async getHttpInputServer(
    serverId: string,
    options?: CallOptions,
  ): Promise<shapes.HttpInputServerInfo> {
    return this.#get(`http-input/servers/${id(serverId)}`, shapes.HttpInputServerInfo, options)
  }

  async updateHttpInputServer(
    request: requests.HttpInputUpdateRequest,
    options?: CallOptions,
  ): Promise<shapes.HttpInputServerInfo> {
    const path = `http-input/servers/${id(request.server_id)}`
    return this.#send('PUT', path, request, shapes.HttpInputServerInfo, options)
  }

  async startHttpInputServer(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `http-input/servers/${id(serverId)}/start`
    return this.#post(path, undefined, shapes.AnyObject, options)
  }

  async stopHttpInputServer(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `http-input/servers/${id(serverId)}/stop`
    return this.#repeatable(path, undefined, shapes.AnyObject, options)
  }

  async deleteHttpInputServer(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#delete(`http-input/servers/${id(serverId)}`, shapes.AnyObject, options)
  }

  async triggerWebhook(
    request: requests.WebhookTriggerRequest,
    options?: CallOptions,
  ): Promise<shapes.WebhookTriggerResponse> {
    const path = `http-input/servers/${id(request.server_id)}/trigger`
    return this.#post(path, request, shapes.WebhookTriggerResponse, options)
  }

  async getHttpInputMetrics(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#get(`http-input/servers/${id(serverId)}/metrics`, shapes.AnyObject, options)
  }

  // Endpoints

  async createHttpEndpoint(
    request: requests.HttpEndpointCreateRequest,
    options?: CallOptions,
  ): Promise<shapes.EndpointChange> {
    return this.#post('endpoints', request, shapes.EndpointChange, options)
  }

  async listHttpEndpoints(options?: CallOptions): Promise<shapes.HttpEndpointInfo[]> {
    return this.#get('endpoints', listOf(shapes.HttpEndpointInfo), options)
  }

  async getHttpEndpoint(
    endpointId: string,
    options?: CallOptions,
  ): Promise<shapes.HttpEndpointInfo> {
    return this.#get(`endpoints/${id(endpointId)}`, shapes.HttpEndpointInfo, options)
  }

  async updateHttpEndpoint(
    { endpoint_id: endpointId, ...changes }: requests.HttpEndpointUpdateRequest,
    options?: CallOptions,
  ): Promise<shapes.EndpointChange> {
    return this.#send('PUT', `endpoints/${id(endpointId)}`, changes, shapes.EndpointChange, options)
  }

  async deleteHttpEndpoint(endpointId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#delete(`endpoints/${id(endpointId)}`, shapes.AnyObject, options)
  }

  async getEndpointMetrics(
    endpointId: string,
    options?: CallOptions,
  ): Promise<shapes.EndpointMetrics> {
    return this.#get(`endpoints/${id(endpointId)}/metrics`, shapes.EndpointMetrics, options)
  }

  async enableHttpEndpoint(endpointId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#post(`endpoints/${id(endpointId)}/enable`, undefined, shapes.AnyObject, options)
  }

  async disableHttpEndpoint(endpointId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#post(`endpoints/${id(endpointId)}/disable`, undefined, shapes.AnyObject, options)
  }

  #get<T>(
    path: string,
    shape: Shape<T>,
    options: CallOptions | undefined,
    query?: RuntimeCall['query'],
  ): Promise<T> {
    return this.#call(
      { method: 'GET', path, ...(query !== undefined && { query }) },
      shape,
      options,
    )
  }

  #post<T>(
    path: string,
    body: unknown,
    shape: Shape<T>,
    options: CallOptions | undefined,
    query?: RuntimeCall['query'],
  ): Promise<T> {
    const call = { method: 'POST' as const, path, body, ...(query !== undefined && { query }) }
    return this.#call(call, shape, options)
  }

  #repeatable<T>(
    path: string,
    body: unknown,
    shape: Shape<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    return this.#call({ method: 'POST', path, body, repeatable: true }, shape, options)
  }

  #send<T>(
    method: 'PUT',
    path: string,
    body: unknown,
    shape: Shape<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    return this.#call({ method, path, body }, shape, options)
  }

  #delete<T>(path: string, shape: Shape<T>, options: CallOptions | undefined): Promise<T> {
    return this.#call({ method: 'DELETE', path }, shape, options)
  }

  async #call<T>(call: RuntimeCall, shape: Shape<T>, options: CallOptions | undefined): Promise<T> {
    const answer = await this.#exchange({ ...call, signal: options?.signal })
    const parsed = shape.safeParse(answer)
    if (parsed.success) return parsed.data
    throw new APIError(
      `The answer has another shape than it should have: ${parsed.error.message.slice(0, MAX_TOLD)}`,
      { code: 'UNEXPECTED_ANSWER' },
    )
  }

  toJSON(): Record<string, unknown> {
    return {
      baseUrl: this.#baseUrl,
      ...(this.#hasKey && { apiKey: '[secret]' }),
    }
  }

  [inspect.custom](): string {
    return `SymbiontClient ${inspect(this.toJSON())}`
  }
}

function assertSeconds(option: string, value: number, min: number): void {
  if (typeof value === 'number' && value >= min && value <= MAX_WAIT_SECONDS) return
  throw new SymbiontError(`${option} must be a number from ${min} to ${MAX_WAIT_SECONDS}`, {
    code: 'INVALID_OPTION',
  })
}

/** The name that users of the Python SDK know. */
export { SymbiontClient as Client }
