/** What analyses found, on disk. A row is written once, when its analysis is complete. */
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { Analysis, Finding } from '../analysis/finding.ts'
import { timeText } from './session.ts'

export interface StoredAnalysis extends Analysis {
  readonly id: string
  readonly reviewId: string
  readonly durationMs: number
  readonly completedAtMs: number
}

/** Findings that are kept, the gravest first; a tool with more of them is no better known by the others. */
const MAX_FINDINGS = 500

export class AnalysisStore {
  readonly #store: Pick<Store, 'db'>
  readonly #guard: RowGuard

  constructor(store: Pick<Store, 'db'>, guard: RowGuard) {
    this.#store = store
    this.#guard = guard
  }

  /** @param trx Of the change that completes the analysis. */
  async add(trx: Kysely<Tables>, analysis: StoredAnalysis): Promise<void> {
    const { id, reviewId, durationMs, completedAtMs, ...result } = analysis
    const kept = { ...result, findings: result.findings.slice(0, MAX_FINDINGS) }
    const row = {
      id,
      review_id: reviewId,
      risk_score: analysis.risk_score,
      result_json: JSON.stringify(kept),
      duration_ms: durationMs,
      completed_at: completedAtMs,
    }
    const mac = this.#guard.mac('review_analysis', id, row)
    await trx
      .insertInto('review_analysis')
      .values({ ...row, mac })
      .execute()
  }

  async find(id: string): Promise<StoredAnalysis | undefined> {
    return (await this.findAll([id])).get(id)
  }

  /** @throws VestryError STORE_CORRUPT */
  async findAll(ids: readonly string[]): Promise<ReadonlyMap<string, StoredAnalysis>> {
    if (ids.length === 0) return new Map()
    const rows = await this.#store.db
      .selectFrom('review_analysis')
      .selectAll()
      .where('id', 'in', ids)
      .execute()
    return new Map(rows.map((row) => [row.id, this.#open(row)]))
  }

  /** How long the last analyses took, in ms. */
  async recentDurations(limit: number): Promise<readonly number[]> {
    const rows = await this.#store.db
      .selectFrom('review_analysis')
      .select('duration_ms')
      .orderBy('completed_at', 'desc')
      .limit(limit)
      .execute()
    return rows.map((row) => row.duration_ms)
  }

  #open({ mac, ...row }: Tables['review_analysis']): StoredAnalysis {
    this.#guard.check('review_analysis', row.id, row, mac)
    return {
      ...(JSON.parse(row.result_json) as Analysis), // we wrote it, says the MAC
      id: row.id,
      reviewId: row.review_id,
      durationMs: row.duration_ms,
      completedAtMs: row.completed_at,
    }
  }
}

/** As `state.critical_findings` shows them. */
export function criticalOf(analysis: Analysis | undefined): readonly Finding[] {
  const grave = (analysis?.findings ?? []).filter(
    ({ severity }) => severity === 'critical' || severity === 'high',
  )
  return grave
}

export function analysisBody(analysis: StoredAnalysis): Record<string, unknown> {
  return {
    analysis_id: analysis.id,
    risk_score: analysis.risk_score,
    findings: analysis.findings,
    recommendations: analysis.recommendations,
    completed_at: timeText(analysis.completedAtMs),
    review_id: analysis.reviewId,
    analyzer_version: analysis.analyzer_version,
    schema_hash: analysis.schema_hash,
    rules_run: analysis.rules_run,
    duration_ms: analysis.durationMs,
  }
}

export function analysisNotFound(id: string): VestryError {
  return new VestryError(
    'ANALYSIS_NOT_FOUND',
    `Analysis ${id.slice(0, 64)} does not exist, or is not complete`,
  )
}
