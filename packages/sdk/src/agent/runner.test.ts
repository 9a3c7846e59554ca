import { EventEmitter } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GatewayError, SageSanctumError } from '../sage/errors.ts'
import { fakeServer } from '../sage/fake-server.test-kit.ts'
import { configureLogging } from '../sage/log.ts'
import { SageSanctumAgent } from './agent.ts'
import type { AgentResult } from './io.ts'
import { AgentRunner, type AgentRunnerOptions } from './runner.ts'

let directory: string
let lines: string[]
let signals: EventEmitter

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sage-'))
  lines = []
  signals = new EventEmitter()
})

afterEach(async () => {
  configureLogging()
  await rm(directory, { recursive: true, force: true })
})

const TOKEN = `eyJhbGciOiJIUzI1NiJ9.${'m'.repeat(30)}.sig`

function agent(run: (self: SageSanctumAgent) => Promise<AgentResult>) {
  return class extends SageSanctumAgent {
    static override readonly requiresGateway: boolean = false
    readonly name = 'fixture'
    readonly version = '1.0.0'
    run(): Promise<AgentResult> {
      return run(this)
    }
  }
}

function env(extra: Readonly<Record<string, string>> = {}) {
  const OUTPUT_PATH = join(directory, 'out')
  return { RUN_ID: 'run-1', ORG_ID: 'org-1', REPO_PATH: directory, OUTPUT_PATH, ...extra }
}

async function run(
  behaviour: (self: SageSanctumAgent) => Promise<AgentResult>,
  options: AgentRunnerOptions = {},
): Promise<number> {
  const logging = { format: 'json', write: (line: string) => lines.push(line) } as const
  return await new AgentRunner(agent(behaviour), { env: env(), signals, logging, ...options }).run()
}

const events = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line))
const last = (): Record<string, unknown> => events().at(-1) ?? {}

const output = {
  ioType: 'text',
  write: async (to: string) => {
    await writeFile(join(to, 'out.txt'), 'x')
    return ['out.txt']
  },
}

describe('sage §21.33: the exit code', () => {
  test('is the result’s, and the output is written whatever it is', async () => {
    expect(
      await run(async () => ({
        output,
        exitCode: 7,
        error: 'three files failed',
        metadata: { a: 1 },
      })),
    ).toBe(7)
    expect(await readFile(join(directory, 'out', 'out.txt'), 'utf8')).toBe('x')
    expect(events()).toMatchObject([
      { event: 'initializing_context', level: 'info' },
      {
        event: 'agent_starting',
        level: 'info',
        agent: 'fixture',
        version: '1.0.0',
        run_id: 'run-1',
      },
      { event: 'output_written', level: 'info', files: ['out.txt'] },
      { event: 'agent_error', level: 'error', error: 'three files failed', exit_code: 7 },
      {
        event: 'agent_completed',
        level: 'info',
        agent: 'fixture',
        duration: expect.any(Number),
        exit_code: 7,
      },
    ])
    for (const line of events())
      expect(line).toMatchObject({
        logger: 'sage_sanctum.runner',
        timestamp: expect.stringMatching(/Z$/),
        run_id: 'run-1',
        org_id: 'org-1',
      })
  })

  test('sage §19: the runner adds how long it took', async () => {
    const result: AgentResult = {}
    await run(async () => result)
    expect(result.durationSeconds).toBeGreaterThanOrEqual(0)
    expect(await run(async () => Object.freeze({ exitCode: 3 }))).toBe(3)
  })

  test('is 0 when the result says nothing', async () => {
    expect(await run(async () => ({}))).toBe(0)
  })

  test.each([[256], [-1], [1.5], [Number.NaN], [1000]])(
    'is 1 for %d, which no process can have',
    async (exitCode) => {
      expect(await run(async () => ({ exitCode }))).toBe(1)
    },
  )

  test('is 1 for what can be thrown and not be read', async () => {
    const unreadable = new Proxy(new Error('x'), {
      get: () => {
        throw new Error('no')
      },
      getPrototypeOf: () => {
        throw new Error('no')
      },
    })
    for (const thrown of [unreadable, Object.create(null), Symbol('x'), undefined]) {
      expect(
        await run(async () => {
          throw thrown
        }),
      ).toBe(1)
      expect(last()).toMatchObject({ event: 'unexpected_error', level: 'error' })
    }
  })

  test('an error that is null is none', async () => {
    expect(await run(async () => ({ error: null }) as never)).toBe(0)
    expect(events().map(({ event }) => event)).not.toContain('agent_error')
  })

  test('is the error’s for an error of the SDK, and nothing is written', async () => {
    expect(
      await run(async () => {
        throw new GatewayError(`no: ${TOKEN}`)
      }),
    ).toBe(30)
    expect(last()).toMatchObject({
      event: 'agent_error',
      level: 'error',
      exit_code: 30,
      error: 'GatewayError: no: [secret]',
    })
    expect(
      await run(async () => {
        throw new SageSanctumError('x', { exitCode: 99 })
      }),
    ).toBe(99)
    expect(
      await run(async () => {
        throw new SageSanctumError('x', { exitCode: 300 })
      }),
    ).toBe(1)
  })

  test.each([
    ['a rejection', async () => Promise.reject(new TypeError(`bad ${TOKEN}`))],
    [
      'a throw before the first wait',
      () => {
        throw new TypeError('bad')
      },
    ],
    ['a rejection with text', async () => Promise.reject('bad')],
    ['nothing returned', async () => undefined as unknown as AgentResult],
  ])('is 1 for %s', async (_, behaviour) => {
    expect(await run(behaviour)).toBe(1)
    expect(last()).toMatchObject({
      event: 'unexpected_error',
      level: 'error',
      error: expect.any(String),
      exception: expect.any(String),
    })
    expect(lines.join('')).not.toContain('mmmmmmmmm')
  })

  test.each([
    ['RUN_ID', 43],
    ['ORG_ID', 43],
    ['REPO_PATH', 41],
  ])('sage §21.34: is right for a missing %s: %i', async (name, code) => {
    expect(await run(async () => ({}), { env: env({ [name]: '' }) })).toBe(code)
    expect(last()).toMatchObject({
      event: 'agent_error',
      exit_code: code,
      error: expect.stringContaining(name),
    })
  })

  test('sage §21.34: is 42 for a path with .., 43 for a gateway without SPIFFE_JWT_PATH', async () => {
    expect(await run(async () => ({}), { env: env({ REPO_PATH: `${directory}/../x` }) })).toBe(42)
    class Gateway extends agent(async () => ({})) {
      static override readonly requiresGateway: boolean = true
    }
    const logging = { write: (line: string) => lines.push(line) }
    const direct = { SAGE_SANCTUM_ALLOW_DIRECT: '0' }
    expect(await new AgentRunner(Gateway, { env: env(direct), signals, logging }).run()).toBe(43)
    expect(lines.at(-1)).toContain('SPIFFE_JWT_PATH')
  })

  test('sage §20.21: is 51 when the output directory cannot be made', async () => {
    await writeFile(join(directory, 'file'), '')
    const code = await run(async () => ({ output }), {
      env: env({ OUTPUT_PATH: join(directory, 'file', 'out') }),
    })
    expect(code).toBe(51)
  })

  test('is 43 for a log setting that does not exist, said all the same', async () => {
    expect(
      await run(async () => ({}), {
        env: env({ SAGE_LOG_LEVEL: 'loud' }),
        logging: { write: (line) => lines.push(line) },
      }),
    ).toBe(43)
    expect(lines.at(-1)).toContain('SAGE_LOG_LEVEL')
  })

  test('is 1 for a constructor that fails', async () => {
    class Broken extends agent(async () => ({})) {
      constructor() {
        super(undefined as never)
        throw new Error('no')
      }
    }
    const logging = { format: 'json', write: (line: string) => lines.push(line) } as const
    expect(await new AgentRunner(Broken, { env: env(), signals, logging }).run()).toBe(1)
  })
})

describe('sage §15.2: a signal', () => {
  const stop = (): void => void setTimeout(() => signals.emit('SIGTERM'), 5)

  test('gives the agent its reason, and an abort that stems from it is 130', async () => {
    const code = await run(async (self) => {
      stop()
      return await new Promise((_, reject) => {
        self.signal.addEventListener('abort', () =>
          reject(new Error('scan cut', { cause: self.signal.reason })),
        )
      })
    })
    expect(code).toBe(130)
    expect(events().map(({ event }) => event)).toEqual([
      'initializing_context',
      'agent_starting',
      'shutdown_signal_received',
      'agent_cancelled',
    ])
  })

  test('while the first token is waited for ends the run: 130', async () => {
    const sidecar = await fakeServer(() => void signals.emit('SIGTERM'))
    class Gateway extends agent(async () => ({})) {
      static override readonly requiresGateway: boolean = true
    }
    const logging = { format: 'json', write: (line: string) => lines.push(line) } as const
    const extra = {
      SPIFFE_JWT_PATH: '/none',
      AUTH_SIDECAR_SOCKET: sidecar.socketPath,
      LLM_GATEWAY_SOCKET: '/none.sock',
    }
    expect(await new AgentRunner(Gateway, { env: env(extra), signals, logging }).run()).toBe(130)
    expect(events().map(({ event }) => event)).toEqual([
      'initializing_context',
      'shutdown_signal_received',
      'agent_cancelled',
    ])
    await sidecar.close()
  })

  test.each([
    ['returns', async () => ({ exitCode: 0 })],
    ['rejects', async () => Promise.reject(new Error('cut'))],
  ])('an agent that %s the moment it is told to stop has been stopped: 130', async (_, end) => {
    const code = await run((self) => {
      stop()
      return new Promise((resolve, reject) => {
        self.signal.addEventListener('abort', () => void end().then(resolve, reject))
      })
    })
    expect(code).toBe(130)
  })

  test('an error of the SDK that the agent raises while it stops keeps its code', async () => {
    const code = await run(async (self) => {
      stop()
      await self.waitForShutdown()
      throw new GatewayError('gone')
    })
    expect(code).toBe(30)
  })

  test('any other error while it stops is told, and 130', async () => {
    const code = await run(async (self) => {
      stop()
      await self.waitForShutdown()
      throw new TypeError('bug')
    })
    expect(code).toBe(130)
    expect(last()).toMatchObject({ event: 'unexpected_error', error: 'bug' })
  })

  test('a part that cannot be written in time is given up', async () => {
    const started = performance.now()
    const code = await run(async (self) => {
      stop()
      await self.waitForShutdown()
      return { output: { ioType: 'text', write: () => new Promise(() => {}) } }
    })
    expect(code).toBe(130)
    expect(performance.now() - started).toBeLessThan(5000)
  })

  test('sage §21.35: an agent that never ends has its grace, and a second at most besides', async () => {
    const started = performance.now()
    const code = await run(
      () => {
        stop()
        return new Promise(() => {})
      },
      { graceMs: 150 },
    )
    expect(code).toBe(130)
    expect(performance.now() - started).toBeGreaterThan(150)
    expect(performance.now() - started).toBeLessThan(1150)
  })

  test('the second one calls exit, and run() ends', async () => {
    const exits: number[] = []
    const code = await run(
      async (self) => {
        stop()
        await self.waitForShutdown()
        setTimeout(() => signals.emit('SIGINT'), 5)
        return await new Promise(() => {})
      },
      { exit: (one) => exits.push(one) },
    )
    expect([code, exits]).toEqual([130, [130]])
  })

  test('the signals are given back after the run', async () => {
    await run(async () => ({}))
    expect(signals.eventNames()).toEqual([])
    expect(process.listeners('uncaughtException').some(({ name }) => name === 'listener')).toBe(
      false,
    )
  })
})

describe('the run summary', () => {
  test('says how the run ended and what it used, without credentials', async () => {
    await run(
      async ({ context }) => {
        context.usage.record('openai:gpt-4o', { inputTokens: 3, outputTokens: 2, totalTokens: 5 })
        return { exitCode: 2, error: 'partly', metadata: { token: TOKEN, files: 4 } }
      },
      { summary: true },
    )
    const text = await readFile(join(directory, 'out', 'run.json'), 'utf8')
    expect(JSON.parse(text)).toEqual({
      run_id: 'run-1',
      org_id: 'org-1',
      agent: 'fixture',
      version: '1.0.0',
      exit_code: 2,
      duration_seconds: expect.any(Number),
      error: 'partly',
      partial: false,
      usage: [
        { model: 'openai:gpt-4o', promptTokens: 3, completionTokens: 2, totalTokens: 5, calls: 1 },
      ],
      metadata: { token: '[secret]', files: 4 },
    })
  })

  test('is written after an error, too', async () => {
    expect(await run(async () => Promise.reject(new GatewayError('no')), { summary: true })).toBe(
      30,
    )
    const summary = JSON.parse(await readFile(join(directory, 'out', 'run.json'), 'utf8'))
    expect(summary).toMatchObject({ exit_code: 30, error: 'GatewayError: no' })
  })

  test('that cannot be written makes a good run a failed one', async () => {
    await writeFile(join(directory, 'file'), '')
    const bad = env({ OUTPUT_PATH: join(directory, 'file', 'out') })
    expect(await run(async () => ({}), { summary: true, env: bad })).toBe(51)
    expect(await run(async () => ({ exitCode: 3 }), { summary: true, env: bad })).toBe(3)
  })
})

test('sage §19: the input may be of another type, and is validated', async () => {
  const seen: unknown[] = []
  interface NumberInput {
    ioType: 'number'
    value: number
    validate(): void
  }
  class Counting extends SageSanctumAgent<NumberInput> {
    static override readonly requiresGateway: boolean = false
    readonly name = 'counting'
    readonly version = '1'
    async run(input: NumberInput): Promise<AgentResult> {
      seen.push(input.value)
      return {}
    }
  }
  const input = () => ({
    ioType: 'number' as const,
    value: 5,
    validate: () => void seen.push('validated'),
  })
  const logging = { write: () => {} }
  expect(await new AgentRunner(Counting, { env: env(), signals, logging, input }).run()).toBe(0)
  expect(seen).toEqual(['validated', 5])
})
