import { expect, test } from 'vitest'
import { crashCampaign } from '../harness/crash-campaign.ts'

test('vault §28.40: kill -9 while clients write loses nothing acknowledged and leaks no lease', async () => {
  // Once it runs for a second, so that something was acknowledged however slow the machine is.
  const moments = [Math.random(), Math.random(), 2, Math.random()]
  const report = await crashCampaign(moments.length, () => moments.shift() ?? 0)
  expect(report.kills).toBe(4)
  expect(report.writes).toBeGreaterThan(0)
  expect(report.leases).toBeGreaterThan(0)
}, 60_000)
