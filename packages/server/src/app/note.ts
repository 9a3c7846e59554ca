/** Records of what the daemon does by itself. */
import type { AuditEntry } from '../audit/record.ts'

export function note(action: string, detail: string): AuditEntry {
  return { action, phase: 'single', detail, success: true, actor: 'system', source: 'host' }
}
