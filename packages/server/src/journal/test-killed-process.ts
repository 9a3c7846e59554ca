/** For tests: processes that reserve and run as fast as they can until they are killed, and what they left. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { openStore } from '../store/store.ts'
import type { Runner } from './held.ts'
import { bytes, testJournal, testKeys, text, until } from './test-journal.ts'

const here = (file: string) => new URL(file, import.meta.url).href

/** Says on stdout what it was told is reserved; what it does to the world it appends to a file. */
const PROCESS = `
  import { writeSync } from 'node:fs'
  import { openStore } from '${here('../store/store.ts')}'
  import { queued, testJournal, testKeys } from '${here('./test-journal.ts')}'
  import { effectRunner } from '${here('./test-killed-process.ts')}'
  const [url, effects, run] = process.argv.slice(1)
  const store = await openStore(url)
  const keyring = testKeys(7)
  const journal = testJournal({ store, keys: () => keyring })
  await journal.recover()
  journal.register('gateway', effectRunner(effects))
  journal.start()
  let n = 0
  const caller = async () => {
    while (true) {
      const id = run + '-' + n++
      const input = new TextEncoder().encode(id)
      await journal.reserve(queued({ id, input, repeatable: n % 2 === 0 }))
      writeSync(1, id + '\\n')
    }
  }
  for (let at = 0; at < 4; at++) void caller()
`

/** Its effect is a line in a file, between "sent" and the end, with time to die on either side. */
export function effectRunner(effects: string): Runner {
  return {
    concurrency: 4,
    async run(execution) {
      const input = text(await execution.input())
      await pause()
      await execution.sent()
      appendFileSync(effects, `${input}\n`)
      await pause()
      await execution.finish(bytes(`did ${input}`))
    },
  }
}

/** Kills `kills` processes one after the other, each soon after its first word. @returns what they said. */
export async function killAfterWork(
  url: string,
  effects: string,
  kills: number,
): Promise<string[]> {
  const reserved: string[] = []
  for (let run = 0; run < kills; run += 1) {
    const args = [
      '--conditions=source',
      '--input-type=module',
      '-e',
      PROCESS,
      url,
      effects,
      `${run}`,
    ]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const exit = once(child, 'exit')
    let said = ''
    for await (const chunk of child.stdout) {
      if (said === '') setTimeout(() => child.kill('SIGKILL'), 5 + Math.random() * 80)
      said += String(chunk)
    }
    await exit
    reserved.push(...said.split('\n').slice(0, -1))
  }
  return reserved
}

/** Runs what is left, as the next start does. @returns how each execution ended, and how often it happened. */
export async function runTheRest(url: string, effects: string) {
  await using store = await openStore(url)
  const keyring = testKeys(7)
  await using journal = testJournal({ store, keys: () => keyring })
  const recovered = await journal.recover()
  journal.register('gateway', effectRunner(effects))
  journal.start()
  await until(async () => {
    const { queued, reserved, sent } = await journal.counts('gateway')
    return queued + reserved + sent === 0
  }, 60_000)
  const times = new Map<string, number>()
  const lines = existsSync(effects) ? readFileSync(effects, 'utf8').split('\n').slice(0, -1) : []
  for (const id of lines) times.set(id, (times.get(id) ?? 0) + 1)
  const all = await journal.list({ kind: 'gateway', limit: 1_000_000 })
  return { recovered, executions: all.map((one) => ({ ...one, times: times.get(one.id) ?? 0 })) }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * 4))
}
