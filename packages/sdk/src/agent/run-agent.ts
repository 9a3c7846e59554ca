/** The last line of an agent's program. */
import type { AgentClass } from './agent.ts'
import type { AgentInput } from './io.ts'
import type { RepositoryInput } from './repository.ts'
import { AgentRunner, type AgentRunnerOptions } from './runner.ts'

/** What an agent left open must not keep the process. */
const LINGER_MS = 1000

/** Runs the agent and makes its exit code the process's; the process ends within a second after. */
export async function runAgent<I extends AgentInput = RepositoryInput>(
  Agent: AgentClass<I>,
  options: AgentRunnerOptions<I> = {},
): Promise<void> {
  let code: number | undefined
  const leave = (): void => {
    if (code !== undefined) process.exit(code)
  }
  // A signal that comes after the run must not become the way the process ended.
  const signals = options.signals ?? process
  signals.on('SIGTERM', leave)
  signals.on('SIGINT', leave)
  code = await new AgentRunner(Agent, options).run()
  process.exitCode = code
  setTimeout(leave, LINGER_MS).unref()
}
