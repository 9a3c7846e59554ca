/** Who exports: said once per request. */
import { platform } from 'node:os'
import type { Message } from './schema.ts'
import { ENVPOD, GEN_AI_REVISION, OI, OTEL } from './semconv.ts'
import { keyValues, type Value } from './value.ts'

export interface ResourceFacts {
  readonly serviceName: string
  readonly podId: string
  readonly podName: string
  readonly hostName: string
}

export function resourceOf({ serviceName, podId, podName, hostName }: ResourceFacts): Message {
  const attributes: Record<string, Value> = {
    [OTEL.serviceName]: serviceName,
    [OTEL.serviceInstance]: podId,
    [ENVPOD.podId]: podId,
    [ENVPOD.podName]: podName,
    [OI.project]: serviceName,
    [OTEL.host]: hostName,
    [OTEL.os]: platform(),
    [OTEL.language]: 'nodejs',
    [ENVPOD.semconv]: GEN_AI_REVISION,
  }
  return { attributes: keyValues(Object.entries(attributes)) }
}
