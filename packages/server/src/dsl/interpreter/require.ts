/** `require capability …`: goes on only where the agent has declared it. */
import { VestryError } from '@vestry/contract/errors'
import type { Expression } from '../ast.ts'
import type { Environment } from './environment.ts'
import { evaluate } from './evaluate.ts'
import { fault } from './fault.ts'
import type { Machine, Run } from './machine.ts'

/** @throws VestryError DSL_POLICY_DENIED */
export function* requireCapabilities(
  machine: Machine,
  environment: Environment,
  capabilities: readonly Expression[],
): Run<void> {
  for (const expression of capabilities) {
    const { line } = expression.span.start
    const name =
      expression.kind === 'name'
        ? expression.text
        : yield* evaluate(machine, environment, expression)
    if (typeof name !== 'string') throw fault(line, 'a capability is a name')
    if (machine.capabilities.has(name)) continue
    throw new VestryError(
      'DSL_POLICY_DENIED',
      `Line ${line}: a required capability is not declared`,
      {
        context: { line },
        hint: 'Add it to the capabilities of the agent.',
      },
    )
  }
}
