/** `vestry trace ID` and `vestry why ID`: what happened under one id, and why it was decided so. */
import type { Command } from 'commander'
import type { Run } from './command.ts'
import { safeLines } from './terminal-text.ts'
import { traceText } from './trace-tree.ts'

export function traceCommands(program: Command, run: Run): void {
  program
    .command('trace')
    .description('show what happened under an id, as a tree')
    .argument('<id>', 'of a trace, transaction, run, request, decision, correlation, token or job')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('trace', { id }, 'reading the record')
        io.print(reply, (paint) => traceText(reply, paint))
      }),
    )

  program
    .command('why')
    .description('explain one decision as it was made')
    .argument(
      '<id>',
      'a decision, request, correlation or job id, as errors and "vestry audit tail" show them',
    )
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('why', { id }, 'reading the record')
        io.print(reply, () => safeLines(String(reply['text'])))
      }),
    )
}
