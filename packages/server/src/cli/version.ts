/** `vestry version`: what is installed. */
import { VERSION } from '@vestry/contract/version'
import type { Command } from 'commander'
import type { Run } from './command.ts'
import { facts } from './table.ts'

export function versionCommand(program: Command, run: Run): void {
  program
    .command('version')
    .description('print the versions of vestry and of Node')
    .action(
      run(async (io) => {
        const document = {
          version: VERSION,
          node: process.versions.node,
          platform: `${process.platform}-${process.arch}`,
        }
        io.print(document, (paint) => facts(Object.entries(document), paint))
      }),
    )
}
