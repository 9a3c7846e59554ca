/** What operators ask of the export: how it stands, and to send a part of the log once more. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { OtlpExporter } from './exporter.ts'
import type { ExportPlan } from './targets.ts'

export interface ExportVerbDeps {
  /** undefined: nothing is configured. */
  readonly plan: ExportPlan | undefined
  /** undefined until there is a vault, too. */
  readonly exporter: () => OtlpExporter | undefined
}

export function exportVerbs({ plan, exporter }: ExportVerbDeps): AdminVerb[] {
  return [
    verb({
      name: 'telemetry.export_status',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => {
        const running = exporter()
        if (plan === undefined || running === undefined) return { configured: false }
        return {
          configured: true,
          logs: plan.logs?.shown ?? null,
          traces: plan.spans?.shown ?? null,
          ...running.status,
        }
      },
    }),
    verb({
      name: 'telemetry.export',
      action: 'admin:write',
      event: 'telemetry.replay',
      params: z.strictObject({ from: z.int().min(1) }),
      data: ({ from }) => ({ from }),
      run: async ({ params: { from } }) => {
        const running = exporter()
        if (running === undefined) {
          throw new VestryError('INVALID_PARAMS', 'no export is configured', {
            hint: 'Set telemetry.otel.endpoint and restart',
          })
        }
        await running.replay(from)
        return { from, ...running.status }
      },
    }),
  ]
}
