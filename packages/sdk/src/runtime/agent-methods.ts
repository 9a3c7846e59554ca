/** The system and its agents. */
import * as shapes from '@vestry/contract/runtime'
import type { CallOptions, Calls } from './calls.ts'
import { id } from './path.ts'
import type * as requests from './requests.ts'
import { LIST_OF_TEXT } from './shape.ts'

export class AgentMethods {
  readonly #calls: Calls

  constructor(calls: Calls) {
    this.#calls = calls
  }

  // System

  /** Whether the server works. Needs no key. */
  async healthCheck(options?: CallOptions): Promise<shapes.HealthResponse> {
    return this.#calls.get('health', shapes.HealthResponse, options)
  }

  /** Needs an administrator's key. */
  async getMetrics(options?: CallOptions): Promise<shapes.SystemMetrics> {
    return this.#calls.get('metrics', shapes.SystemMetrics, options)
  }

  /** Scheduler, tasks and load, and the host. Needs an administrator's key. */
  async getMetricsSnapshot(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('metrics/snapshot', shapes.AnyObject, options)
  }

  /** Version and counts in short. Needs an administrator's key. */
  async getStatus(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('status', shapes.AnyObject, options)
  }

  /** Needs an administrator's key. */
  async getSchedulerMetrics(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('metrics/scheduler', shapes.AnyObject, options)
  }

  /** Needs an administrator's key. */
  async getSystemMetrics(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('metrics/system', shapes.AnyObject, options)
  }

  /** Everything that is measured, in one text. Needs an administrator's key. */
  async exportMetrics(
    { format }: { /** Default `json`. */ format?: 'json' | 'prometheus' } = {},
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const body = format === undefined ? {} : { format }
    return this.#calls.repeatable('metrics/export', body, shapes.AnyObject, options)
  }

  async getAgentMetrics(agentId: string, options?: CallOptions): Promise<shapes.AgentMetrics> {
    return this.#calls.get(`agents/${id(agentId)}/metrics`, shapes.AgentMetrics, options)
  }

  // Agents

  /** Ids, oldest first. */
  async listAgents(options?: CallOptions): Promise<string[]> {
    return this.#calls.get('agents', LIST_OF_TEXT, options)
  }

  async getAgentStatus(
    agentId: string,
    options?: CallOptions,
  ): Promise<shapes.AgentStatusResponse> {
    return this.#calls.get(`agents/${id(agentId)}`, shapes.AgentStatusResponse, options)
  }

  async createAgent(agent: requests.AgentInput, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.post('agents', agent, shapes.AnyObject, options)
  }

  async updateAgent(
    agentId: string,
    changes: Partial<requests.AgentInput>,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.put(`agents/${id(agentId)}`, changes, shapes.AnyObject, options)
  }

  async deleteAgent(agentId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.delete(`agents/${id(agentId)}`, shapes.AnyObject, options)
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
    return this.#calls.post(path, request, shapes.AgentExecutionStarted, options)
  }

  /** With the input of the execution before, unless it is given another one. */
  async reExecuteAgent(
    agentId: string,
    request: requests.ExecuteAgentRequest = {},
    options?: CallOptions,
  ): Promise<shapes.AgentExecutionStarted> {
    const path = `agents/${id(agentId)}/re-execute`
    return this.#calls.post(path, request, shapes.AgentExecutionStarted, options)
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
    return this.#calls.get(path, shapes.AgentExecution, options, query)
  }

  async cancelAgentExecution(
    agentId: string,
    executionId: string,
    options?: CallOptions,
  ): Promise<shapes.AgentExecution> {
    const path = `agents/${id(agentId)}/executions/${id(executionId)}`
    return this.#calls.delete(path, shapes.AgentExecution, options)
  }

  /** Newest first. */
  async getAgentHistory(
    agentId: string,
    options?: CallOptions & { /** Default 100. */ limit?: number },
  ): Promise<shapes.AgentHistory> {
    const query = { limit: options?.limit }
    return this.#calls.get(`agents/${id(agentId)}/history`, shapes.AgentHistory, options, query)
  }

  /** Ends all that the agent does at present. */
  async stopAgent(agentId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `agents/${id(agentId)}/stop`
    return this.#calls.repeatable(path, undefined, shapes.AnyObject, options)
  }

  // Agents that run elsewhere, and messages between agents

  async sendAgentHeartbeat(
    agentId: string,
    heartbeat: requests.AgentHeartbeat,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `agents/${id(agentId)}/heartbeat`
    return this.#calls.repeatable(path, heartbeat, shapes.AnyObject, options)
  }

  async sendAgentEvent(
    agentId: string,
    event: requests.AgentEvent,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.post(`agents/${id(agentId)}/events`, event, shapes.AnyObject, options)
  }

  /** The last hundred. */
  async listAgentEvents(agentId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get(`agents/${id(agentId)}/events`, shapes.AnyObject, options)
  }

  async sendMessage(
    recipientId: string,
    message: requests.MessageInput,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.post(
      `agents/${id(recipientId)}/messages`,
      message,
      shapes.AnyObject,
      options,
    )
  }

  /** Takes them out of the mailbox; so it is sent once, whatever becomes of it. */
  async receiveMessages(agentId: string, options?: CallOptions): Promise<shapes.AgentMessages> {
    const call = { method: 'GET', path: `agents/${id(agentId)}/messages`, once: true } as const
    return this.#calls.send(call, shapes.AgentMessages, options)
  }

  async getMessageStatus(messageId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get(`messages/${id(messageId)}/status`, shapes.AnyObject, options)
  }
}
