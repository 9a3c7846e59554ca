/** `vestry token svid | trat`: the two tokens of runs, for looking at them and for trying things out by hand. */
import type { Command } from 'commander'
import type { Run } from './command.ts'
import { notATerminal } from './key.ts'
import { seconds } from './option-value.ts'
import { facts } from './table.ts'

const AN_HOUR = 3_600

interface SvidOptions {
  agent?: string
  run?: string
  audience?: string
  ttl?: number
  forceStdout?: boolean
}

/** @param token The command they belong to. */
export function runTokenCommands(token: Command, run: Run): void {
  token
    .command('svid')
    .description('make an identity token (JWT-SVID) for an agent or a run')
    .option('--agent <name>', 'whom it is for')
    .option('--run <id>', 'or the run whose SPIFFE ID it carries')
    .option('--audience <uri>', 'whom it is shown to (default: our LLM gateway)')
    .option(
      '--ttl <duration>',
      'how long it lives, e.g. 10m (default: 30m)',
      seconds('--ttl', AN_HOUR),
    )
    .option('--force-stdout', 'show the token even when stdout is no terminal')
    .action(
      run(async (io, options: SvidOptions) => {
        if (!io.mayShowSecret(options.forceStdout)) throw notATerminal()
        const reply = await io.call('token.svid', {
          agent: options.agent,
          run: options.run,
          audience: options.audience,
          ttl_seconds: options.ttl,
        })
        io.print(reply, (paint) =>
          facts(
            [
              ['spiffe id', reply['spiffe_id']],
              ['audience', reply['audience']],
              ['expires', reply['expires_at']],
              ['token', reply['svid']],
            ],
            paint,
          ),
        )
      }),
    )

  token
    .command('trat')
    .description('make a transaction token for a run')
    .requiredOption('--run <id>', 'the run')
    .option('--force-stdout', 'show the token even when stdout is no terminal')
    .action(
      run(async (io, options: { run: string; forceStdout?: boolean }) => {
        if (!io.mayShowSecret(options.forceStdout)) throw notATerminal()
        const reply = await io.call('token.trat', { run: options.run })
        io.print(reply, (paint) =>
          facts(
            [
              ['run', reply['run_id']],
              ['expires', reply['expires_at']],
              ['token', reply['trat']],
            ],
            paint,
          ),
        )
      }),
    )
}
