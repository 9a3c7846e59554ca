/** Schedules for operators, behind the runtime API and `vestry schedule`. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { Schedules } from './schedules.ts'

const Id = z.string().min(1).max(128)
const One = z.strictObject({ schedule: Id })
const Body = z.record(z.string(), z.unknown())

export function scheduleVerbs(schedules: Schedules): AdminVerb[] {
  const read = <S extends z.ZodType>(
    name: string,
    params: S,
    run: (params: z.output<S>) => Promise<Record<string, unknown>>,
  ): AdminVerb =>
    verb({
      name: `schedule.${name}`,
      action: 'admin:read',
      event: `schedule.${name}`,
      params,
      run: ({ params: given }) => run(given),
    })
  const change = <S extends z.ZodType>(
    name: string,
    params: S,
    run: (params: z.output<S>, by: string) => Promise<Record<string, unknown>>,
  ): AdminVerb =>
    verb({
      name: `schedule.${name}`,
      action: 'admin:write',
      event: `schedule.${name}`,
      params,
      run: async ({ params: given, by, note }) => {
        const made = await run(given, by)
        note({ schedule: made['job_id'] })
        return made
      },
    })
  return [
    read('list', z.strictObject({}), async () => ({ schedules: await schedules.list() })),
    read('show', One, ({ schedule }) => schedules.show(schedule)),
    read(
      'history',
      z.strictObject({ schedule: Id, limit: z.int().min(1).max(500).default(50) }),
      ({ schedule, limit }) => schedules.history(schedule, limit),
    ),
    read(
      'next',
      z.strictObject({ schedule: Id, count: z.int().min(1).max(100).default(10) }),
      ({ schedule, count }) => schedules.nextRuns(schedule, count),
    ),
    change('add', z.strictObject({ schedule: Body }), ({ schedule }, by) =>
      schedules.create(schedule, by),
    ),
    change('update', z.strictObject({ schedule: Id, changes: Body }), ({ schedule, changes }) =>
      schedules.update(schedule, changes),
    ),
    change('pause', One, ({ schedule }) => schedules.pause(schedule)),
    change('resume', One, ({ schedule }) => schedules.resume(schedule)),
    change('trigger', One, ({ schedule }) => schedules.trigger(schedule)),
    change('rm', One, ({ schedule }) => schedules.remove(schedule)),
  ]
}
