/** An agent that is a program: compiled, deployed, invoked at its address, and stopped. */
import type { AgentDeployResponse, Client, DslCompileRequest } from '@vestry/sdk/runtime'

export const webhookHandler = `
agent webhook_handler {
    name: "Webhook Handler"
    description: "Handles incoming webhooks"
    
    trigger github_webhook {
        on_push: main
    }
    
    action process_webhook {
        validate_signature()
        parse_payload()
        trigger_workflow()
    }
}
`

/** @throws Error with every problem and its place. */
export async function compile(client: Client, source: string, name: string): Promise<string> {
  const request: DslCompileRequest = {
    dsl_content: source,
    agent_name: name,
    validate_only: false,
  }
  const { agent_id: agentId, errors } = await client.compileDsl(request)
  if (!agentId) throw new Error(`Compilation errors: ${errors.join('; ')}`)
  return agentId
}

export async function deploy(client: Client, agentId: string): Promise<AgentDeployResponse> {
  // Deploy the agent
  return client.deployAgent({
    agent_id: agentId,
    environment: 'production',
    config_overrides: { max_concurrent_tasks: 10, workflow_id: 'echo' },
  })
}

/** As anybody who has the address and a key does. */
export async function invoke(endpointUrl: string, apiKey: string, input: object) {
  const answer = await fetch(endpointUrl, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(input),
  })
  return answer.json()
}
