/** Puts HTTP inputs together: ports of their own whose requests start agents. */
import { rowGuard } from '../identity/row-guard.ts'
import type { AgentInvoker } from '../runtime/http-input/agent-invoker.ts'
import { InputStore } from '../runtime/http-input/input-store.ts'
import { HttpInputs } from '../runtime/http-input/inputs.ts'
import { inputVerbs } from '../runtime/http-input/verbs.ts'
import { httpInputRoutes } from '../runtime/routes/http-input.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { SecretResolver } from '../secrets/resolver.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface InputsPieceDeps {
  readonly door: VerbDoor
  readonly agents: AgentInvoker
  readonly secrets: SecretResolver
  readonly warn: (line: string) => void
}

export function assembleInputsPiece(parts: Parts, deps: InputsPieceDeps): RuntimePiece {
  const { config, store, seal, audit, vault, ownListeners } = parts
  const { now } = vault
  const inputs = new HttpInputs({
    store: new InputStore({ store, guard: rowGuard(() => seal.keys), keys: () => seal.keys, now }),
    agents: deps.agents,
    secrets: deps.secrets,
    audit,
    ownListeners,
    allowOpenListeners: config.runtime.allow_open_listeners,
    corsOrigins: config.runtime.cors_origins,
    now,
    warn: deps.warn,
  })
  return {
    routes: httpInputRoutes({ inputs, verbs: deps.door }),
    verbs: inputVerbs(inputs),
    open: () => inputs.open(),
    drain: (budgetMs) => inputs.close(budgetMs),
    close: () => inputs.close(),
  }
}
