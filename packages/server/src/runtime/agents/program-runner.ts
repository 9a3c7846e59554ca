/** How an execution of an agent that is a program is carried out: no model decides what comes next, its source does. */
import type { Agent } from '../../identity/agent.ts'
import type { Held } from '../../journal/held.ts'
import type { Execution } from './execution.ts'
import type { LoopEnd, Step } from './loop.ts'
import type { ProgramAsk } from './program-ask.ts'

/** Which version, settled when the execution was accepted: a newer one does not change what was asked for. */
export type PinnedProgram = ProgramAsk & { readonly version: number }

export interface ProgramWork {
  readonly execution: Execution
  readonly agent: Agent
  readonly input: string
  readonly program: PinnedProgram
  readonly held: Held
  /** Aborted with the reason. */
  readonly signal: AbortSignal
  readonly onStep: (step: Step) => void
  /** A line of the run's own log. */
  readonly onLog: (line: string) => void
}

export interface ProgramRunner {
  /** Whether the agent is written in the language, with something to run or without. */
  isProgram(agentId: string): Promise<boolean>
  /**
   * The version that would run; undefined where the agent has no program, or none with anything to run.
   * @throws VestryError AGENT_NOT_FOUND: there is no such version
   */
  runnable(agentId: string, version: number | undefined): Promise<number | undefined>
  /** Seconds that it may take, as its source and its deployment say. */
  timeoutSeconds(agentId: string, program: PinnedProgram): Promise<number | undefined>
  /** @throws VestryError as the program failed; SHUTTING_DOWN: it goes on when it is held again. */
  run(work: ProgramWork): Promise<LoopEnd>
}
