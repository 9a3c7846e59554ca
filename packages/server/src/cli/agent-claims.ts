/** `vestry agent claims NAME`: what the processes of an agent may claim. Without an option it only shows. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { type Row, rowOf } from './cell.ts'
import type { Run } from './command.ts'
import { integer, list, oneOf, seconds } from './option-value.ts'
import { facts } from './table.ts'

interface TermsOptions {
  capability?: readonly string[] | false
  maxTtl?: number
  maxClaims?: number
  scope?: 'process' | 'tree'
  uid?: readonly number[] | false
  exeSha256?: readonly string[] | false
  requireToken?: boolean
}

const MAX_TTL = 2_592_000

/** @param agent The command it belongs to. */
export function agentClaimsCommand(agent: Command, run: Run): void {
  const uid = integer('--uid', 0, 4_294_967_294)
  agent
    .command('claims')
    .description('show or change what processes of an agent may claim')
    .argument('<name>', 'the agent')
    .option('--capability <word>', 'a capability it has, repeatable: all that it is to have', list)
    .option('--no-capability', 'it has none')
    .option('--max-ttl <duration>', 'longest life of a claim', seconds('--max-ttl', MAX_TTL))
    .option('--max-claims <n>', 'claims at the same time', integer('--max-claims', 0, 10_000))
    .option(
      '--scope <scope>',
      'process, or tree: a claim may count for child processes',
      oneOf('--scope', ['process', 'tree'] as const),
    )
    .option('--uid <n>', 'user whose processes may claim, repeatable', (text, before) => [
      ...((before as readonly number[] | undefined) ?? []),
      uid(text),
    ])
    .option('--no-uid', 'the user of the daemon, and those that vestry exec starts it as')
    .option('--exe-sha256 <hash>', 'program that may claim, repeatable', list)
    .option('--no-exe-sha256', 'any program')
    .option('--require-token', 'claims need the token of the agent (vestry token pod)')
    .option('--no-require-token', 'they need none')
    .action(
      run(async (io, name: string, options: TermsOptions) => {
        const change = {
          capabilities: options.capability === false ? [] : options.capability,
          max_ttl_secs: options.maxTtl,
          max_claims: options.maxClaims,
          scope_allowed: options.scope,
          uids: options.uid === false ? null : options.uid,
          exe_sha256: options.exeSha256 === false ? null : options.exeSha256?.map(lowerHash),
          require_token: options.requireToken,
        }
        const changes = Object.values(change).some((value) => value !== undefined)
        const reply = changes
          ? await io.call('agent.set_claim_terms', { name, ...change })
          : await io.call('agent.claim_terms', { name })
        io.print(reply, (paint) => facts(termFacts(reply), paint))
      }),
    )
}

function lowerHash(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase()
  throw new VestryError('USAGE', '--exe-sha256 expects 64 hexadecimal digits', {
    hint: 'As sha256sum prints them for the file of the program',
  })
}

function termFacts(reply: Row): [string, unknown][] {
  const policy = rowOf(reply, 'claim_policy')
  return [
    ['name', reply['name']],
    ['capabilities', isEmpty(reply['capabilities']) ? 'none' : reply['capabilities']],
    ['longest life', `${String(reply['max_ttl_secs'])} s`],
    ['at the same time', reply['max_claims']],
    ['scope', reply['scope_allowed']],
    ['users', policy['uids'] ?? 'the daemon’s, and those that vestry exec starts it as'],
    ['programs', policy['exe_sha256'] ?? 'any'],
    ['token', policy['require_token'] === true ? 'required' : 'not required'],
  ]
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}
