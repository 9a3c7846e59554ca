/** `vestry trace ID` and `vestry why ID`: what happened under one id, and why it was decided so. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type { Run } from './command.ts'
import { glyphsFor } from './glyphs.ts'
import { terminalColumns } from './terminal-columns.ts'
import { safeLines } from './terminal-text.ts'
import { traceText } from './trace-tree.ts'
import { askWhole } from './whole-reply.ts'

interface TraceOptions {
  readonly follow?: boolean
  readonly html?: string
  readonly force?: boolean
}

export function traceCommands(program: Command, run: Run): void {
  program
    .command('trace')
    .description('show what happened under an id, as a tree')
    .argument(
      '<id>',
      'of a trace, span, transaction, run, request, decision, correlation, claim, token or job',
    )
    .option('-f, --follow', 'draw it anew as it grows, until it seems to be over')
    .option('--html <file>', 'write it as one page that needs nothing else to be read')
    .option('--force', 'with --html: replace a file that is there')
    .action(
      run(async (io, id: string, { follow, html, force }: TraceOptions) => {
        if (html !== undefined && follow === true)
          throw new VestryError('USAGE', '--follow and --html exclude each other')
        if (follow === true) {
          const { followTrace } = await import('./trace-follow.ts')
          return followTrace(io, id)
        }
        const reply = await askWhole(io, 'trace', { id })
        if (html !== undefined) {
          const { writeTracePage } = await import('./trace-html.ts')
          const file = await writeTracePage(html, reply, { force: force === true })
          io.print({ id, file }, `wrote ${safeLines(file)}`)
          return
        }
        const columns = terminalColumns(io.terminal.stdout, io.env)
        const glyphs = glyphsFor(io.env)
        io.print(reply, (paint) => traceText(reply, paint, { columns, glyphs }))
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
