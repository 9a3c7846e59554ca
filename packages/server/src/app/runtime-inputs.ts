/** Puts HTTP inputs together: ports of their own whose requests start agents. */
import { rowGuard } from '../identity/row-guard.ts'
import type { BodyMemory } from '../llm/wire/request-body.ts'
import type { AgentInvoker } from '../runtime/http-input/agent-invoker.ts'
import { InputStore } from '../runtime/http-input/input-store.ts'
import { HttpInputs } from '../runtime/http-input/inputs.ts'
import { inputVerbs } from '../runtime/http-input/verbs.ts'
import { httpInputRoutes } from '../runtime/routes/http-input.ts'
import type { ClientAddress } from '../runtime/wire/client-address.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { SecretResolver } from '../secrets/resolver.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface InputsPieceDeps {
  readonly door: VerbDoor
  readonly agents: AgentInvoker
  readonly secrets: SecretResolver
  /** Shared with the API. */
  readonly bodies: BodyMemory
  readonly clientAddress: ClientAddress
  readonly warn: (line: string) => void
}

export function assembleInputsPiece(parts: Parts, deps: InputsPieceDeps): RuntimePiece {
  const { config, store, seal, audit, vault, ownListeners } = parts
  const { bodies, warn } = deps
  const { now } = vault
  const inputs = new HttpInputs({
    store: new InputStore({ store, guard: rowGuard(() => seal.keys), keys: () => seal.keys, now }),
    agents: deps.agents,
    secrets: deps.secrets,
    audit,
    refused: vault.stations.refused,
    bodies,
    clientAddress: deps.clientAddress,
    ownListeners,
    allowOpenListeners: config.runtime.allow_open_listeners,
    corsOrigins: config.runtime.cors_origins,
    now,
    warn,
  })
  return {
    routes: httpInputRoutes({ inputs, verbs: deps.door }),
    verbs: inputVerbs(inputs),
    open: () => inputs.open(),
    onChange: (tables) => {
      inputs.onChange(tables).catch((error: unknown) => warn(`HTTP inputs: ${String(error)}`))
    },
    drain: (budgetMs) => inputs.close(budgetMs),
    close: () => inputs.close(),
  }
}
