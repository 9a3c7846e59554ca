/** `vestry backup DIR` and `vestry restore DIR`: a ciphertext copy of everything, and the way back. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { facts } from './table.ts'

export function backupCommands(program: Command, run: Run): void {
  program
    .command('backup')
    .description('write a consistent copy; it holds ciphertext only')
    .argument('<dir>', 'directory for the copy, which gets a folder of its own there')
    .action(
      run(async (io, dir: string) => {
        // The daemon has another working directory.
        const reply = await io.call('backup', { directory: resolve(dir) }, 'writing the backup')
        io.print(reply, (paint) => facts(Object.entries(reply), paint))
        io.note('Key files are not part of it: keep keys/operator.key and what unseals elsewhere.')
      }),
    )

  program
    .command('restore')
    .description('fill an empty home from a backup; works without a daemon')
    .argument('<dir>', 'the folder that "vestry backup" wrote')
    .option('--store <url>', 'store to restore into (default: as configured)')
    .option('--config <file>', 'configuration file (default: vestry.yaml in the home)')
    .action(
      run(async (io, dir: string, options: { store?: string; config?: string }) => {
        const restored = await restoreHome(io, resolve(dir), options)
        const document = {
          vault_id: restored.vaultId,
          rows: restored.rows,
          home: io.home.dir,
          sealed: true,
        }
        io.print(document, (paint) => facts(Object.entries(document), paint))
        if (!existsSync(io.home.operatorKey)) {
          io.note(
            `Put the operator key back at ${io.home.operatorKey}; it is not part of a backup.`,
          )
        }
        io.note('Start the daemon and unseal it with what opened the vault before.')
      }),
    )
}

async function restoreHome(
  io: CommandIo,
  dir: string,
  options: { store?: string; config?: string },
): Promise<{ vaultId: string; rows: number }> {
  const [
    { restore },
    { makeHome },
    { openHomeStore },
    { loadConfig },
    { takeWriterLock },
    { listSegments },
  ] = await Promise.all([
    import('../app/backup.ts'),
    import('../app/initialise.ts'),
    import('../app/assemble.ts'),
    import('../app/config.ts'),
    import('../audit/writer-lock.ts'),
    import('../audit/segment.ts'),
  ])
  const file = options.config ?? io.home.config
  const config = loadConfig(file, io.env, { required: options.config !== undefined })
  process.umask(0o077)
  makeHome(io.home)
  using _lock = takeWriterLock(io.home.audit)
  if (listSegments(io.home.audit).length > 0) {
    throw new VestryError('CONFLICT', `${io.home.audit} holds a record already`, {
      hint: 'Restore into a new --home',
    })
  }
  // Awaited here: the lock is given back as this function returns.
  return await io.busy('restoring', async () => {
    const store = await openHomeStore(io.home, config, options.store)
    try {
      return await restore(dir, io.home, store)
    } finally {
      await store.close()
    }
  })
}
