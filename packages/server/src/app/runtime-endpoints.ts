/** Puts HTTP endpoints together: paths of the runtime API whose requests start agents. */
import { rowGuard } from '../identity/row-guard.ts'
import type { Buckets } from '../limits/bucket.ts'
import { EndpointStore } from '../runtime/endpoints/endpoint-store.ts'
import { Endpoints } from '../runtime/endpoints/endpoints.ts'
import { endpointVerbs } from '../runtime/endpoints/verbs.ts'
import type { AgentInvoker } from '../runtime/http-input/agent-invoker.ts'
import { endpointRoutes } from '../runtime/routes/endpoints.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export function assembleEndpointsPiece(
  parts: Parts,
  deps: {
    door: VerbDoor
    agents: AgentInvoker
    buckets: Buckets
    warn: (line: string) => void
  },
): RuntimePiece {
  const { config, store, seal, vault } = parts
  const { now } = vault
  const endpoints = new Endpoints({
    store: new EndpointStore({ store, guard: rowGuard(() => seal.keys), now }),
    agents: deps.agents,
    buckets: deps.buckets,
    now,
  })
  return {
    routes: endpointRoutes({
      endpoints,
      verbs: deps.door,
      corsOrigins: config.runtime.cors_origins,
    }),
    verbs: endpointVerbs(endpoints),
    open: () => endpoints.open(),
    onChange: (tables) => {
      if (tables.includes('http_endpoint') && seal.state === 'unsealed')
        endpoints.load().catch((error: unknown) => deps.warn(`endpoints: ${String(error)}`))
    },
    close: () => endpoints.close(),
  }
}
