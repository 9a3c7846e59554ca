/** What wrapped calls leave behind in their process, beside a real daemon. What they cost, bench/coat.ts measures. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DaemonProcess } from '../harness/daemon-process.ts'

const AGENT = join(import.meta.dirname, '../../bench/coat-agent.ts')

let dir: string
let daemon: DaemonProcess
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'vestry-'))
  daemon = await DaemonProcess.start(dir)
})
afterAll(async () => {
  await daemon?.stop()
  rmSync(dir, { recursive: true, force: true })
})

interface Measured {
  readonly heap_growth_mib: number
  readonly stats?: { readonly emitted: number; readonly dropped: object }
}

async function measure(
  mode: 'none',
  { calls = 20_000, perSecond = 4_000, env = {} },
): Promise<Measured> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=source', '--expose-gc', AGENT, mode, String(calls), String(perSecond)],
    {
      cwd: dir,
      env: {
        PATH: process.env['PATH'],
        ENVPOD_POD_ID: daemon.ready.pod_id,
        ENVPOD_SOCKET: daemon.ready.queue_socket,
        ...env,
      },
    },
  )
  return JSON.parse(stdout) as Measured
}

test('telemetry §16.15: a million wrapped calls leave no more than 2 MiB behind', async () => {
  const { heap_growth_mib, stats } = await measure('none', { calls: 1_000_000, perSecond: 50_000 })
  expect(stats?.emitted).toBeGreaterThanOrEqual(2_000_000)
  expect(heap_growth_mib).toBeLessThan(2)
})
