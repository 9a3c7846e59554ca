/** What the audit log hears of servers: each start before it happens, how it went, and the end. */
import { hash } from 'node:crypto'
import { newRequestId } from '@vestry/contract/ids'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import { actorOf, type Caller } from '../../identity/caller.ts'
import type { ServerConfig } from './server-config.ts'

/** Who wanted it; nobody, for what the daemon does by itself. */
export interface Cause {
  readonly caller: Caller | undefined
  readonly why: 'asked' | 'start' | 'seal' | 'stop' | 'removed' | 'changed' | 'by_itself'
}

export const BY_ITSELF: Cause = { caller: undefined, why: 'by_itself' }

export type Audit = Pick<AuditLog, 'append'>

export class ServerRecord {
  readonly #audit: Audit
  readonly #config: ServerConfig

  constructor(audit: Audit, config: ServerConfig) {
    this.#audit = audit
    this.#config = config
  }

  /**
   * Before the process is started or the address connected to.
   *
   * @returns To be called with how it went.
   * @throws VestryError AUDIT_UNAVAILABLE: then it must not happen.
   */
  async begins(cause: Cause, nowMs: () => number): Promise<Begun> {
    const startedMs = nowMs()
    const intent = this.#entry('mcp.connect', cause, 'intent')
    await this.#audit.append(intent, 'synced')
    return {
      started: (pid) =>
        this.#append({
          ...this.#entry('mcp.start', cause, 'single', { child_pid: pid }),
          request_id: intent.request_id,
        }),
      ended: (code, facts) =>
        this.#append({
          ...intent,
          phase: 'outcome',
          success: code === 'OK',
          outcome: { code, duration_ms: nowMs() - startedMs, ...facts },
        }),
    }
  }

  /** The end of a connection that was there. */
  ended(cause: Cause, facts: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#append(this.#entry('mcp.stop', cause, 'single', { why: cause.why, ...facts }))
  }

  async #append(entry: AuditEntry): Promise<void> {
    // The effect has happened; the log tells by itself that it cannot be written.
    await this.#audit.append(entry, 'written').catch(() => undefined)
  }

  #entry(
    action: string,
    { caller, why }: Cause,
    phase: AuditEntry['phase'],
    facts: Readonly<Record<string, unknown>> = {},
  ): AuditEntry {
    const { name, transport } = this.#config
    return {
      action,
      phase,
      detail: `${action.slice('mcp.'.length)} ${name}`,
      success: true,
      actor: caller === undefined ? 'system' : actorOf(caller.principal),
      source: 'mcp',
      request_id: newRequestId(),
      ...(caller !== undefined && {
        txn: caller.txn,
        span: {
          trace_id: caller.trace.traceId,
          span_id: caller.trace.spanId,
          parent_span_id: caller.trace.parentSpanId,
        },
        ...(caller.principal.kind === 'agent' && { agent: caller.principal.agent.name }),
      }),
      data: { server: name, transport, why, command_digest: commandDigest(this.#config), ...facts },
    }
  }
}

export interface Begun {
  started(pid: number): Promise<void>
  ended(code: string, facts: Readonly<Record<string, unknown>>): Promise<void>
}

/** Tells whether two starts were of the same program with the same arguments, and nothing of these. */
function commandDigest({ command, url, cwd }: ServerConfig): string {
  return `sha256:${hash('sha256', JSON.stringify([command, url, cwd]))}`
}
