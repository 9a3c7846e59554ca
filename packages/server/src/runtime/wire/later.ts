/**
 * Operations that clients know and this version does not serve yet. They are real routes: who may not ask is told
 * that first, and who may learns that the operation is known and not there.
 */
import { VestryError } from '@vestry/contract/errors'
import type { RuntimeMethod, RuntimeRoute } from './route.ts'

export type Area = 'channels' | 'tool manifests' | 'communication rules' | 'reasoning'

type Row = readonly [area: Area, method: RuntimeMethod, path: string]

const ROWS: readonly Row[] = [
  ['channels', 'GET', 'channels'],
  ['channels', 'POST', 'channels'],
  ['channels', 'GET', 'channels/:id'],
  ['channels', 'PUT', 'channels/:id'],
  ['channels', 'DELETE', 'channels/:id'],
  ['channels', 'POST', 'channels/:id/start'],
  ['channels', 'POST', 'channels/:id/stop'],
  ['channels', 'GET', 'channels/:id/health'],
  ['channels', 'GET', 'channels/:id/mappings'],
  ['channels', 'POST', 'channels/:id/mappings'],
  ['channels', 'DELETE', 'channels/:id/mappings/:user'],
  ['channels', 'GET', 'channels/:id/audit'],
  ['tool manifests', 'GET', 'tools'],
  ['tool manifests', 'GET', 'tools/:name'],
  ['tool manifests', 'GET', 'tools/:name/schema'],
  ['tool manifests', 'POST', 'tools/validate'],
  ['tool manifests', 'POST', 'tools/reload'],
  ['tool manifests', 'POST', 'tools/:name/test'],
  ['tool manifests', 'POST', 'tools/:name/execute'],
  ['communication rules', 'GET', 'communication/rules'],
  ['communication rules', 'POST', 'communication/rules'],
  ['communication rules', 'DELETE', 'communication/rules/:id'],
  ['communication rules', 'POST', 'communication/evaluate'],
  ['reasoning', 'GET', 'agents/:id/reasoning/*'],
  ['reasoning', 'POST', 'agents/:id/reasoning/*'],
]

/** Those that none of the routes serves. */
export function laterRoutes(served: readonly RuntimeRoute[]): RuntimeRoute[] {
  const shapes = new Set(served.map(({ method, path }) => shape(method, path)))
  return ROWS.filter(([, method, path]) => !shapes.has(shape(method, path))).map(
    ([area, method, path]) => ({
      method,
      path,
      access: 'key',
      handle: () => {
        throw new VestryError(
          'NOT_IMPLEMENTED',
          `${method} ${path} is not served by this version`,
          {
            context: { details: { area } },
          },
        )
      },
    }),
  )
}

/** Two paths that differ in the names of their parameters are one. */
function shape(method: RuntimeMethod, path: string): string {
  return `${method} ${path.replaceAll(/:[^/]+/g, ':')}`
}
