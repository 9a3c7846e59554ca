import { expect, test } from 'vitest'
import { crashCampaign } from '../harness/crash-campaign.ts'

test('vault §28.40: kill -9 while clients write loses nothing acknowledged and leaks no lease', async () => {
  const report = await crashCampaign(4, Math.random)
  expect(report.kills).toBe(4)
  expect(report.writes).toBeGreaterThan(0)
  expect(report.leases).toBeGreaterThan(0)
}, 60_000)
