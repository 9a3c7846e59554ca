/** What `bench/llm.ts` saves, for who reads it. */
import type { Streamed } from './llm-load.ts'
import type { Measured } from './load.ts'
import type { TokenCosts } from './tokens.ts'

export interface OneCaller {
  readonly direct: Measured
  readonly direct_kept: Measured
  readonly gateway: Measured
  readonly gateway_over_tcp: Measured
  readonly gateway_with_budgets: Measured
  readonly portkey?: Measured
  readonly portkey_kept?: Measured
  readonly added_p50_ms: number
  readonly added_p50_ms_with_budgets: number
  readonly added_p50_ms_against_kept: number
}

export interface ManyCallers {
  readonly direct: Measured
  readonly gateway: Measured
  readonly gateway_with_budgets: Measured
  readonly portkey?: Measured
  readonly portkey_kept?: Measured
  readonly times_portkey?: number
  readonly times_portkey_kept?: number
}

export interface LlmResult {
  readonly question: string
  readonly rival: string
  readonly one_caller: { readonly bar: string; readonly rounds: readonly OneCaller[] }
  readonly sixteen_callers: { readonly bar: string; readonly rounds: readonly ManyCallers[] }
  readonly streams: {
    readonly at_once: number
    readonly direct: Streamed
    readonly gateway: Streamed
    readonly added_first_event_p50_ms: number
  }
  readonly memory: {
    readonly streams: number
    readonly rss_mib_before: number
    readonly rss_mib_after_half: number
    readonly rss_mib_after: number
  }
  readonly tokens: TokenCosts
}
