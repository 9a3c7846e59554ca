/** Records as the log holds them, for tests of correlation: events of agents, and what Vestry did. */
import type { AuditRecord } from '../../audit/record.ts'

export const START_MS = Date.parse('2026-05-02T09:14:07.480Z')

/** Hex ids of fixed length. */
export const traceId = (n: number): string => `tr_${(n + 1).toString(16).padStart(32, '0')}`
export const spanId = (n: number): string => `sp_${(n + 1).toString(16).padStart(16, '0')}`

export interface Who {
  pid?: number
  startTime?: string
  agent?: string
  claimId?: string
  producer?: string
}

export interface Ids {
  trace: string
  span: string
  parent?: string
  run?: string
}

const iso = (ms: number): string => new Date(START_MS + ms).toISOString()

/** Writes records with consecutive numbers; times are milliseconds since {@link START_MS}. */
export class Log {
  readonly records: AuditRecord[] = []
  readonly #numbers = new Map<string, number>()

  get seq(): number {
    return this.records.length
  }

  add(entry: Partial<AuditRecord> & { atMs?: number }): AuditRecord {
    const { atMs = 0, ...rest } = entry
    const record: AuditRecord = {
      v: 2,
      seq: this.records.length + 1,
      timestamp: iso(atMs),
      pod_name: 'ledger',
      action: 'note',
      phase: 'single',
      detail: '',
      success: true,
      actor: 'system',
      source: 'host',
      prev: '',
      hash: '',
      ...rest,
    }
    this.records.push(record)
    return record
  }

  /** An event of an agent. */
  event(
    kind: string,
    ids: Ids,
    atMs: number,
    payload: Record<string, unknown> = {},
    who: Who = {},
  ): AuditRecord {
    const { pid = 4_000, startTime = '100', agent, claimId, producer = 'p_1' } = who
    const seq = (this.#numbers.get(producer) ?? 0) + 1
    this.#numbers.set(producer, seq)
    // What happens within a span has an id of its own.
    const isPoint = kind.startsWith('x.coat.')
    const own = `sp_${(0xf000_0000 + this.seq).toString(16).padStart(16, '0')}`
    const span = {
      trace_id: ids.trace,
      span_id: isPoint ? own : ids.span,
      parent_span_id: isPoint ? ids.span : (ids.parent ?? ''),
    }
    return this.add({
      atMs: atMs + 2,
      action: 'agent_event',
      source: 'coat',
      detail: `${kind} ${String(payload['fn'] ?? '')} span=${ids.span}`,
      success: payload['status'] !== 'error',
      actor: agent === undefined ? 'anonymous' : `agent:${agent}`,
      ...(agent !== undefined && { agent }),
      pid,
      uid: 60_000,
      span,
      event: {
        spec: 'aotp/0.1',
        kind,
        ts: iso(atMs),
        ids: { session_id: '', run_id: ids.run ?? '', step_id: '', ...span },
        subject: { agent_id: agent ?? '', agent_role: '', framework: 'envpod-coat' },
        capture: { mode: 'none' },
        payload,
        producer: { id: producer, seq },
        envpod: {
          pod_id: 'pod_1',
          pid,
          uid: 60_000,
          start_time: startTime,
          ...(agent === undefined
            ? {
                claim_kind: 'anonymous',
                anonymous: { pid, uid: 60_000, fingerprint: `anon_pid${pid}` },
              }
            : { claim_kind: 'claimed', agent_claim_id: claimId ?? 'jti_1', capabilities: [] }),
        },
      },
    })
  }

  /** Leaves out numbers of a producer, as if events had been lost. */
  skip(producer: string, count: number): void {
    this.#numbers.set(producer, (this.#numbers.get(producer) ?? 0) + count)
  }

  /** A lookup that was seen in a process, or only on the network. */
  dns(domain: string, atMs: number, pid?: number): AuditRecord {
    return this.add({
      atMs,
      action: 'dns_query',
      source: 'dns',
      detail: `${domain} A allow`,
      ...(pid !== undefined && { pid }),
      data: { domain, qtype: 'A', decision: 'allow' },
    })
  }

  /** Something that Vestry did for a process. */
  vault(atMs: number, more: Partial<AuditRecord> = {}): AuditRecord {
    return this.add({
      atMs,
      action: 'credential.retrieve',
      source: 'vault',
      detail: 'retrieve openai/key',
      actor: 'agent:auditor',
      pid: 4_000,
      request_id: `r-${this.seq}`,
      outcome: { code: 'OK', duration_ms: 1 },
      ...more,
    })
  }
}
