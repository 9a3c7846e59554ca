/** HTTP endpoints for operators, behind the runtime API. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { Endpoints } from './endpoints.ts'

const Id = z.string().min(1).max(128)
const Config = z.record(z.string(), z.unknown())

type Note = (facts: Record<string, unknown>) => void

export function endpointVerbs(endpoints: Endpoints): AdminVerb[] {
  const change = <S extends z.ZodType>(
    name: string,
    params: S,
    run: (params: z.output<S>, note: Note, by: string) => Promise<Record<string, unknown>>,
  ): AdminVerb =>
    verb({
      name: `endpoint.${name}`,
      action: 'admin:write',
      event: `endpoint.${name}`,
      params,
      run: async ({ params: given, by, note }) => {
        const made = await run(given, note, by)
        note({ endpoint: made['endpoint_id'] })
        return made
      },
    })
  const One = z.strictObject({ endpoint_id: Id })
  return [
    change('add', z.strictObject({ config: Config }), ({ config }, note, by) =>
      endpoints.create(config, by, note),
    ),
    change(
      'update',
      z.strictObject({ endpoint_id: Id, config: Config }),
      ({ endpoint_id: id, config }, note) => endpoints.update(id, config, note),
    ),
    change('enable', One, ({ endpoint_id: id }, note) => endpoints.setStatus(id, 'active', note)),
    change('disable', One, ({ endpoint_id: id }, note) =>
      endpoints.setStatus(id, 'inactive', note),
    ),
    change('rm', One, ({ endpoint_id: id }, note) => endpoints.remove(id, note)),
  ]
}
