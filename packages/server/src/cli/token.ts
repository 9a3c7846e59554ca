/**
 * `vestry token mint | list | revoke`: what agents show the gateway. A token is shown once. Those of runs: run-token.ts,
 * those of claims: pod-token.ts.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { agentNames } from './agent-names.ts'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { notATerminal } from './key.ts'
import { integer, list, minutes } from './option-value.ts'
import { podTokenCommand } from './pod-token.ts'
import { runTokenCommands } from './run-token.ts'
import type { Style } from './style.ts'
import { facts, table } from './table.ts'
import { safeText } from './terminal-text.ts'

const A_DAY_IN_MINUTES = 1_440
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

interface MintOptions {
  agent: string
  tool: readonly string[]
  permission: readonly string[]
  ttl?: number
  intent?: string
  forceStdout?: boolean
}

export function tokenCommands(program: Command, run: Run): void {
  const token = program.command('token').description('tokens that agents call tools with')

  token
    .command('mint')
    .description('make a token for an agent; it is shown once')
    .requiredOption('--agent <name>', 'whom it is for')
    .requiredOption('--tool <tool>', 'a tool it is good for, repeatable; * for all', list)
    .requiredOption(
      '--permission <word>',
      'read, write, an action, tool:action or *; repeatable',
      list,
    )
    .option(
      '--ttl <duration>',
      'how long it lives, e.g. 2h (default: 15m)',
      minutes('--ttl', A_DAY_IN_MINUTES),
    )
    .option('--intent <intent>', 'what calls are for that do not say')
    .option('--force-stdout', 'show the token even when stdout is no terminal')
    .action(
      run(async (io, options: MintOptions) => {
        if (!io.mayShowSecret(options.forceStdout)) throw notATerminal()
        const reply = await io.call('token.mint', {
          agent: options.agent,
          tools: options.tool,
          permissions: options.permission,
          ttl_minutes: options.ttl,
          intent: options.intent,
        })
        io.print(reply, (paint) =>
          facts(
            [
              ['id', reply['token_id']],
              ['agent', reply['agent_name']],
              ['tools', options.tool],
              ['permissions', options.permission],
              ['intent', options.intent],
              ['expires', reply['expires_at']],
              ['txn', reply['txn']],
              ['token', reply['agent_token']],
            ],
            paint,
          ),
        )
        io.note('The token is not stored and cannot be shown again.')
      }),
    )

  token
    .command('list')
    .description('list tokens')
    .option('--agent <name>', 'only tokens of this agent')
    .option('--live', 'only those that still work')
    .option('--limit <n>', 'at most this many (default: 100)', integer('--limit', 1, 1_000))
    .action(
      run(async (io, options: { agent?: string; live?: boolean; limit?: number }) => {
        const { reply, nameOf } = await io.admin(async (admin) => ({
          reply: await admin.call('admin.token.list', {
            agent: options.agent,
            live: options.live,
            limit: options.limit,
          }),
          nameOf: io.json ? undefined : await agentNames(admin),
        }))
        const nowMs = Date.now()
        io.print(reply, (paint) =>
          table(
            [
              { title: 'TOKEN', value: 'token_id' },
              { title: 'AGENT', value: ({ agentId }) => nameOf?.(agentId) ?? agentId },
              { title: 'TOOLS', value: 'tools' },
              { title: 'PERMISSIONS', value: 'permissions' },
              { title: 'CREATED', value: 'createdAt' },
              { title: 'EXPIRES', value: 'expiresAt' },
              {
                title: 'STATUS',
                value: (row) => statusOf(row, nowMs),
                style: (row) => STYLES[statusOf(row, nowMs)],
              },
            ],
            rowsOf(reply, 'tokens'),
            { paint, empty: 'no tokens' },
          ),
        )
      }),
    )

  token
    .command('revoke')
    .description('end a token at once')
    .argument('<id>', 'its id, as "vestry token list" shows it; not the token itself')
    .action(
      run(async (io, id: string) => {
        // A whole token pasted here must not travel into the record.
        if (!UUID.test(id)) throw noId()
        const reply = await io.call('token.revoke', { id: id.toLowerCase() })
        io.print(reply, `revoked ${safeText(String(reply['token_id']))}`)
      }),
    )

  runTokenCommands(token, run)
  podTokenCommand(token, run)
}

type Status = 'live' | 'expired' | 'revoked'

const STYLES: Readonly<Record<Status, Style>> = { live: 'green', expired: 'dim', revoked: 'red' }

function statusOf({ revoked, expiresAt }: Row, nowMs: number): Status {
  if (revoked === true) return 'revoked'
  return Date.parse(String(expiresAt)) > nowMs ? 'live' : 'expired'
}

function noId(): VestryError {
  return new VestryError('USAGE', 'that is not the id of a token', {
    hint: 'See "vestry token list"',
  })
}
