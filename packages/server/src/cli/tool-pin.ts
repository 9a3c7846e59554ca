/** `vestry tool pin list | add | rm`: keys of providers that are believed, each for one tool of one domain. */
import type { Command } from 'commander'
import { rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { table } from './table.ts'
import { safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'

const MAX_KEY_BYTES = 4_096

export function toolPinCommands(tool: Command, run: Run): void {
  const pin = tool.command('pin').description('keys of providers that are believed')

  pin
    .command('list')
    .description('list pinned keys')
    .option('--domain <domain>', 'only keys of this domain')
    .action(
      run(async (io, { domain }: { domain?: string }) => {
        const reply = await io.call('key_pin.list', { domain })
        const rows = rowsOf(reply, 'pins').flatMap((one) =>
          rowsOf(one, 'pinned_keys').map((key) => ({ ...one, ...key })),
        )
        io.print(reply, (paint) =>
          table(
            [
              { title: 'TOOL', value: 'tool_id' },
              { title: 'DOMAIN', value: 'domain' },
              { title: 'TRUST', value: 'trust_level' },
              { title: 'FIRST SEEN', value: 'first_seen' },
              { title: 'FINGERPRINT', value: 'fingerprint' },
            ],
            rows,
            {
              paint,
              empty: 'no pinned keys; the first valid signature of a provider pins its key',
            },
          ),
        )
      }),
    )

  pin
    .command('add')
    .description('believe another key of a provider, beside those that are pinned')
    .argument('<tool-id>', 'the tool')
    .argument('<domain>', 'its provider')
    .option('--key <file>', 'public key in PEM (default: what the domain publishes now)')
    .action(
      run(async (io, toolId: string, domain: string, { key }: { key?: string }) => {
        const pem =
          key === undefined
            ? undefined
            : (
                await readTextFile(key, {
                  maxBytes: MAX_KEY_BYTES,
                  invalid: 'INVALID_PARAMS',
                  hint: 'Check the path',
                })
              ).text
        const asked = { tool_id: toolId, domain, public_key_pem: pem }
        const reply = await io.call('key_pin.add', asked, 'looking up the key')
        const count = rowsOf(reply, 'pinned_keys').length
        io.print(reply, `${safeText(toolId)} of ${safeText(domain)} has ${count} pinned key(s)`)
      }),
    )

  pin
    .command('rm')
    .description('forget pinned keys; the next one met is believed')
    .argument('<tool-id>', 'the tool')
    .argument('<domain>', 'its provider')
    .option('--fingerprint <sha256:…>', 'only this key')
    .action(
      run(async (io, toolId: string, domain: string, options: { fingerprint?: string }) => {
        const question = `Forget what is pinned for ${safeText(toolId)} of ${safeText(domain)}?`
        if (!(await io.confirm(question))) return io.note('Nothing was done.')
        const { fingerprint } = options
        const reply = await io.call('key_pin.remove', { tool_id: toolId, domain, fingerprint })
        io.print(
          reply,
          `${safeText(toolId)} of ${safeText(domain)}: ${String(reply['pinned_keys'])} left`,
        )
      }),
    )
}
