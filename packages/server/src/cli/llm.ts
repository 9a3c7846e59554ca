/** `vestry llm usage | models`: what was used of the budgets, and which model providers can be reached. */
import type { Command } from 'commander'
import { rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { table } from './table.ts'

const MICROS = 1_000_000

export function llmCommands(program: Command, run: Run): void {
  const llm = program.command('llm').description('model providers, and what was used of them')

  llm
    .command('usage')
    .description('show what was spent of the budgets')
    .option('--run <id>', 'the budgets of this run')
    .option('--agent <name>', 'the budgets of this agent')
    .option('--total', 'the budgets of all together (default, unless another is asked for)')
    .action(
      run(async (io, options: { run?: string; agent?: string; total?: boolean }) => {
        const { run: id, agent, total } = options
        const reply = await io.call('llm.usage', { run: id, agent, total })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'BUDGET', value: 'owner' },
              { title: 'IN', value: ({ unit }) => (unit === 'micros' ? 'US dollars' : 'tokens') },
              { title: 'SPENT', value: (row) => amount(row, 'spent'), align: 'right' },
              { title: 'HELD', value: (row) => amount(row, 'reserved'), align: 'right' },
              { title: 'LIMIT', value: (row) => amount(row, 'limit'), align: 'right' },
              {
                title: 'LEFT',
                value: (row) => amount(row, 'left'),
                align: 'right',
                style: ({ left }) => (left === 0 ? 'red' : undefined),
              },
              { title: 'RESETS', value: 'resets_at' },
            ],
            rowsOf(reply, 'budgets'),
            { paint, empty: 'no budget is set; see llm.budgets in vestry.yaml' },
          ),
        )
      }),
    )

  llm
    .command('models')
    .description('list model providers, and whether there is a key for them')
    .action(
      run(async (io) => {
        const reply = await io.call('llm.models')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'PROVIDER', value: 'provider' },
              { title: 'SPEAKS', value: 'kind' },
              { title: 'KEY', value: 'key' },
              { title: 'CREDENTIAL', value: 'credential' },
              {
                title: 'CALLS',
                value: 'answers',
                style: ({ answers }) => (answers === 'refused' ? 'red' : undefined),
              },
              {
                title: 'OWN KEYS',
                value: ({ organisations }) =>
                  Array.isArray(organisations) ? organisations.join(', ') : '',
              },
              { title: 'ADDRESS', value: 'base_url' },
            ],
            rowsOf(reply, 'providers'),
            { paint, empty: 'no providers' },
          ),
        )
      }),
    )
}

/** Money is counted in millionths. */
function amount(row: Readonly<Record<string, unknown>>, name: string): string {
  const value = Number(row[name] ?? 0)
  return row['unit'] === 'micros' ? (value / MICROS).toFixed(6) : String(value)
}
