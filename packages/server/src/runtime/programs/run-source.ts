/** Runs a source that nobody registered, once, as whoever asks: with their permissions and none of its own. */
import { VestryError } from '@vestry/contract/errors'
import { compileSource } from '../../dsl/compile.ts'
import type { Json } from '../../dsl/definition.ts'
import { interpret } from '../../dsl/interpreter/interpret.ts'
import { DEFAULT_RUN_LIMITS } from '../../dsl/interpreter/machine.ts'
import { scopeOf } from '../../dsl/scope.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'
import type { Steps } from '../../journal/step.ts'
import { plainResult } from './arguments.ts'
import { invalidSource } from './compile.ts'
import { programHost } from './host.ts'
import type { ProgramDoors } from './program-doors.ts'
import type { Programs } from './programs-api.ts'
import { assertSandbox, paramsOf } from './run-program.ts'

export interface RunSourceDeps {
  readonly doors: ProgramDoors
  readonly sandboxes: ReadonlySet<string>
}

/** @throws VestryError DSL_INVALID, and how the run failed */
export async function runSource(
  deps: RunSourceDeps,
  { source, input, caller, executionId, signal }: Parameters<Programs['runSource']>[0],
): Promise<unknown> {
  const { agent: checked, diagnostics } = compileSource(source)
  if (checked === undefined) throw invalidSource(diagnostics)
  assertSandbox(deps.sandboxes, checked, {})
  const given = input as Json // came as JSON
  const params = paramsOf(given)
  const host = programHost(
    {
      executionId,
      get agent(): Agent {
        return agentOf(caller)
      },
      // What holds for a registered program does not hold for this.
      caller: {
        principal: caller.principal,
        peer: caller.peer,
        txn: caller.txn,
        trace: caller.trace,
      },
      checked,
      program: {},
      input: given,
      scope: scopeOf(checked, params),
      steps: new TransientSteps(),
      doors: deps.doors,
      onLog: () => undefined,
    },
    () => undefined,
  )
  const { value } = await interpret({
    agent: checked,
    params,
    host,
    limits: DEFAULT_RUN_LIMITS,
    signal,
  })
  return plainResult(value)
}

function agentOf({ principal }: Caller): Agent {
  if (principal.kind === 'agent') return principal.agent
  throw new VestryError('ACCESS_DENIED', 'Only an agent can do this', {
    hint: 'Name an agent_id: the source then runs in its name',
  })
}

/** The step of the workflow that it is run in is what is kept. */
class TransientSteps implements Steps {
  list = () => []
  find = () => undefined
  run: Steps['run'] = async (_plan, body) => body(1)
  retry = async () => undefined
  flush = async () => undefined
  close = () => undefined
}
