/** Secrets, MCP servers and calls that wait for somebody. */
import * as shapes from '@vestry/contract/runtime'
import type { CallOptions, Calls } from './calls.ts'
import { id, segments } from './path.ts'
import type * as requests from './requests.ts'
import { ReviewMethods } from './review-methods.ts'
import { listOf } from './shape.ts'

export class ServerMethods extends ReviewMethods {
  readonly #calls: Calls

  constructor(calls: Calls) {
    super(calls)
    this.#calls = calls
  }

  // Secrets

  async configureSecretBackend(
    config: requests.SecretBackendConfig,
    options?: CallOptions & { /** Copies what the old back end holds. */ migrate?: boolean },
  ): Promise<shapes.AnyObject> {
    const query = options?.migrate === true ? { migrate: true } : undefined
    return this.#calls.post('secrets/config', config, shapes.AnyObject, options, query)
  }

  /** Which back end keeps secrets; nothing of its credentials. */
  async getSecretBackend(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('secrets/config', shapes.AnyObject, options)
  }

  /** How far copying to another back end has come. */
  async getSecretMigration(options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get('secrets/config/migration', shapes.AnyObject, options)
  }

  async storeSecret(
    request: requests.SecretRequest,
    options?: CallOptions,
  ): Promise<shapes.SecretResponse> {
    return this.#calls.post('secrets', request, shapes.SecretResponse, options)
  }

  /** @returns The value itself. */
  async getSecret(agentId: string, secretName: string, options?: CallOptions): Promise<string> {
    const path = `secrets/${id(agentId)}/${segments(secretName)}`
    const { value } = await this.#calls.get(path, shapes.SecretValue, options)
    return value
  }

  /** Names, sorted. */
  async listSecrets(agentId: string, options?: CallOptions): Promise<shapes.SecretListResponse> {
    return this.#calls.get(`secrets/${id(agentId)}`, shapes.SecretListResponse, options)
  }

  async deleteSecret(
    agentId: string,
    secretName: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `secrets/${id(agentId)}/${segments(secretName)}`
    return this.#calls.delete(path, shapes.AnyObject, options)
  }

  // MCP servers

  async addMcpServer(
    config: requests.McpServerConfig,
    options?: CallOptions & {
      /** Takes the place of another one of this name. */ replace?: boolean
    },
  ): Promise<shapes.AnyObject> {
    const query = options?.replace === true ? { replace: true } : undefined
    return this.#calls.post('mcp/servers', config, shapes.AnyObject, options, query)
  }

  async listMcpServers(options?: CallOptions): Promise<shapes.McpConnectionInfo[]> {
    return this.#calls.get('mcp/servers', listOf(shapes.McpConnectionInfo), options)
  }

  async getMcpServer(name: string, options?: CallOptions): Promise<shapes.McpConnectionInfo> {
    return this.#calls.get(`mcp/servers/${id(name)}`, shapes.McpConnectionInfo, options)
  }

  async removeMcpServer(name: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.delete(`mcp/servers/${id(name)}`, shapes.AnyObject, options)
  }

  async connectMcpServer(name: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.repeatable(
      `mcp/servers/${id(name)}/connect`,
      undefined,
      shapes.AnyObject,
      options,
    )
  }

  async disconnectMcpServer(name: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `mcp/servers/${id(name)}/disconnect`
    return this.#calls.repeatable(path, undefined, shapes.AnyObject, options)
  }

  /** Of one server, or of all that are connected. */
  async listMcpTools(server?: string, options?: CallOptions): Promise<shapes.McpToolInfo[]> {
    return this.#calls.get('mcp/tools', listOf(shapes.McpToolInfo), options, {
      server: server || undefined,
    })
  }

  async listMcpResources(
    server?: string,
    options?: CallOptions,
  ): Promise<shapes.McpResourceInfo[]> {
    const query = { server: server || undefined }
    return this.#calls.get('mcp/resources', listOf(shapes.McpResourceInfo), options, query)
  }

  async callMcpTool(
    server: string,
    tool: string,
    args: Readonly<Record<string, unknown>> = {},
    options?: CallOptions,
  ): Promise<shapes.McpToolResult> {
    const path = `mcp/servers/${id(server)}/tools/${id(tool)}/call`
    return this.#calls.post(path, { arguments: args }, shapes.McpToolResult, options)
  }

  async listMcpPrompts(server: string, options?: CallOptions): Promise<shapes.AnyObject[]> {
    return this.#calls.get(`mcp/servers/${id(server)}/prompts`, listOf(shapes.AnyObject), options)
  }

  async readMcpResource(
    server: string,
    uri: string,
    options?: CallOptions,
  ): Promise<shapes.AnyObject> {
    const path = `mcp/servers/${id(server)}/resources/read`
    return this.#calls.get(path, shapes.AnyObject, options, { uri })
  }

  /** What the server last wrote to its standard error. Needs an administrator's key. */
  async getMcpServerLogs(server: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get(`mcp/servers/${id(server)}/logs`, shapes.AnyObject, options)
  }

  // Calls that wait for somebody's yes

  async listApprovals(
    { state }: { /** Default: those that wait. */ state?: string } = {},
    options?: CallOptions,
  ): Promise<shapes.AnyObject[]> {
    return this.#calls.get('approvals', listOf(shapes.AnyObject), options, {
      state: state || undefined,
    })
  }

  async approve(approvalId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.post(
      `approvals/${id(approvalId)}/approve`,
      undefined,
      shapes.AnyObject,
      options,
    )
  }

  async deny(approvalId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.post(
      `approvals/${id(approvalId)}/deny`,
      undefined,
      shapes.AnyObject,
      options,
    )
  }
}
