/** The audit log as a test reads it: parsed, and filtered. */
import type { AuditRecord } from '../../packages/server/src/audit/record.ts'
import type { TestDaemon } from './daemon.ts'

/** Every record so far, or those of one action. */
export function recordsOf(vestry: TestDaemon, action?: string): AuditRecord[] {
  const all = vestry.auditLines().map((line): AuditRecord => JSON.parse(line))
  return action === undefined ? all : all.filter((record) => record.action === action)
}

/** Those of one request, as its answer or its error names it. */
export function recordsOfRequest(vestry: TestDaemon, requestId: string): AuditRecord[] {
  return recordsOf(vestry).filter(({ request_id }) => request_id === requestId)
}
