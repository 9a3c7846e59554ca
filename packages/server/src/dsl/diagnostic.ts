/** What is wrong with a source, where, and what to write instead. */
import type { Span } from './ast.ts'

export const ERROR_CODES = [
  'E_SYNTAX',
  'E_UNEXPECTED_EOF',
  'E_MISSING_SEMICOLON',
  'E_DUPLICATE',
  'E_NO_AGENT',
  'E_AGENT_NAME',
  'E_AGENT_EXISTS',
  'E_SANDBOX',
  'E_TIMEOUT',
  'E_SCHEDULE',
  'E_CRON',
  'E_TIMEZONE',
  'E_CHANNEL',
  'E_WEBHOOK',
  'E_MEMORY_STORE',
  'E_RETENTION',
  'E_UNKNOWN_AGENT_REF',
  'E_TYPE',
  'E_TOO_DEEP',
  'E_TOO_LARGE',
  'E_SECRET_LITERAL',
] as const

export const WARNING_CODES = [
  'W_AGENT_NAME',
  'W_UNKNOWN_ATTRIBUTE',
  'W_UNRESOLVED_CALL',
  'W_UNRESOLVED_TOOL',
  'W_NO_POLICY',
  'W_PERMISSIVE_POLICY',
  'W_UNREACHABLE',
  'W_UNUSED',
  'W_SHADOWED',
  'W_NUMERIC_TIMEOUT',
  'W_BLOCK_COMMENT',
  'W_DIALECT',
] as const

export type DiagnosticCode = (typeof ERROR_CODES)[number] | (typeof WARNING_CODES)[number]

export interface Diagnostic {
  readonly severity: 'error' | 'warning'
  readonly code: DiagnosticCode
  readonly message: string
  readonly span: Span
  /** What to write instead, or what was probably meant. */
  readonly hint?: string
}

/** `14:1 E_UNEXPECTED_EOF: action body is not closed` */
export function diagnosticLine({ span, code, message }: Diagnostic): string {
  return `${span.start.line}:${span.start.column} ${code}: ${message}`
}
