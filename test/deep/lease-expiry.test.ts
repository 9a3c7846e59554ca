import { expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { recordsOf } from '../harness/record.ts'

const LEASES = 100_000
const WINDOW = 500

test('vault §28.48: 100 000 leases of a running daemon end within a second of their deadlines', async () => {
  await using vestry = await startTestDaemon({ config: { vault: { leases_per_agent: LEASES } } })
  await vestry.addCredential('a/b', 'value-0123456789')
  await vestry.addPolicy({
    version: 1,
    policies: [{ name: 'r', principals: ['agent:*'], resources: ['**'], actions: ['retrieve'] }],
  })
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const deadlines: number[] = []
  let sent = 0
  const send = () => {
    sent += 1
    // All of them end about 60 s from the start, whenever they were issued.
    client.send({ id: sent, method: 'retrieve', params: { path: 'a/b', ttl: ttl() } })
  }
  const startedAt = Date.now()
  const ttl = () => Math.max(1, Math.round((startedAt + 60_000 - Date.now()) / 1_000))
  while (sent < WINDOW) send()
  for (let got = 0; got < LEASES; got += 1) {
    const frame = await client.next()
    deadlines.push(Date.parse(frame?.result.expires_at))
    if (sent < LEASES) send()
  }
  expect(Date.now(), 'all of them were live at once').toBeLessThan(Math.min(...deadlines))
  const last = Math.max(...deadlines)
  while (Date.now() < last + 3_000) await new Promise((resolve) => setTimeout(resolve, 200))

  const sweeps = recordsOf(vestry, 'lease.expire').map(({ timestamp, data }) => ({
    at: Date.parse(timestamp),
    count: Number(data?.['count']),
  }))
  expect(sweeps.reduce((sum, { count }) => sum + count, 0)).toBe(LEASES)
  let ended = 0
  for (const { at, count } of sweeps) {
    ended += count
    const due = deadlines.filter((deadline) => deadline <= at - 1_000).length
    expect(ended, `by ${at}`).toBeGreaterThanOrEqual(due)
    expect(deadlines.filter((deadline) => deadline <= at).length).toBeGreaterThanOrEqual(ended)
  }
  expect((await client.call('lease_status')).leases).toEqual([])
})
