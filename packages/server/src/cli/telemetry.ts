/** `vestry telemetry status | export`: how the export of the record stands, and to send a part of it once more. */
import type { Command } from 'commander'
import { cellText, counted, type Row, rowOf } from './cell.ts'
import type { Run } from './command.ts'
import { integer } from './option-value.ts'
import type { Paint } from './style.ts'
import { facts } from './table.ts'

export function telemetryCommands(program: Command, run: Run): void {
  const telemetry = program.command('telemetry').description('export of what agents tell')

  telemetry
    .command('status')
    .description('show where the export goes and how far it is')
    .action(
      run(async (io) => {
        const reply = await io.call('telemetry.export_status')
        io.print(reply, (paint) => exportText(reply, paint))
      }),
    )

  telemetry
    .command('export')
    .description('export once more from a record of the log on')
    .requiredOption(
      '--from <seq>',
      'number of the first record',
      integer('--from', 1, 999_999_999_999),
    )
    .action(
      run(async (io, { from }: { from: number }) => {
        const reply = await io.call('telemetry.export', { from })
        io.print(reply, `exporting from record ${from} on`)
        io.note('Receivers get what they had before a second time.')
      }),
    )
}

export function exportText(status: Row, paint: Paint): string {
  if (status['configured'] === false)
    return 'nothing is exported; set telemetry.otel.endpoint to a receiver of OTLP'
  const sent = rowOf(status, 'sent')
  const refused = rowOf(status, 'refused')
  return facts(
    [
      ['logs', status['logs']],
      ['traces', status['traces']],
      ['state', status['problem'] ?? status['state']],
      [
        'exported',
        `through record ${cellText(status['seq'])}, ${counted(status['lag'], 'record')} behind`,
      ],
      ['sent', [counted(sent['logs'], 'event'), counted(sent['spans'], 'span')]],
      ['open', counted(status['open_spans'], 'span')],
      ['failures', some(status['failures'])],
      [
        'refused',
        refused['count'] === undefined
          ? undefined
          : `${cellText(refused['count'])} from records ${cellText(refused['first'])} to ${cellText(refused['last'])}: ${cellText(refused['reason'])}`,
      ],
      ['rejected', some(status['rejected'])],
      ['gone before export', some(status['lost'])],
    ],
    paint,
  )
}

function some(count: unknown): unknown {
  return count === 0 ? undefined : count
}
