/** The parts the LLM gateway's calls work with, put together once by app/. */
import type { Stations } from '../call/perform.ts'
import type { RunGate } from '../identity/runs/run-gate.ts'
import type { Denials } from './call/denials.ts'
import type { Duplicates } from './call/duplicates.ts'
import type { InFlight } from './call/in-flight.ts'
import type { CallsUnderWay } from './call/under-way.ts'
import type { LlmMetrics } from './metrics.ts'
import type { Prices } from './prices/prices.ts'
import type { Backend } from './providers/backend.ts'
import type { ProviderTable } from './providers/provider-table.ts'
import type { RemoteDeps } from './providers/remote.ts'
import type { LlmSettings } from './settings.ts'
import type { SignatureBook } from './signatures.ts'
import type { BodyMemory } from './wire/request-body.ts'

export interface Llm extends RemoteDeps {
  readonly settings: LlmSettings
  /** Request rates that nobody configured are lifted, and a stand-in fills providers that are not configured. */
  readonly dev: boolean
  readonly stations: Stations
  readonly gate: Pick<RunGate, 'verify'>
  readonly providers: ProviderTable
  readonly prices: Prices
  readonly mock: Backend
  readonly signatures: SignatureBook
  readonly inFlight: InFlight
  readonly denials: Denials
  readonly duplicates: Duplicates<{ readonly body: Uint8Array }>
  readonly bodies: BodyMemory
  readonly metrics: LlmMetrics
  readonly draining: () => boolean
  /** Ended when a stop has waited for them long enough, and when the vault is sealed. */
  readonly calls: CallsUnderWay
  /** Epoch ms. */
  readonly now: () => number
  readonly onInternalError: (requestId: string, error: unknown) => void
}
