/** For tests: processes that run workflows until they are killed, and what they have done to the world. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { openSteps } from '../../journal/steps.ts'
import { queued, testJournal, testKeys, until } from '../../journal/test-journal.ts'
import { openStore, type Store } from '../../store/store.ts'
import { readDefinition } from './definition.ts'
import { walk } from './engine.ts'
import { Places } from './places.ts'

const here = (file: string) => new URL(file, import.meta.url).href
const KIND = 'workflow'

/** `get` may be repeated, `post` may not; both are lines in a file. */
const definition = readDefinition({
  id: 'killed',
  steps: [
    { id: 'get', kind: 'http', with: { url: 'x' } },
    { id: 'post', kind: 'http', with: { url: 'x', method: 'POST' }, needs: ['get'] },
    { id: 'post2', kind: 'http', with: { url: 'x', method: 'POST' }, needs: ['get'] },
    { id: 'last', kind: 'transform', with: { expression: '1' }, needs: ['post', 'post2'] },
  ],
})

const PROCESS = `
  import { openStore } from '${here('../../store/store.ts')}'
  import { runAll } from '${here('./test-killed-run.ts')}'
  const [url, effects] = process.argv.slice(1)
  await runAll(await openStore(url), effects, () => process.stdout.write('began\\n'))
`

/** Runs whatever is queued, for ever. */
export async function runAll(store: Store, effects: string, begun: () => void) {
  const keyring = testKeys(7)
  const keys = () => keyring
  const journal = testJournal({ store, keys })
  await journal.recover()
  const pause = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
  journal.register(KIND, {
    concurrency: 8,
    async run(held, signal) {
      const steps = await openSteps({ store, keys, now: Date.now }, held)
      const walked = await walk(
        {
          steps,
          signal,
          now: Date.now,
          places: new Places(4),
          onStep: () => begun(),
          came: async () => undefined,
          child: () => Promise.reject(new Error('has none')),
          body: async ({ key }) => {
            await pause()
            appendFileSync(effects, `${held.id} ${key}\n`)
            await pause()
            return key
          },
        },
        definition,
        {},
      )
      steps.close()
      const output = new TextEncoder().encode(
        walked.state === 'failed' ? walked.error.code : 'done',
      )
      await held.finish(output)
    },
  })
  journal.start()
  return journal
}

/**
 * @returns How often each effect happened, and how each run ended.
 */
export async function killedRuns(url: string, effects: string, runs: number, kills: number) {
  {
    await using store = await openStore(url)
    const keyring = testKeys(7)
    await using journal = testJournal({ store, keys: () => keyring })
    for (let n = 0; n < runs; n += 1)
      await journal.reserve(queued({ id: `run-${n}`, kind: KIND, repeatable: true }))
  }
  for (let n = 0; n < kills; n += 1) {
    const args = ['--conditions=source', '--input-type=module', '-e', PROCESS, url, effects]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const exit = once(child, 'exit')
    await once(child.stdout, 'data')
    setTimeout(() => child.kill('SIGKILL'), Math.random() * 40)
    child.stdout.resume()
    await exit
  }
  await using store = await openStore(url)
  await using journal = await runAll(store, effects, () => undefined)
  await until(async () => {
    const { queued: waiting, reserved, sent } = await journal.counts(KIND)
    return waiting + reserved + sent === 0
  }, 60_000)
  const times = new Map<string, number>()
  const lines = existsSync(effects) ? readFileSync(effects, 'utf8').split('\n').slice(0, -1) : []
  for (const line of lines) times.set(line, (times.get(line) ?? 0) + 1)
  const ends: string[] = []
  for (let n = 0; n < runs; n += 1)
    ends.push(new TextDecoder().decode(await journal.output(`run-${n}`)))
  return { times, ends }
}
