/** Two ways in for others: a port of its own whose requests start agents, and an endpoint of the API. */
import { type Client, HttpMethod, RouteMatchType } from '@vestry/sdk/runtime'

export async function openInput(client: Client, agentId: string, smsAgentId: string) {
  const input = await client.createHttpInputServer({
    config: {
      agent_id: agentId,
      bind_address: '127.0.0.1',
      port: 0,
      routing_rules: [
        {
          condition_type: RouteMatchType.JSON_FIELD_EQUALS,
          condition_target: 'source',
          condition_value: 'sms',
          agent_id: smsAgentId,
        },
      ],
    },
  })
  const { server_id: serverId } = input
  const triggered = await client.triggerWebhook({
    server_id: serverId,
    payload: { source: 'sms' },
  })
  await client.deleteHttpInputServer(serverId)
  return triggered
}

export async function openEndpoint(client: Client, agentId: string) {
  const { endpoint_id: id } = await client.createHttpEndpoint({
    path: 'orders',
    method: HttpMethod.POST,
    agent_id: agentId,
    rate_limit: 60,
  })
  const endpoint = await client.getHttpEndpoint(id)
  await client.deleteHttpEndpoint(id)
  return endpoint
}
