/** Workflows, the agent language, deployments and schedules. */
import * as shapes from '@vestry/contract/runtime'
import { AgentMethods } from './agent-methods.ts'
import type { CallOptions, Calls } from './calls.ts'
import { id } from './path.ts'
import type * as requests from './requests.ts'
import { listOf } from './shape.ts'
import { lookUntil, type WaitOptions } from './waiting.ts'
import { type WatchOptions, type WorkflowExecutionEvent, watchRun } from './watching.ts'

const UNDER_WAY: ReadonlySet<string> = new Set(['pending', 'running'])

export class ProgramMethods extends AgentMethods {
  readonly #calls: Calls

  constructor(calls: Calls) {
    super(calls)
    this.#calls = calls
  }

  // Workflows

  async executeWorkflow(
    request: requests.WorkflowExecutionRequest,
    options?: CallOptions,
  ): Promise<shapes.WorkflowExecutionResponse> {
    return this.#calls.post('workflows', request, shapes.WorkflowExecutionResponse, options)
  }

  /** How a run goes, with each of its steps. */
  async getWorkflowExecution(
    executionId: string,
    options?: CallOptions,
  ): Promise<shapes.WorkflowExecutionResponse> {
    const path = `workflows/executions/${id(executionId)}`
    return this.#calls.get(path, shapes.WorkflowExecutionResponse, options)
  }

  /**
   * Looks at once, and then every `intervalSeconds`, until the run has ended, whether well or not.
   *
   * @throws TimeoutError when it has not within `timeoutSeconds`. The run goes on.
   */
  async waitForWorkflow(
    executionId: string,
    options: WaitOptions = {},
  ): Promise<shapes.WorkflowExecutionResponse> {
    return lookUntil(
      {
        look: (given) => this.getWorkflowExecution(executionId, given),
        isDone: ({ status }) => !UNDER_WAY.has(status),
        late: `Workflow execution ${executionId} did not end`,
      },
      options,
    )
  }

  /**
   * Each step as it begins or ends, and at last how the run ended. A connection that breaks off is opened again, at most
   * `maxRetries` times in a row without anything new. Leaving the loop ends the watching; the run goes on.
   */
  async *watchWorkflowExecution(
    executionId: string,
    options: WatchOptions = {},
  ): AsyncGenerator<WorkflowExecutionEvent, void, undefined> {
    const path = `workflows/executions/${id(executionId)}/events`
    yield* watchRun(this.#calls.events, path, options)
  }

  /** Newest first. */
  async listWorkflowExecutions(
    { workflow_id: workflowId, status }: requests.ListExecutionsQuery = {},
    options?: CallOptions,
  ): Promise<shapes.WorkflowExecutionList> {
    const query = { workflow_id: workflowId, status }
    return this.#calls.get('workflows/executions', shapes.WorkflowExecutionList, options, query)
  }

  /** Tells a run what one of its steps waits for. */
  async signalWorkflow(
    executionId: string,
    name: string,
    value: Readonly<Record<string, unknown>> = {},
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `workflows/executions/${id(executionId)}/signals/${id(name)}`
    return this.#calls.post(path, value, shapes.AnyObject, options)
  }

  async cancelWorkflowExecution(
    executionId: string,
    options?: CallOptions,
  ): Promise<shapes.WorkflowExecutionResponse> {
    const path = `workflows/executions/${id(executionId)}`
    return this.#calls.delete(path, shapes.WorkflowExecutionResponse, options)
  }

  async createWorkflowDefinition(
    definition: requests.WorkflowDefinitionInput,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.post('workflows/definitions', definition, shapes.AnyObject, options)
  }

  async listWorkflowDefinitions(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('workflows/definitions', shapes.AnyObject, options)
  }

  async getWorkflowDefinition(
    definitionId: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    return this.#calls.get(`workflows/definitions/${id(definitionId)}`, shapes.AnyObject, options)
  }

  async updateWorkflowDefinition(
    definitionId: string,
    definition: requests.WorkflowDefinitionInput,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `workflows/definitions/${id(definitionId)}`
    return this.#calls.put(path, definition, shapes.AnyObject, options)
  }

  async deleteWorkflowDefinition(
    definitionId: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `workflows/definitions/${id(definitionId)}`
    return this.#calls.delete(path, shapes.AnyObject, options)
  }

  // The agent language and deployments

  async compileDsl(
    request: requests.DslCompileRequest,
    options?: CallOptions,
  ): Promise<shapes.DslCompileResponse> {
    const call = { method: 'POST', path: 'dsl/compile', body: request } as const
    const repeatable = request.validate_only === true
    return this.#calls.send({ ...call, repeatable }, shapes.DslCompileResponse, options)
  }

  async deployAgent(
    request: requests.AgentDeployRequest,
    options?: CallOptions,
  ): Promise<shapes.AgentDeployResponse> {
    return this.#calls.post('agents/deploy', request, shapes.AgentDeployResponse, options)
  }

  async getAgentDeployment(
    deploymentId: string,
    options?: CallOptions,
  ): Promise<shapes.AgentDeployResponse> {
    return this.#calls.get(
      `agents/deployments/${id(deploymentId)}`,
      shapes.AgentDeployResponse,
      options,
    )
  }

  async listAgentDeployments(
    agentId?: string,
    options?: CallOptions,
  ): Promise<shapes.AgentDeployResponse[]> {
    const query = { agent_id: agentId || undefined }
    return this.#calls.get('agents/deployments', listOf(shapes.AgentDeployResponse), options, query)
  }

  async stopAgentDeployment(
    deploymentId: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `agents/deployments/${id(deploymentId)}/stop`
    return this.#calls.repeatable(path, undefined, shapes.AnyObject, options)
  }

  /** The version before this one takes over. */
  async rollbackAgentDeployment(
    deploymentId: string,
    options?: CallOptions,
  ): Promise<shapes.AgentDeployResponse> {
    const path = `agents/deployments/${id(deploymentId)}/rollback`
    return this.#calls.post(path, undefined, shapes.AgentDeployResponse, options)
  }

  /** Runs the agent of a deployment, as a request to its `endpoint_url` does. */
  async invokeDeployment(
    deploymentId: string,
    input: Readonly<Record<string, unknown>> = {},
    options?: CallOptions,
  ): Promise<shapes.InvokeResponse> {
    return this.#calls.post(`invoke/${id(deploymentId)}`, input, shapes.InvokeResponse, options)
  }

  // Schedules

  async createSchedule(
    request: requests.ScheduleCreateRequest,
    options?: CallOptions,
  ): Promise<shapes.ScheduleCreated> {
    return this.#calls.post('schedules', request, shapes.ScheduleCreated, options)
  }

  async listSchedules(options?: CallOptions): Promise<shapes.ScheduleSummary[]> {
    return this.#calls.get('schedules', listOf(shapes.ScheduleSummary), options)
  }

  async getSchedule(scheduleId: string, options?: CallOptions): Promise<shapes.ScheduleDetail> {
    return this.#calls.get(`schedules/${id(scheduleId)}`, shapes.ScheduleDetail, options)
  }

  async updateSchedule(
    scheduleId: string,
    changes: requests.ScheduleUpdateRequest,
    options?: CallOptions,
  ): Promise<shapes.ScheduleDetail> {
    const path = `schedules/${id(scheduleId)}`
    return this.#calls.put(path, changes, shapes.ScheduleDetail, options)
  }

  async deleteSchedule(scheduleId: string, options?: CallOptions): Promise<shapes.ScheduleDeleted> {
    return this.#calls.delete(`schedules/${id(scheduleId)}`, shapes.ScheduleDeleted, options)
  }

  async pauseSchedule(scheduleId: string, options?: CallOptions): Promise<shapes.ScheduleAction> {
    const path = `schedules/${id(scheduleId)}/pause`
    return this.#calls.repeatable(path, undefined, shapes.ScheduleAction, options)
  }

  async resumeSchedule(scheduleId: string, options?: CallOptions): Promise<shapes.ScheduleAction> {
    const path = `schedules/${id(scheduleId)}/resume`
    return this.#calls.repeatable(path, undefined, shapes.ScheduleAction, options)
  }

  /** Runs it once, now. */
  async triggerSchedule(scheduleId: string, options?: CallOptions): Promise<shapes.ScheduleAction> {
    const path = `schedules/${id(scheduleId)}/trigger`
    return this.#calls.post(path, undefined, shapes.ScheduleAction, options)
  }

  /** Newest first. */
  async getScheduleHistory(
    scheduleId: string,
    options?: CallOptions & { /** Default 50. */ limit?: number },
  ): Promise<shapes.ScheduleHistory> {
    const query = { limit: options?.limit }
    const path = `schedules/${id(scheduleId)}/history`
    return this.#calls.get(path, shapes.ScheduleHistory, options, query)
  }

  async getNextRuns(
    scheduleId: string,
    options?: CallOptions & { /** Default 10. */ count?: number },
  ): Promise<shapes.NextRuns> {
    const query = { count: options?.count }
    return this.#calls.get(`schedules/${id(scheduleId)}/next-runs`, shapes.NextRuns, options, query)
  }

  async getSchedulerHealth(options?: CallOptions): Promise<shapes.SchedulerHealth> {
    return this.#calls.get('health/scheduler', shapes.SchedulerHealth, options)
  }
}
