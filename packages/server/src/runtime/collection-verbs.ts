/** Collections of vectors for administrators, behind the runtime API. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../admin/verb.ts'
import type { Collections } from '../knowledge/collections/collections.ts'

const Body = z.strictObject({ body: z.record(z.string(), z.unknown()) })
const One = z.strictObject({ collection: z.string().min(1).max(128) })

export function collectionVerbs(collections: Collections): AdminVerb[] {
  const change = <S extends z.ZodType>(
    name: string,
    params: S,
    run: (params: z.output<S>) => Promise<Record<string, unknown>>,
  ): AdminVerb =>
    verb({
      name: `vectors.${name}`,
      action: 'admin:write',
      event: `vectors.${name}`,
      params,
      run: async ({ params: given, note }) => {
        const made = await run(given)
        note({ collection: made['collection_name'] })
        return made
      },
    })
  return [
    change('create', Body, ({ body }) => collections.create(body)),
    change('rm', One, ({ collection }) => collections.remove(collection)),
    change('upsert', Body, ({ body }) => collections.upsert(body)),
    change('delete', Body, ({ body }) => collections.removePoints(body)),
  ]
}
