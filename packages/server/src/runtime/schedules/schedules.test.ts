import { VestryError } from '@vestry/contract/errors'
import { beforeEach, expect, it } from 'vitest'
import type { Agent } from '../../identity/agent.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { eachStore } from '../../store/test-store.ts'
import type { ExecutionEnd } from '../http-input/agent-invoker.ts'
import { MAX_FAILURES } from './schedule.ts'
import { ScheduleStore } from './schedule-store.ts'
import { type RunOutcome, Scheduler } from './scheduler.ts'
import { Schedules } from './schedules.ts'

const guard = testGuard(testKeyring())
const failing = (code: string) => expect.objectContaining({ code })
const DAY = 86_400_000
const START = Date.parse('2031-01-01T00:00:00Z')
const HOURLY = { name: 'hourly', cron_expression: '0 * * * *', agent_name: 'scout' }

eachStore('schedules', (at) => {
  let nowMs: number
  let started: { schedule: string; dueAt: number }[]
  let end: () => Promise<ExecutionEnd>
  let outcomes: Record<string, RunOutcome>
  let timers: number[]

  /** One node. */
  const node = (store = at.store, alone = true) => {
    const kept = new ScheduleStore({ store, guard, now: () => nowMs })
    const scheduler = new Scheduler({
      store: kept,
      starter: {
        start: async (schedule, dueAt) => {
          started.push({ schedule: schedule.id, dueAt })
          return { executionId: `exe_${started.length}`, ended: end() }
        },
        outcome: async (id) => outcomes[id],
      },
      timer: (ms) => {
        timers.push(ms)
        return () => undefined
      },
      newRequestId: () => 'r-1',
      warn: (line) => {
        throw new Error(line)
      },
      alone,
      now: () => nowMs,
    })
    const schedules = new Schedules({
      store: kept,
      scheduler,
      agents: {
        named: async (name) => {
          if (name === 'nobody') throw new VestryError('AGENT_NOT_FOUND')
          return { id: `id-of-${name}`, name } as Agent // the only members it looks at
        },
      },
      unknownPolicies: async (ids) => ids.filter((id) => id !== 'night-work'),
      now: () => nowMs,
    })
    return { kept, scheduler, schedules }
  }
  const settled = async ({ scheduler }: ReturnType<typeof node>) => {
    await scheduler.tick()
    await scheduler.idle()
    await scheduler.tick()
  }
  const status = async ({ schedules }: ReturnType<typeof node>, id: string) =>
    (await schedules.show(id))['status']

  beforeEach(() => {
    nowMs = START + 60_000
    started = []
    timers = []
    outcomes = {}
    end = async () => ({ status: 'completed', output: {} })
  })

  it('runtime §15.3: answers have exactly the members that clients know', async () => {
    const one = node()
    await one.scheduler.open()
    const made = await one.schedules.create(HOURLY, 'ada')
    expect(made).toEqual({
      job_id: expect.stringMatching(/^sch_[0-9a-z]{26}$/),
      next_run: '2031-01-01T01:00:00.000Z',
      status: 'active',
    })
    const id = String(made['job_id'])
    const summary = {
      job_id: id,
      name: 'hourly',
      cron_expression: '0 * * * *',
      timezone: 'UTC',
      status: 'active',
      enabled: true,
      next_run: '2031-01-01T01:00:00.000Z',
      run_count: 0,
    }
    expect(await one.schedules.list()).toEqual([summary])
    expect(await one.schedules.show(id)).toEqual({
      ...summary,
      one_shot: false,
      last_run: null,
      failure_count: 0,
      created_at: '2031-01-01T00:01:00.000Z',
      updated_at: '2031-01-01T00:01:00.000Z',
    })
    nowMs = START + 3_600_000
    await settled(one)
    await expect
      .poll(() => one.schedules.history(id, 50))
      .toEqual({
        job_id: id,
        history: [
          {
            run_id: expect.stringMatching(/^run_/),
            started_at: '2031-01-01T01:00:00.000Z',
            completed_at: '2031-01-01T01:00:00.000Z',
            status: 'completed',
            error: null,
            execution_time_ms: 0,
          },
        ],
      })
    expect(await one.schedules.nextRuns(id, 2)).toEqual({
      job_id: id,
      next_runs: ['2031-01-01T02:00:00.000Z', '2031-01-01T03:00:00.000Z'],
    })
    expect(await one.schedules.health()).toEqual({
      is_running: true,
      store_accessible: true,
      jobs_total: 1,
      jobs_active: 1,
      jobs_paused: 0,
      jobs_dead_letter: 0,
      global_active_runs: 0,
      max_concurrent: 32,
      runs_total: 1,
      runs_succeeded: 1,
      runs_failed: 0,
      average_execution_time_ms: 0,
      longest_run_ms: 0,
    })
    expect(await one.schedules.pause(id)).toEqual({
      job_id: id,
      action: 'pause',
      status: 'paused',
    })
    expect(await one.schedules.remove(id)).toEqual({ job_id: id, deleted: true })
    await expect(one.schedules.show(id)).rejects.toEqual(failing('SCHEDULE_NOT_FOUND'))
    await one.scheduler.close()
  })

  it('runtime §15.3: of several nodes one takes a time that is due', async () => {
    const nodes = [node(), node(await at.open(), false), node(await at.open(), false)]
    for (const one of nodes) await one.scheduler.open()
    for (let n = 0; n < 5; n += 1)
      await nodes[0]?.schedules.create({ ...HOURLY, name: `n${n}` }, 'ada')
    nowMs = START + 3_600_000
    await Promise.all(nodes.map((one) => one.scheduler.tick()))
    await Promise.all(nodes.map(settled))
    expect(started).toHaveLength(5)
    expect(new Set(started.map(({ schedule }) => schedule)).size).toBe(5)
    for (const one of nodes) await one.scheduler.close()
  })

  it('runtime §15.3: what was missed while nobody was there is made up for once', async () => {
    const before = node()
    const id = String((await before.schedules.create(HOURLY, 'ada'))['job_id'])
    nowMs = START + 3 * DAY + 60_000
    const after = node()
    await after.scheduler.open()
    await settled(after)
    expect(started).toHaveLength(1)
    expect(await after.schedules.show(id)).toMatchObject({
      run_count: 1,
      next_run: '2031-01-04T01:00:00.000Z',
    })
    await after.scheduler.close()
  })

  it('what a killed process began is told as what became of it, and is not begun again', async () => {
    const dead = node()
    const [first, second, third] = await Promise.all(
      ['one', 'two', 'three'].map(async (name) =>
        String((await dead.schedules.create({ ...HOURLY, name }, 'ada'))['job_id']),
      ),
    )
    nowMs = START + 3_600_000
    const claims = await Promise.all(
      (await dead.kept.due(nowMs)).map((shown) => dead.kept.claim(shown)),
    )
    const runOf = (id: string | undefined) =>
      claims.find((claim) => claim?.schedule.id === id)?.runId ?? ''
    await dead.kept.started(runOf(second), 'exe_done')
    await dead.kept.started(runOf(third), 'exe_open')
    outcomes = { exe_done: { ok: true } }
    const next = node()
    await next.scheduler.open()
    await settled(next)
    expect(started).toEqual([])
    const lastOf = async (id: string | undefined) => (await next.kept.runs(id ?? '', 1))[0]
    expect(await lastOf(first)).toMatchObject({
      status: 'failed',
      error: 'Interrupted by a stop of the server',
    })
    expect(await lastOf(second)).toMatchObject({ status: 'completed' })
    expect(await lastOf(third)).toMatchObject({ status: 'running' })
    // It is looked at again until it has ended.
    outcomes = { exe_open: { ok: false, error: 'INTERRUPTED' } }
    nowMs += 60_000
    await settled(next)
    expect(await lastOf(third)).toMatchObject({ status: 'failed', error: 'INTERRUPTED' })
    await next.scheduler.close()
  })

  it('a run that goes on keeps the next one away, which is told as skipped', async () => {
    const one = node()
    await one.scheduler.open()
    const gate = Promise.withResolvers<ExecutionEnd>()
    end = () => gate.promise
    const id = String((await one.schedules.create(HOURLY, 'ada'))['job_id'])
    nowMs = START + 3_600_000
    await one.scheduler.tick()
    nowMs += 3_600_000
    await one.scheduler.tick()
    await expect(one.schedules.trigger(id)).rejects.toEqual(failing('INVALID_STATE_TRANSITION'))
    gate.resolve({ status: 'completed', output: {} })
    await settled(one)
    expect(started).toHaveLength(1)
    expect((await one.kept.runs(id, 9)).map((run) => run.status)).toEqual(['skipped', 'completed'])
    expect(await one.schedules.health()).toMatchObject({ runs_total: 1, runs_failed: 0 })
    await one.scheduler.close()
  })

  it('runtime §15.3: after failures in a row it is given up until somebody resumes it', async () => {
    const one = node()
    await one.scheduler.open()
    end = async () => ({ status: 'failed', error: { code: 'TIMEOUT', message: 'Too slow' } })
    const id = String((await one.schedules.create(HOURLY, 'ada'))['job_id'])
    for (let hour = 1; hour <= MAX_FAILURES + 2; hour += 1) {
      nowMs = START + hour * 3_600_000
      await settled(one)
    }
    expect(started).toHaveLength(MAX_FAILURES)
    expect(await one.schedules.show(id)).toMatchObject({
      status: 'dead_letter',
      failure_count: MAX_FAILURES,
      next_run: null,
    })
    expect(await one.schedules.health()).toMatchObject({ jobs_dead_letter: 1, runs_failed: 5 })
    end = async () => ({ status: 'completed', output: {} })
    await one.schedules.trigger(id)
    await settled(one)
    expect(await status(one, id)).toBe('dead_letter')
    expect(await one.schedules.resume(id)).toMatchObject({ status: 'active' })
    nowMs += 3_600_000
    await settled(one)
    expect(await one.schedules.show(id)).toMatchObject({ status: 'active', failure_count: 0 })
    await one.scheduler.close()
  })

  const begun = async (one: ReturnType<typeof node>, id: string) => {
    const shown = await one.kept.get(id)
    const claimed = shown && (await one.kept.claimNow(shown.schedule))
    return { id: claimed?.runId ?? '', scheduleId: id }
  }

  it('editing revives neither what was given up nor what has run, and keeps what is due', async () => {
    const one = node()
    const dead = String((await one.schedules.create(HOURLY, 'ada'))['job_id'])
    for (let time = 0; time < MAX_FAILURES; time += 1)
      await one.kept.ended(await begun(one, dead), { ok: false })
    const once = { ...HOURLY, name: 'once', one_shot: true }
    const done = String((await one.schedules.create(once, 'ada'))['job_id'])
    nowMs += 3_600_000
    for (const shown of await one.kept.due(nowMs)) {
      const claimed = await one.kept.claim(shown)
      if (claimed) await one.kept.ended({ id: claimed.runId, scheduleId: done }, { ok: true })
    }
    for (const body of [{ name: 'renamed' }, { cron_expression: '30 * * * *' }])
      expect(await one.schedules.update(dead, body)).toMatchObject({
        status: 'dead_letter',
        next_run: null,
        failure_count: MAX_FAILURES,
      })
    expect(await one.schedules.update(done, { name: 'renamed' })).toMatchObject({
      status: 'completed',
      next_run: null,
    })
    const again = await one.schedules.update(done, { cron_expression: '30 * * * *' })
    expect(again).toMatchObject({ status: 'active', next_run: '2031-01-01T01:30:00.000Z' })
    nowMs += 3_600_000
    // It is overdue: another name does not make it miss its time.
    expect(await one.schedules.update(done, { name: 'once more' })).toMatchObject({
      next_run: '2031-01-01T01:30:00.000Z',
    })
    expect((await one.kept.due(nowMs)).map(({ schedule }) => schedule.id)).toEqual([done])
  })

  it('an agent that cannot be started counts as a failure', async () => {
    const one = node()
    await one.scheduler.open()
    const id = String((await one.schedules.create(HOURLY, 'ada'))['job_id'])
    end = () => {
      throw new VestryError('QUEUE_FULL')
    }
    nowMs = START + 3_600_000
    await settled(one)
    expect((await one.kept.runs(id, 1))[0]).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('QUEUE_FULL'),
    })
    await one.scheduler.close()
  })

  it('one_shot runs once and is completed; a time that is over is refused', async () => {
    const one = node()
    await one.scheduler.open()
    const point = { ...HOURLY, cron_expression: '2031-01-01T00:30:00Z' }
    const made = await one.schedules.create(point, 'ada')
    const other = await one.schedules.create({ ...HOURLY, one_shot: true }, 'ada')
    nowMs = START + 3_600_000
    await settled(one)
    nowMs += DAY
    await settled(one)
    expect(started).toHaveLength(2)
    for (const { job_id: id } of [made, other])
      expect(await one.schedules.show(String(id))).toMatchObject({
        status: 'completed',
        one_shot: true,
        run_count: 1,
        next_run: null,
      })
    await expect(one.schedules.create(point, 'ada')).rejects.toEqual(failing('VALIDATION_ERROR'))
    await one.scheduler.close()
  })

  it('paused it is not due, resumed it does not make up for what it missed meanwhile', async () => {
    const one = node()
    await one.scheduler.open()
    const id = String((await one.schedules.create(HOURLY, 'ada'))['job_id'])
    await one.schedules.pause(id)
    nowMs = START + DAY + 1
    await settled(one)
    await one.schedules.resume(id)
    await settled(one)
    expect(started).toEqual([])
    expect(await one.schedules.show(id)).toMatchObject({ next_run: '2031-01-02T01:00:00.000Z' })
    await one.scheduler.close()
  })

  it('what is unknown, wrong or another agent’s is refused', async () => {
    const { schedules } = node()
    const bad = (change: object) => schedules.create({ ...HOURLY, ...change }, 'ada')
    await expect(bad({ cron_expression: 'now' })).rejects.toEqual(failing('VALIDATION_ERROR'))
    await expect(bad({ timezone: 'Mars' })).rejects.toEqual(failing('VALIDATION_ERROR'))
    await expect(bad({ agent_name: 'nobody' })).rejects.toEqual(failing('AGENT_NOT_FOUND'))
    await expect(bad({ policy_ids: ['none'] })).rejects.toEqual(failing('VALIDATION_ERROR'))
    await expect(bad({ name: 'a\u202eb' })).rejects.toEqual(failing('VALIDATION_ERROR'))
    const made = await bad({ policy_ids: ['night-work'], timezone: null, one_shot: null })
    const id = String(made['job_id'])
    await expect(schedules.show(id, 'id-of-other')).rejects.toEqual(failing('SCHEDULE_NOT_FOUND'))
    await expect(schedules.history(id, 5, 'id-of-other')).rejects.toEqual(
      failing('SCHEDULE_NOT_FOUND'),
    )
    expect(await schedules.list('id-of-other')).toEqual([])
    expect(await schedules.list('id-of-scout')).toHaveLength(1)
    expect(await schedules.update(id, { cron_expression: '30 5 * * *' })).toMatchObject({
      name: 'hourly',
      next_run: '2031-01-01T05:30:00.000Z',
    })
    for (const call of [schedules.pause, schedules.resume, schedules.remove, schedules.trigger])
      await expect(call.call(schedules, 'sch_none')).rejects.toEqual(failing('SCHEDULE_NOT_FOUND'))
  })

  it('schedules of a deployment come with it and go with it', async () => {
    const { schedules } = node()
    const own = await schedules.create(HOURLY, 'ada')
    const nightly = {
      name: 'nightly',
      cron: '0 3 * * *',
      timezone: 'UTC',
      agentId: 'id-of-scout',
      oneShot: false,
      audit: 'all_operations',
      actions: ['sweep'],
    }
    await schedules.ofDeployments.put('dep_1', [nightly, { ...nightly, name: 'other' }], 'ada')
    await schedules.ofDeployments.put('dep_1', [nightly], 'ada')
    const names = (await schedules.list()).map(({ name }) => name)
    expect(names.sort()).toEqual(['hourly', 'nightly'])
    await schedules.ofDeployments.remove('dep_1')
    expect(await schedules.list()).toMatchObject([{ job_id: own['job_id'] }])
  })

  it('one timer is set, to what is due next', async () => {
    const one = node()
    await one.scheduler.open()
    await one.scheduler.tick()
    expect(timers.at(-1)).toBe(60_000)
    await one.schedules.create({ ...HOURLY, cron_expression: '2 * * * *' }, 'ada')
    nowMs += 30_000
    await one.scheduler.tick()
    expect(timers.at(-1)).toBe(30_000)
    await one.scheduler.close()
    const count = timers.length
    one.scheduler.wake()
    expect(timers).toHaveLength(count)
  })

  it('rows that somebody changed are refused', async () => {
    const { schedules } = node()
    await schedules.create(HOURLY, 'ada')
    await at.store.write((trx) => trx.updateTable('schedule').set({ agent_id: 'other' }).execute())
    await expect(schedules.list()).rejects.toEqual(failing('STORE_CORRUPT'))
  })
})
