/** HTTP inputs for operators: behind the runtime API and the command line alike. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { HttpInputs } from './inputs.ts'

const Id = z.string().min(1).max(128)
const One = z.strictObject({ server_id: Id })
const Config = z.record(z.string(), z.unknown())
const Payload = z.record(z.string(), z.unknown())
const Headers = z.record(z.string().max(128), z.string().max(8_192))

type Note = (facts: Record<string, unknown>) => void

export function inputVerbs(inputs: HttpInputs): AdminVerb[] {
  const one = (
    name: string,
    event: string,
    run: (id: string, note: Note) => Promise<Record<string, unknown>>,
  ): AdminVerb =>
    verb({
      name,
      action: 'admin:write',
      event,
      params: One,
      data: ({ server_id: id }) => ({ input: id }),
      run: ({ params, note }) => run(params.server_id, note),
    })
  return [
    verb({
      name: 'input.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => ({ inputs: inputs.list() }),
    }),
    verb({
      name: 'input.show',
      action: 'admin:read',
      event: 'admin.read',
      params: One,
      run: async ({ params: { server_id: id } }) => ({
        ...inputs.info(id),
        metrics: inputs.metrics(id),
      }),
    }),
    verb({
      name: 'input.add',
      action: 'admin:write',
      event: 'http_input.add',
      params: z.strictObject({ config: Config }),
      run: ({ params, note }) => inputs.create(params.config, note),
    }),
    verb({
      name: 'input.update',
      action: 'admin:write',
      event: 'http_input.update',
      params: z.strictObject({ server_id: Id, config: Config }),
      data: ({ server_id: id }) => ({ input: id }),
      run: ({ params, note }) => inputs.update(params.server_id, params.config, note),
    }),
    one('input.start', 'http_input.start', (id, note) => inputs.start(id, note)),
    one('input.stop', 'http_input.stop', (id, note) => inputs.stop(id, note)),
    one('input.rm', 'http_input.rm', (id, note) => inputs.remove(id, note)),
    verb({
      name: 'input.trigger',
      action: 'admin:write',
      event: 'http_input.trigger',
      params: z.strictObject({
        server_id: Id,
        payload: Payload,
        headers: Headers.nullish(),
      }),
      data: ({ server_id: id }) => ({ input: id }),
      run: ({ params, requestId }) =>
        inputs.trigger(
          params.server_id,
          { payload: params.payload, ...(params.headers != null && { headers: params.headers }) },
          requestId,
        ),
    }),
  ]
}
