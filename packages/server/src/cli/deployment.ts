/** `vestry deployment …`: agents that serve at an address of their own. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { EXIT } from './exit-code.ts'
import type { Style } from './style.ts'
import { facts, table } from './table.ts'
import { safeText } from './terminal-text.ts'

export function deploymentCommands(program: Command, run: Run): void {
  const deployment = program
    .command('deployment')
    .description('deployments: agents that serve at an address of their own')

  deployment
    .command('add')
    .description('deploy an agent, as it is now')
    .argument('<agent>', 'its name')
    .option('--env <name>', 'environment (default: development)')
    .option(
      '--set <key=value>',
      'a setting, its value in JSON or as text; may be repeated',
      collect,
      [],
    )
    .action(
      run(async (io, agent: string, options: { env?: string; set: string[] }) => {
        const reply = await io.call('deployment.create', {
          agent_id: agent,
          ...(options.env !== undefined && { environment: options.env }),
          config_overrides: Object.fromEntries(options.set.map(setting)),
        })
        io.print(reply, (paint) => facts(factsOf(reply), paint))
      }),
    )

  deployment
    .command('list')
    .description('list deployments, newest first')
    .option('--agent <name>', 'of this agent')
    .action(
      run(async (io, { agent }: { agent?: string }) => {
        const reply = await io.call('deployment.list', { agent })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'DEPLOYMENT', value: 'deployment_id' },
              { title: 'AGENT', value: 'agent_id' },
              { title: 'VERSION', value: 'agent_version' },
              { title: 'ENVIRONMENT', value: 'environment' },
              { title: 'STATUS', value: 'status', style: statusStyle },
              { title: 'LAST ERROR', value: 'last_error' },
            ],
            rowsOf(reply, 'deployments'),
            { paint, empty: 'no deployments; add one with "vestry deployment add AGENT"' },
          ),
        )
      }),
    )

  for (const [name, description] of [
    ['show', 'show a deployment'],
    ['stop', 'stop a deployment when its runs have ended'],
    ['rollback', 'have the version before take over'],
  ] as const) {
    deployment
      .command(name)
      .description(description)
      .argument('<deployment>', 'its id')
      .action(
        run(async (io, id: string) => {
          const reply = await io.call(`deployment.${name}`, { deployment_id: id })
          io.print(reply, (paint) => facts(factsOf(reply), paint))
        }),
      )
  }

  deployment
    .command('invoke')
    .description('run the agent of a deployment once, and print what it answers')
    .argument('<deployment>', 'its id')
    .option('--input <json>', 'a JSON object (default: {})', '{}')
    .action(
      run(async (io, id: string, { input }: { input: string }) => {
        const reply = await io.call('deployment.invoke', {
          deployment_id: id,
          input: objectOf(input),
        })
        io.print(reply, (paint) => facts(factsOf(reply), paint))
        if (reply['status'] === 'failed') io.exitCode = EXIT.failed
      }),
    )
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

/** @throws VestryError USAGE */
function setting(text: string): [string, unknown] {
  const at = text.indexOf('=')
  if (at < 1) throw new VestryError('USAGE', `--set takes key=value, not "${text}"`)
  const value = text.slice(at + 1)
  try {
    return [text.slice(0, at), JSON.parse(value)]
  } catch {
    return [text.slice(0, at), value]
  }
}

/** @throws VestryError USAGE */
function objectOf(text: string): Row {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new VestryError('USAGE', 'The input is not JSON', { cause })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row
  throw new VestryError('USAGE', 'The input must be a JSON object')
}

function factsOf(reply: Row): (readonly [string, unknown])[] {
  return Object.entries(reply).map(([name, value]) => [name, plain(value)] as const)
}

function plain(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? safeText(JSON.stringify(value)) : value
}

function statusStyle(row: Row): Style | undefined {
  switch (row['status']) {
    case 'running':
      return 'green'
    case 'degraded':
    case 'failed':
      return 'red'
    default:
      return 'dim'
  }
}
