/** HTTP inputs and endpoints. */
import * as shapes from '@vestry/contract/runtime'
import type { CallOptions, Calls } from './calls.ts'
import { id } from './path.ts'
import type * as requests from './requests.ts'
import { ServerMethods } from './server-methods.ts'
import { listOf } from './shape.ts'

export class HttpMethods extends ServerMethods {
  readonly #calls: Calls

  constructor(calls: Calls) {
    super(calls)
    this.#calls = calls
  }

  // HTTP inputs

  async createHttpInputServer(
    request: requests.HttpInputCreateRequest,
    options?: CallOptions,
  ): Promise<shapes.HttpInputServerInfo> {
    return this.#calls.post('http-input/servers', request, shapes.HttpInputServerInfo, options)
  }

  async listHttpInputServers(options?: CallOptions): Promise<shapes.HttpInputServerInfo[]> {
    return this.#calls.get('http-input/servers', listOf(shapes.HttpInputServerInfo), options)
  }

  async getHttpInputServer(
    serverId: string,
    options?: CallOptions,
  ): Promise<shapes.HttpInputServerInfo> {
    return this.#calls.get(
      `http-input/servers/${id(serverId)}`,
      shapes.HttpInputServerInfo,
      options,
    )
  }

  async updateHttpInputServer(
    request: requests.HttpInputUpdateRequest,
    options?: CallOptions,
  ): Promise<shapes.HttpInputServerInfo> {
    const path = `http-input/servers/${id(request.server_id)}`
    return this.#calls.put(path, request, shapes.HttpInputServerInfo, options)
  }

  async startHttpInputServer(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `http-input/servers/${id(serverId)}/start`
    return this.#calls.post(path, undefined, shapes.AnyObject, options)
  }

  async stopHttpInputServer(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    const path = `http-input/servers/${id(serverId)}/stop`
    return this.#calls.repeatable(path, undefined, shapes.AnyObject, options)
  }

  async deleteHttpInputServer(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.delete(`http-input/servers/${id(serverId)}`, shapes.AnyObject, options)
  }

  async triggerWebhook(
    request: requests.WebhookTriggerRequest,
    options?: CallOptions,
  ): Promise<shapes.WebhookTriggerResponse> {
    const path = `http-input/servers/${id(request.server_id)}/trigger`
    return this.#calls.post(path, request, shapes.WebhookTriggerResponse, options)
  }

  async getHttpInputMetrics(serverId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.get(`http-input/servers/${id(serverId)}/metrics`, shapes.AnyObject, options)
  }

  // Endpoints

  async createHttpEndpoint(
    request: requests.HttpEndpointCreateRequest,
    options?: CallOptions,
  ): Promise<shapes.EndpointChange> {
    return this.#calls.post('endpoints', request, shapes.EndpointChange, options)
  }

  async listHttpEndpoints(options?: CallOptions): Promise<shapes.HttpEndpointInfo[]> {
    return this.#calls.get('endpoints', listOf(shapes.HttpEndpointInfo), options)
  }

  async getHttpEndpoint(
    endpointId: string,
    options?: CallOptions,
  ): Promise<shapes.HttpEndpointInfo> {
    return this.#calls.get(`endpoints/${id(endpointId)}`, shapes.HttpEndpointInfo, options)
  }

  async updateHttpEndpoint(
    { endpoint_id: endpointId, ...changes }: requests.HttpEndpointUpdateRequest,
    options?: CallOptions,
  ): Promise<shapes.EndpointChange> {
    return this.#calls.put(`endpoints/${id(endpointId)}`, changes, shapes.EndpointChange, options)
  }

  async deleteHttpEndpoint(endpointId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.delete(`endpoints/${id(endpointId)}`, shapes.AnyObject, options)
  }

  async getEndpointMetrics(
    endpointId: string,
    options?: CallOptions,
  ): Promise<shapes.EndpointMetrics> {
    return this.#calls.get(`endpoints/${id(endpointId)}/metrics`, shapes.EndpointMetrics, options)
  }

  async enableHttpEndpoint(endpointId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.post(
      `endpoints/${id(endpointId)}/enable`,
      undefined,
      shapes.AnyObject,
      options,
    )
  }

  async disableHttpEndpoint(endpointId: string, options?: CallOptions): Promise<shapes.AnyObject> {
    return this.#calls.post(
      `endpoints/${id(endpointId)}/disable`,
      undefined,
      shapes.AnyObject,
      options,
    )
  }
}
