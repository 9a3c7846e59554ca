/** `POST dsl/compile`: a source checked, and made into an agent (contract §11.1). */
import { VestryError } from '@vestry/contract/errors'
import { MAX_SOURCE_BYTES } from '../../dsl/parse.ts'
import { isAgentName } from '../../identity/agent-name.ts'
import { invalidFields } from '../agents/definition.ts'
import type { Compiler } from '../programs/compile.ts'
import { compileBody } from '../programs/compile-body.ts'
import type { RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export interface ProgramRouteDeps {
  readonly compiler: Compiler
  readonly verbs: VerbDoor
  /** Epoch ms. */
  readonly now: () => number
}

export function programRoutes({ compiler, verbs, now }: ProgramRouteDeps): RuntimeRoute[] {
  return [
    {
      method: 'POST',
      path: 'dsl/compile',
      access: 'key',
      // A source with every character escaped still fits.
      maxBodyBytes: 6 * MAX_SOURCE_BYTES + 4_096,
      handle: async (request) => {
        const { source, agentName, validateOnly } = readRequest(request.json())
        const isOperator = request.caller.principal.kind === 'operator'
        if (validateOnly) {
          const compiled = await compiler.check(source, agentName, isOperator)
          return { body: compileBody(source, compiled, undefined, now()) }
        }
        if (!isOperator)
          throw new VestryError('ADMIN_REQUIRED', 'Only administrators register agents', {
            hint: 'Send "validate_only": true to have the source checked',
          })
        const given = { source, agent_name: agentName }
        const { result } = await verbs(request, 'dsl.register', given)
        return { body: result as Record<string, unknown> } // the verb answers with an object
      },
    },
  ]
}

/** @throws VestryError VALIDATION_ERROR, BODY_TOO_LARGE */
function readRequest(body: Readonly<Record<string, unknown>>) {
  const { dsl_content: source, agent_name: agentName, validate_only: validate = null } = body
  const problems: { path: string; problem: string }[] = []
  if (typeof source !== 'string') problems.push({ path: 'dsl_content', problem: 'must be text' })
  if (typeof agentName !== 'string' || !isAgentName(agentName))
    problems.push({ path: 'agent_name', problem: 'must be the name of an agent' })
  if (validate !== null && typeof validate !== 'boolean')
    problems.push({ path: 'validate_only', problem: 'must be true or false' })
  if (typeof source !== 'string' || typeof agentName !== 'string' || problems.length > 0)
    throw invalidFields(problems)
  if (Buffer.byteLength(source) > MAX_SOURCE_BYTES)
    throw new VestryError('BODY_TOO_LARGE', `A source may take ${MAX_SOURCE_BYTES} bytes`)
  return { source, agentName, validateOnly: validate === true }
}
