import { expect, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import { runSchedule } from './schedule.test-kit.ts'

eachStore('budgets under random schedules', (at) => {
  test('nobody is admitted beyond a limit, nor refused below it', async () => {
    const other = await at.open()
    const schedules = at.engine === 'sqlite' ? 800 : 60
    const results = await Promise.all(
      Array.from({ length: schedules }, (_, seed) => runSchedule([at.store, other], seed)),
    )
    const sum = (of: 'admitted' | 'refused') => results.reduce((all, one) => all + one[of], 0)
    expect(sum('admitted')).toBeGreaterThan(schedules)
    expect(sum('refused')).toBeGreaterThan(schedules / 4)
  })
})
