/** `vestry dsl diff | deploy`: what a new version of an agent may do that the old one could not, before it may. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { compileSource } from '../dsl/compile.ts'
import { MAX_SOURCE_BYTES, parse } from '../dsl/parse.ts'
import { permissionChanges } from '../dsl/permission-changes.ts'
import type { Permissions } from '../dsl/permissions.ts'
import { permissionsOf } from '../dsl/permissions-of.ts'
import { invalidSource } from '../runtime/programs/compile.ts'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import type { Paint } from './style.ts'
import { safeLines, safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'

interface DiffOptions {
  agent?: string
  old?: string
}

interface DeployOptions {
  agent?: string
  env: string
  allowWider?: boolean
  replace?: boolean
}

export function dslDeployCommands(program: Command, run: Run): void {
  const dsl =
    program.commands.find((command) => command.name() === 'dsl') ??
    program.command('dsl').description('agents that are written as programs')

  dsl
    .command('diff')
    .description('tell what this version may do that the one deployed now may not')
    .argument('<file>', 'the source')
    .option('--agent <name>', 'the agent in it (default: the only one)')
    .option('--old <file>', 'compare with this source instead; needs no daemon')
    .action(
      run(async (io, file: string, options: DiffOptions) => {
        const { source, agentName } = await sourceOf(file, options.agent)
        const reply =
          options.old === undefined
            ? await io.call('dsl.diff', { source, agent_name: agentName })
            : { agent_id: agentName, changes: await offline(source, agentName, options.old) }
        io.print(reply, (paint) => changesText(reply, paint))
      }),
    )

  dsl
    .command('deploy')
    .description('compile an agent and let it serve; refused where it may do more than before')
    .argument('<file>', 'the source')
    .option('--agent <name>', 'the agent in it (default: the only one)')
    .option('--env <name>', 'the environment', 'development')
    .option('--allow-wider', 'it may do more than the version that is deployed now')
    .option('--replace', 'stop the deployment that serves there now')
    .action(run(deploy))
}

async function deploy(io: CommandIo, file: string, options: DeployOptions): Promise<void> {
  const { source, agentName } = await sourceOf(file, options.agent)
  const given = { source, agent_name: agentName }
  const diff = await io.call('dsl.diff', given)
  const changes = rowsOf(diff, 'changes')
  const text = changesText(diff, (_, plain) => plain)
  if (changes.length > 0) io.note(text.trimEnd())
  const wider = changes.filter(({ direction }) => direction === 'wider')
  // A first version is no wider than anything: all that it may do was just told.
  if (wider.length > 0 && diff['deployed_version'] !== null && options.allowWider !== true)
    throw new VestryError(
      'WIDER_PERMISSIONS',
      `${agentName} ${wider.map(({ text: said }) => String(said)).join('; ')}`,
      { hint: 'Deploy it with --allow-wider if that is meant', context: { changes: wider } },
    )
  const compiled = await io.call('dsl.register', given)
  if (compiled['success'] !== true)
    throw new VestryError('DSL_INVALID', (compiled['errors'] as string[]).slice(0, 5).join('; '), {
      context: { errors: compiled['errors'] },
    })
  const deployment = await io.call(
    'deployment.create',
    {
      agent_id: agentName,
      environment: options.env,
      config_overrides: options.replace === true ? { replace_previous: true } : {},
    },
    `deploying ${agentName}`,
  )
  io.print({ ...deployment, changes }, () =>
    safeText(
      `deployed ${agentName} version ${String(compiled['agent_version'])} to ${options.env}: ` +
        `${String(deployment['deployment_id'])}`,
    ),
  )
}

async function sourceOf(
  file: string,
  agent: string | undefined,
): Promise<{ source: string; agentName: string }> {
  const { text: source } = await readTextFile(file, {
    maxBytes: MAX_SOURCE_BYTES,
    invalid: 'DSL_INVALID',
    hint: 'Check the path',
  })
  if (agent !== undefined) return { source, agentName: agent }
  const names = parse(source).program.items.flatMap((item) =>
    item.kind === 'agent' ? item.name.text : [],
  )
  const [agentName, ...others] = names
  if (agentName === undefined) throw new VestryError('DSL_INVALID', `${file} holds no agent`)
  if (others.length > 0)
    throw new VestryError('USAGE', `${file} holds ${names.length} agents`, {
      hint: `Name one with --agent: ${names.join(', ')}`,
    })
  return { source, agentName }
}

async function offline(source: string, agentName: string, oldFile: string): Promise<Row[]> {
  const old = await readTextFile(oldFile, {
    maxBytes: MAX_SOURCE_BYTES,
    invalid: 'DSL_INVALID',
    hint: 'Check the path',
  })
  const changes = permissionChanges(asked(old.text, agentName), asked(source, agentName))
  return changes.map((change) => ({ ...change }))
}

/** @throws VestryError DSL_INVALID */
function asked(source: string, agentName: string): Permissions {
  const { agent, diagnostics } = compileSource(source, { agentName })
  if (agent === undefined) throw invalidSource(diagnostics)
  return permissionsOf(agent)
}

function changesText(reply: Readonly<Record<string, unknown>>, paint: Paint): string {
  const changes = rowsOf(reply, 'changes')
  if (changes.length === 0) return 'it may do what it could before, and nothing else\n'
  return changes
    .map(({ direction, text }) => {
      const isWider = direction === 'wider'
      const line = safeLines(String(text))
      return paint(isWider ? 'yellow' : 'green', `${isWider ? '+' : '-'} ${line}`)
    })
    .map((line) => `${line}\n`)
    .join('')
}
