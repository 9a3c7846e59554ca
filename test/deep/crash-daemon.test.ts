import { expect, test } from 'vitest'
import { crashCampaign } from '../harness/crash-campaign.ts'

test('vault §28.40: kill -9 at 100 random points during writes loses nothing acknowledged and leaks no lease', async () => {
  const report = await crashCampaign(100, Math.random)
  expect(report.kills).toBe(100)
  // Else the campaign killed a daemon that had nothing to lose.
  expect(report.writes).toBeGreaterThan(500)
  expect(report.leases).toBeGreaterThan(100)
  expect(report.interrupted).toBeGreaterThan(0)
})
