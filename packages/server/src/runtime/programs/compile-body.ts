/** What clients are told of a compilation. Pure. */
import type { Compiled } from '../../dsl/compile.ts'
import { type Diagnostic, diagnosticLine } from '../../dsl/diagnostic.ts'
import { wireDiagnostic } from '../../dsl/explain.ts'
import type { Registered } from './compile.ts'

export function compileBody(
  source: string,
  { agent, success, diagnostics }: Compiled,
  made: Registered | undefined,
  nowMs: number,
): Record<string, unknown> {
  const of = (severity: Diagnostic['severity']) =>
    diagnostics.filter((one) => one.severity === severity).map(diagnosticLine)
  return {
    success,
    agent_id: made?.agent.name ?? null,
    errors: of('error'),
    warnings: of('warning'),
    compiled_at: new Date(nowMs).toISOString(),
    diagnostics: diagnostics.map((one) => wireDiagnostic(one, source)),
    agent_definition: agent?.definition ?? null,
    ...(made !== undefined && { agent_version: made.version.version }),
  }
}
