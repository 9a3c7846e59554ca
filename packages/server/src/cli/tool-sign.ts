/** `vestry tool sign`: puts this server's signature under a tool that was approved. */
import type { Command } from 'commander'
import type { Run } from './command.ts'
import { oneOf } from './option-value.ts'
import { facts } from './table.ts'

interface SignOptions {
  key?: string
  profile?: 'A' | 'B'
}

export function toolSignCommand(tool: Command, run: Run): void {
  tool
    .command('sign')
    .description('sign the tool of an approved review')
    .argument('<review-id>', 'the review, as "vestry review list" shows it')
    .option('--key <id>', 'signing key (default: default)')
    .option(
      '--profile <profile>',
      'A, as most libraries verify, or B (default: A)',
      oneOf('--profile', ['A', 'B']),
    )
    .action(
      run(async (io, id: string, { key, profile }: SignOptions) => {
        const reply = await io.call('review.sign', {
          review_id: id,
          signing_key_id: key ?? 'default',
          profile,
        })
        io.print(reply, (paint) =>
          facts(
            [
              ['review', reply['review_id']],
              ['signature', reply['signature']],
              ['digest', reply['schema_hash']],
              ['signed by', reply['signer_id']],
              ['key', reply['signing_key_id']],
              ['fingerprint', reply['key_fingerprint']],
              ['profile', reply['signature_profile']],
              ['at', reply['signed_at']],
            ],
            paint,
          ),
        )
      }),
    )
}
