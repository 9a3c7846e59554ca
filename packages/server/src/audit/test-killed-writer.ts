/** For tests: writers that are killed at random points, and what must hold afterwards. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { AuditLog } from './log.ts'
import { readLog } from './query.ts'
import { verifyLog } from './verify.ts'

/** Appends as fast as it can and says on stdout what was acknowledged as synced. */
const WRITER = `
  import { writeSync } from 'node:fs'
  import { AuditLog } from '${new URL('./log.ts', import.meta.url).href}'
  const [dir, run] = process.argv.slice(1)
  const log = await AuditLog.open({ dir, podName: 'p', now: Date.now, limits: { segmentBytes: 100_000 } })
  let n = 0
  const caller = async () => {
    while (true) {
      const request_id = run + '-' + n++
      const phase = n % 3 === 0 ? 'intent' : 'single'
      const durability = n % 4 === 0 ? 'written' : 'synced'
      const seq = await log.append(
        { action: 'a', phase, detail: 'x'.repeat(n % 700), success: true, actor: 'system', source: 'vault', request_id },
        durability)
      if (durability === 'synced') writeSync(1, seq + ' ' + request_id + '\\n')
    }
  }
  for (let at = 0; at < 16; at++) void caller()
`

async function killedWriter(
  dir: string,
  run: number,
  afterMs: number,
): Promise<Map<number, string>> {
  const args = ['--conditions=source', '--input-type=module', '-e', WRITER, dir, String(run)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  let said = ''
  for await (const chunk of child.stdout) {
    if (said === '') setTimeout(() => child.kill('SIGKILL'), afterMs)
    said += String(chunk)
  }
  await exit
  const lines = said.split('\n').slice(0, -1)
  return new Map(lines.map((line) => [Number(line.split(' ')[0]), line.split(' ')[1] ?? '']))
}

/**
 * Kills `runs` writers of one log, one after the other, each 1–60 ms after its first acknowledgement.
 *
 * @returns How many records they had been told were on disk. @throws AssertionError if one of these is
 *   not there, the chain does not verify, or an intent without outcome was not found.
 */
export async function surviveKills(dir: string, runs: number): Promise<number> {
  const acknowledged = new Map<number, string>()
  for (let run = 0; run < runs; run += 1)
    for (const [seq, id] of await killedWriter(dir, run, 1 + Math.random() * 60))
      acknowledged.set(seq, id)

  const log = await AuditLog.open({ dir, podName: 'p', now: Date.now })
  await log.close()
  const { status, bad } = await verifyLog(dir)
  assert.deepEqual({ status, bad }, { status: 'intact', bad: undefined })
  const stored = new Map<number, string | undefined>()
  const intents: number[] = []
  for await (const { record } of readLog(dir)) {
    stored.set(record.seq, record.request_id)
    if (record.phase === 'intent') intents.push(record.seq)
  }
  for (const [seq, id] of acknowledged) assert.equal(stored.get(seq), id)
  // The writers write no outcomes, so every intent of every run is open.
  const open = log.openIntents().map(({ seq }) => seq)
  assert.deepEqual(open, intents)
  return acknowledged.size
}
