/** Agents: made, looked at, run, and how the whole system is doing. */
import {
  type Agent,
  type AgentExecution,
  type AgentMetrics,
  AgentState,
  type Client,
  type SystemMetrics,
} from '@vestry/sdk/runtime'

export async function makeAgent(client: Client) {
  // Create a new agent
  const agent: Agent = {
    id: 'my-agent',
    name: 'My Assistant',
    description: 'A helpful AI assistant',
    system_prompt: 'You are a helpful assistant.',
    tools: ['web_search', 'calculator'],
    model: 'gpt-4',
    temperature: 0.7,
    top_p: 0.9,
    max_tokens: 1000,
  }
  const result = await client.createAgent(agent)

  // Get list of all agents
  const agents = await client.listAgents()
  return { result, agents }
}

export async function look(client: Client, id: string) {
  const status = await client.getAgentStatus(id)
  return [
    `Agent ${status.agent_id} is ${status.state}`,
    `Memory usage: ${status.resource_usage.memory_bytes} bytes`,
    `CPU usage: ${status.resource_usage.cpu_percent}%`,
    status.state === AgentState.IDLE ? 'It has nothing to do.' : 'It is at work.',
  ]
}

export async function run(client: Client, id: string, input: string): Promise<AgentExecution> {
  const { execution_id: execution } = await client.executeAgent(id, { input })
  for (;;) {
    const found = await client.getAgentExecution(id, execution, { waitSeconds: 20 })
    if (found.status !== 'pending' && found.status !== 'running') return found
  }
}

export async function monitor(client: Client, id: string) {
  // Get comprehensive system metrics
  const system: SystemMetrics = await client.getMetrics()
  // Get agent-specific metrics
  const agent: AgentMetrics = await client.getAgentMetrics(id)
  return [
    `Memory usage: ${system.memory_usage_percent}%`,
    `CPU usage: ${system.cpu_usage_percent}%`,
    `Active agents: ${system.active_agents}`,
    `Vector DB items: ${system.vector_db_items}`,
    `MCP connections: ${system.mcp_connections}`,
    `Tasks completed: ${agent.tasks_completed}`,
    `Average response time: ${agent.average_response_time_ms}ms`,
    `Agent uptime: ${agent.uptime_seconds}s`,
  ]
}
