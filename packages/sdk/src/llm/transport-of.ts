/** Which way a client goes. */
import { ConfigurationError } from '../sage/errors.ts'
import type { GatewayClient } from '../sage/gateway-client.ts'
import { directTransport } from './direct.ts'
import { gatewayTransport } from './gateway-transport.ts'
import type { ModelTransport } from './transport.ts'

/** @throws ConfigurationError for a client that can neither send nor name a key. */
export function transportOf(client: GatewayClient): ModelTransport {
  const { request, requestStream, getApiKey } = client
  if (!client.isGatewayMode) {
    if (getApiKey === undefined) throw new ConfigurationError('The client has no provider keys')
    return directTransport({
      endpointOf: (provider) => client.getEndpoint(provider),
      keyOf: getApiKey.bind(client),
    })
  }
  if (request === undefined || requestStream === undefined) {
    throw new ConfigurationError('The gateway client cannot send requests')
  }
  return gatewayTransport({
    request: request.bind(client),
    requestStream: requestStream.bind(client),
  })
}
