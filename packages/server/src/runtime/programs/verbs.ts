/** Programs for operators: behind the runtime API and the command line alike. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import { MAX_SOURCE_BYTES } from '../../dsl/parse.ts'
import { permissionChanges } from '../../dsl/permission-changes.ts'
import { permissionsOf } from '../../dsl/permissions-of.ts'
import { type Compiler, invalidSource } from './compile.ts'
import { compileBody } from './compile-body.ts'
import type { ProgramVersion } from './programs-api.ts'

export interface ProgramVerbDeps {
  readonly compiler: Compiler
  /** Of the agent's newest deployment that serves; else undefined. */
  readonly deployed: (agentName: string) => Promise<ProgramVersion | undefined>
  /** Epoch ms. */
  readonly now: () => number
}

const Source = z.string().refine((text) => Buffer.byteLength(text) <= MAX_SOURCE_BYTES, {
  error: `must take at most ${MAX_SOURCE_BYTES} bytes`,
})
const Name = z.string().min(1).max(128)

export function programVerbs({ compiler, deployed, now }: ProgramVerbDeps): AdminVerb[] {
  return [
    verb({
      name: 'dsl.register',
      action: 'admin:write',
      event: 'agent.compile',
      params: z.strictObject({ source: Source, agent_name: Name }),
      data: ({ agent_name: name }) => ({ name }),
      run: async ({ params: { source, agent_name: agentName }, by, note }) => {
        const compiled = await compiler.check(source, agentName, true)
        if (compiled.agent === undefined) return compileBody(source, compiled, undefined, now())
        const made = await compiler.register(compiled.agent, { source, agentName, by })
        note({
          generation: made.generation,
          agent_id: made.agent.id,
          version: made.version.version,
          source_hash: made.version.sourceHash,
        })
        return compileBody(source, compiled, made, now())
      },
    }),
    verb({
      name: 'dsl.diff',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ source: Source, agent_name: Name }),
      data: ({ agent_name: name }) => ({ name }),
      run: async ({ params: { source, agent_name: agentName } }) => {
        const compiled = await compiler.check(source, agentName, true)
        if (compiled.agent === undefined) throw invalidSource(compiled.diagnostics)
        const old = await deployed(agentName)
        const next = permissionsOf(compiled.agent)
        return {
          agent_id: agentName,
          deployed_version: old?.version ?? null,
          source_hash: compiled.agent.definition.source_hash,
          changes: permissionChanges(old?.permissions, next),
          notes: next.notes,
        }
      },
    }),
  ]
}
