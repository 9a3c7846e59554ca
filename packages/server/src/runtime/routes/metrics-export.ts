/** `POST metrics/export` (runtime contract §15.4): all that is measured, in one answer. */
import { VestryError } from '@vestry/contract/errors'
import { CONTENT_TYPE } from '../../metrics/registry.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'

const FORMATS: readonly unknown[] = ['json', 'prometheus']

/** @param snapshot The same as `GET metrics/snapshot`. */
export function metricsExport(
  deps: { readonly exposition: () => string },
  snapshot: (request: RuntimeRequest) => Promise<Record<string, unknown>>,
): RuntimeRoute {
  return {
    method: 'POST',
    path: 'metrics/export',
    access: 'admin',
    handle: async (request) => {
      const { format } = request.raw.length === 0 ? {} : request.json()
      const wanted = format ?? 'json'
      if (!FORMATS.includes(wanted)) throw unsupported()
      const metrics = await snapshot(request)
      const head = { format: wanted, timestamp: metrics['timestamp'] }
      if (wanted === 'json') return { body: { ...head, metrics } }
      return { body: { ...head, content_type: CONTENT_TYPE, text: deps.exposition() } }
    },
  }
}

function unsupported(): VestryError {
  const problem = 'must be json or prometheus'
  return new VestryError('UNSUPPORTED_VALUE', `format: ${problem}`, {
    context: { details: { fields: [{ path: 'format', problem }] } },
  })
}
