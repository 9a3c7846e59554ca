/** `vestry token pod`: what an agent shows when it claims its identity, where its terms ask for a token. */
import type { Command } from 'commander'
import type { Run } from './command.ts'
import { notATerminal } from './key.ts'
import { facts } from './table.ts'

/** @param token The command it belongs to. */
export function podTokenCommand(token: Command, run: Run): void {
  token
    .command('pod')
    .description('make the token with which processes claim to be an agent; good for a day')
    .requiredOption('--agent <name>', 'whom it is for')
    .option('--force-stdout', 'show the token even when stdout is no terminal')
    .action(
      run(async (io, options: { agent: string; forceStdout?: boolean }) => {
        if (!io.mayShowSecret(options.forceStdout)) throw notATerminal()
        const reply = await io.call('token.pod', { agent: options.agent })
        io.print(reply, (paint) =>
          facts(
            [
              ['agent', reply['agent']],
              ['expires', reply['expires_at']],
              ['token', reply['token']],
            ],
            paint,
          ),
        )
      }),
    )
}
