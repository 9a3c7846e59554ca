/** Work in steps: a workflow is run to its end, and a long one is waited for. */
import type {
  Client,
  WorkflowExecutionRequest,
  WorkflowExecutionResponse,
} from '@vestry/sdk/runtime'

/** What a table says, column by column. */
export async function analyse(
  client: Client,
  inputData: string,
  agentId?: string,
): Promise<WorkflowExecutionResponse> {
  // Execute a workflow
  const request: WorkflowExecutionRequest = {
    workflow_id: 'data-analysis-workflow',
    parameters: { input_data: inputData, analysis_type: 'statistical' },
    ...(agentId !== undefined && { agent_id: agentId }), // Optional
  }
  return finish(client, await client.executeWorkflow(request))
}

/** What takes longer than one answer may is still `running`. */
export async function finish(
  client: Client,
  { execution_id: id, ...run }: WorkflowExecutionResponse,
): Promise<WorkflowExecutionResponse> {
  if (run.status !== 'running') return { ...run, execution_id: id }
  return client.waitForWorkflow(id, { timeoutSeconds: 600, intervalSeconds: 0.5 })
}
