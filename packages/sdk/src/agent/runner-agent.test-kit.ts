/** A program with an agent that behaves as the variable BEHAVIOUR says, for tests that need a process. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SageSanctumAgent } from './agent.ts'
import type { AgentContext } from './context.ts'
import type { AgentResult } from './io.ts'
import type { RepositoryInput } from './repository.ts'
import { runAgent } from './run-agent.ts'

const behaviour = process.env['BEHAVIOUR'] ?? ''

/** Tells the test that a stage is reached; stdout is the runner's to keep empty. */
const reached = (stage: string): void => void process.stderr.write(`reached ${stage}\n`)

const forever = (): Promise<never> =>
  new Promise(() => {
    setInterval(() => {}, 1000)
  })

class Output {
  readonly ioType = 'text'
  readonly #text: string
  readonly #isSlow: boolean

  constructor(text: string, isSlow: boolean = false) {
    this.#text = text
    this.#isSlow = isSlow
  }

  async write(directory: string, { partial }: { partial?: boolean } = {}): Promise<string[]> {
    if (this.#isSlow) {
      reached('write')
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'out.txt'), `${this.#text} partial=${partial}`)
    return ['out.txt']
  }
}

class Agent extends SageSanctumAgent {
  static override readonly requiresGateway: boolean = false
  readonly name = 'fixture'
  readonly version = '1.0.0'

  async run(_input: RepositoryInput): Promise<AgentResult> {
    reached('run')
    if (behaviour === 'finish-at-once') return { output: new Output('done'), exitCode: 3 }
    if (behaviour === 'stubborn') return await forever()
    if (behaviour === 'polite') {
      await this.waitForShutdown()
      return { output: new Output(`stopped ${this.shutdownRequested}`), exitCode: 0 }
    }
    if (behaviour === 'block') {
      const end = Date.now() + 400
      while (Date.now() < end);
      return { exitCode: 0 }
    }
    if (behaviour === 'slow-write') return { output: new Output('whole', true) }
    if (behaviour === 'crash') {
      setTimeout(() => {
        throw new Error('nobody catches this')
      })
      return await forever()
    }
    if (behaviour === 'lingering') {
      setInterval(() => {}, 1000)
      return { exitCode: 4 }
    }
    return {}
  }
}

const graceMs = Number(process.env['GRACE_MS'] ?? 10_000)

await runAgent(Agent, {
  graceMs,
  ...(behaviour === 'slow-context' && {
    context: async (): Promise<AgentContext> => {
      reached('context')
      return await forever()
    },
  }),
  ...(behaviour === 'slow-input' && {
    input: async (): Promise<RepositoryInput> => {
      reached('input')
      return await forever()
    },
  }),
})
