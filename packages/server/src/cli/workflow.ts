/** `vestry workflow …`: what runs in several steps, and how far it is. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { Style } from './style.ts'
import { table } from './table.ts'
import { safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'
import { watchRun } from './workflow-watch.ts'

const MAX_FILE_BYTES = 1_048_576
const ENDED = 'completed, failed, cancelled, timeout'

export function workflowCommands(program: Command, run: Run): void {
  const workflow = program
    .command('workflow')
    .description('work in several steps that survives a crash')

  workflow
    .command('list')
    .description('list workflows, those of your own and those that are built in')
    .action(
      run(async (io) => {
        const reply = await io.call('workflow.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'WORKFLOW', value: 'id' },
              { title: 'VERSION', value: 'version' },
              { title: 'STEPS', value: 'steps', align: 'right' },
              { title: 'BUILT IN', value: (row) => (row['builtin'] === true ? 'yes' : 'no') },
              { title: 'DESCRIPTION', value: 'description' },
            ],
            rowsOf(reply, 'workflows'),
            { paint, empty: 'no workflows' },
          ),
        )
      }),
    )

  workflow
    .command('show')
    .description('show the definition of a workflow, as JSON')
    .argument('<workflow>', 'its id')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('workflow.show', { id })
        io.print(reply, JSON.stringify(reply, null, 2))
      }),
    )

  workflow
    .command('add')
    .description('register a workflow, or a new version of one with --replace')
    .argument('<file>', 'its definition: a JSON file')
    .option('--replace', 'there is one of this id already')
    .action(
      run(async (io, file: string, { replace }: { replace?: true }) => {
        const definition = await jsonOf(file)
        const verb = replace === true ? 'workflow.update' : 'workflow.add'
        const reply = await io.call(verb, { definition })
        io.print(reply, `${reply['status']} ${safeText(String(reply['id']))}`)
      }),
    )

  workflow
    .command('rm')
    .description('forget a workflow; what runs of it goes on')
    .argument('<workflow>', 'its id')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('workflow.rm', { id })
        io.print(reply, `removed ${safeText(id)}`)
      }),
    )

  workflow
    .command('run')
    .description('start a workflow, and wait for its end with --watch')
    .argument('<workflow>', 'its id')
    .option('--param <name=value...>', 'a parameter: JSON, or text', [])
    .option('--params-file <file>', 'a JSON file with all parameters')
    .option(
      '--watch',
      'show the steps as they go, and wait for the end; Ctrl-C leaves the run alone',
    )
    .action(
      run(async (io, id: string, given: { param: string[]; paramsFile?: string; watch?: true }) => {
        const file = given.paramsFile === undefined ? {} : await jsonOf(given.paramsFile)
        const params = { ...file, ...Object.fromEntries(given.param.map(paramOf)) }
        const started = await io.call('workflow.run', { id, params })
        if (given.watch === true) return watchRun(io, String(started['execution_id']))
        io.print(started, `started ${started['execution_id']}`)
      }),
    )

  workflow
    .command('executions')
    .description('list runs, the newest first')
    .option('--workflow <workflow>', 'of this workflow only')
    .option('--status <status>', `one of running, ${ENDED}`)
    .action(
      run(async (io, { workflow: workflowId, status }: { workflow?: string; status?: string }) => {
        const reply = await io.call('workflow.executions', { workflow_id: workflowId, status })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'EXECUTION', value: 'execution_id' },
              { title: 'WORKFLOW', value: 'workflow_id' },
              { title: 'STATUS', value: 'status', style: statusStyle },
              { title: 'STARTED', value: 'started_at' },
              { title: 'BY', value: 'trigger' },
            ],
            rowsOf(reply, 'executions'),
            { paint, empty: 'no executions' },
          ),
        )
      }),
    )

  workflow
    .command('watch')
    .description(
      'show the steps of a run as they go, and wait for its end; Ctrl-C leaves the run alone',
    )
    .argument('<execution>', 'its id')
    .action(run(async (io, id: string) => watchRun(io, id)))

  workflow
    .command('cancel')
    .description('end a run')
    .argument('<execution>', 'its id')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('workflow.cancel', { id })
        io.print(reply, `${reply['status']} ${safeText(id)}`)
      }),
    )

  workflow
    .command('signal')
    .description('tell a run what it waits for')
    .argument('<execution>', 'its id')
    .argument('<name>', 'of the signal')
    .argument('[payload]', 'what it says: JSON, or text')
    .action(
      run(async (io, id: string, name: string, payload?: string) => {
        const given = payload === undefined ? {} : { payload: jsonOrText(payload) }
        const reply = await io.call('workflow.signal', { id, name, ...given })
        io.print(reply, `told ${safeText(id)} "${safeText(name)}"`)
      }),
    )
}

async function jsonOf(file: string): Promise<Record<string, unknown>> {
  const { text } = await readTextFile(file, {
    maxBytes: MAX_FILE_BYTES,
    invalid: 'USAGE',
    hint: 'Name a JSON file',
  })
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {
    // Told below.
  }
  throw new VestryError('USAGE', `${safeText(file)} is no JSON object`)
}

function paramOf(given: string): [string, unknown] {
  const at = given.indexOf('=')
  if (at < 1) throw new VestryError('USAGE', `--param takes name=value, not "${safeText(given)}"`)
  return [given.slice(0, at), jsonOrText(given.slice(at + 1))]
}

/** JSON where it is JSON: `--param n=3` is a number, `--param name=Ada` a text. */
function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function statusStyle({ status }: Row): Style | undefined {
  if (status === 'completed') return 'green'
  return status === 'running' ? 'yellow' : 'red'
}
