/** `vestry run register | list | show | close | rotate-keys`: transactions of agents, and what they may do in them. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { isRow, type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { integer } from './option-value.ts'
import type { Paint, Style } from './style.ts'
import { facts, table } from './table.ts'
import { readTextFile } from './text-file.ts'
import { endedText } from './trace-text.ts'

const MAX_FILE_BYTES = 262_144

interface RegisterOptions {
  agent?: string
  runId?: string
}

export function runCommands(program: Command, run: Run): void {
  const command = program.command('run').description('runs of agents, each with tokens of its own')

  command
    .command('register')
    .description('register a run and make everything its process needs')
    .argument('<file>', 'YAML or JSON: org_id, scope, allowed_models, expires_at …')
    .option('--agent <name>', 'whose run it is (default: by the file’s spiffe_id)')
    .option('--run-id <id>', 'its id (default: that of the file, else a new one)')
    .action(
      run(async (io, file: string, { agent, runId }: RegisterOptions) => {
        const given = await readRegistration(file)
        const reply = await io.call('run.register', {
          ...given,
          ...(agent !== undefined && { agent }),
          ...(runId !== undefined && { run_id: runId }),
        })
        io.print(reply, (paint) => runText(reply, paint))
      }),
    )

  command
    .command('list')
    .description('list runs that are open')
    .option('--agent <name>', 'only runs of this agent')
    .option('--all', 'also those that are over')
    .option('--limit <n>', 'at most this many (default: 100)', integer('--limit', 1, 1_000))
    .action(
      run(async (io, options: { agent?: string; all?: boolean; limit?: number }) => {
        const { agent, all, limit } = options
        const reply = await io.call('run.list', { agent, all, limit })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'RUN', value: 'run_id' },
              { title: 'AGENT', value: 'agent' },
              { title: 'ORG', value: 'org_id' },
              { title: 'SCOPE', value: 'scope' },
              { title: 'CREATED', value: 'created_at' },
              { title: 'EXPIRES', value: 'expires_at' },
              { title: 'STATE', value: 'state', style: ({ state }) => STYLES[String(state)] },
            ],
            rowsOf(reply, 'runs'),
            { paint, empty: 'no runs; register one with "vestry run register FILE"' },
          ),
        )
      }),
    )

  command
    .command('show')
    .description('show a run and the environment of its process')
    .argument('<run-id>', 'the run')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('run.show', { id })
        io.print(reply, (paint) => runText(reply, paint))
      }),
    )

  command
    .command('close')
    .description('end a run at once: its tokens, sessions and leases')
    .argument('<run-id>', 'the run')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('run.close', { id })
        io.print(reply, (paint) => runText(reply, paint))
      }),
    )

  command
    .command('rotate-keys')
    .description('sign tokens with new keys from five minutes on; the old ones stay until then')
    .option('--now', 'at once, for keys that leaked: every token in use ends')
    .action(
      run(async (io, { now = false }: { now?: boolean }) => {
        if (now && !(await io.confirm('End every token of every run?'))) return
        const reply = await io.call('run.rotate_keys', { immediately: now })
        io.print(reply, (paint) => facts([['new keys', reply['keys']]], paint))
      }),
    )
}

const STYLES: Readonly<Record<string, Style>> = { open: 'green', expired: 'dim', closed: 'red' }

function runText(reply: Row, paint: Paint): string {
  const models = Object.entries(rowOf(reply, 'allowed_models'))
  const head = facts(
    [
      ['run', reply['run_id']],
      ['agent', reply['agent']],
      ['state', reply['state']],
      ['spiffe id', reply['spiffe_id']],
      ['principal', reply['sub']],
      ['scope', reply['scope']],
      ...models
        .filter(([, list]) => Array.isArray(list) && list.length > 0)
        .map(([category, list]): [string, unknown] => [category, list]),
      ['providers', empty(reply['allowed_providers'])],
      ['repository', empty(reply['repo_url'])],
      ['expires', reply['expires_at']],
      ['closed', reply['closed_at'] ?? undefined],
      ['ended with it', isRow(reply['ended']) ? endedText(reply['ended']) : undefined],
    ],
    paint,
  )
  const env = Object.entries(rowOf(reply, 'env'))
  if (env.length === 0) return head
  return `${head}\n${paint('dim', 'environment:')}\n${facts(env, paint)}`
}

function empty(value: unknown): unknown {
  return value === '' || (Array.isArray(value) && value.length === 0) ? undefined : value
}

/** @throws VestryError `NOT_FOUND`, `INVALID_PARAMS` */
async function readRegistration(file: string): Promise<Row> {
  const { text } = await readTextFile(file, {
    maxBytes: MAX_FILE_BYTES,
    invalid: 'INVALID_PARAMS',
    hint: 'Check the path',
  })
  const { readYaml } = await import('../json/yaml.ts')
  let value: unknown
  try {
    value = readYaml(text)
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', `${file}: ${(cause as Error).message}`, {
      hint: 'The file must be YAML or JSON',
      cause,
    })
  }
  if (isRow(value)) return value
  throw new VestryError('INVALID_PARAMS', `${file} must hold members such as org_id and scope`)
}
