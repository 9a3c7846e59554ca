/** `vestry status`: whether the daemon runs, whether the vault is open, and what is in it. */
import type { Command } from 'commander'
import { type Row, rowOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { failureOf } from './failure.ts'
import type { Paint } from './style.ts'
import { facts } from './table.ts'

export function statusCommand(program: Command, run: Run): void {
  program
    .command('status')
    .description('show the state of the daemon and the vault')
    .action(
      run(async (io) => {
        const state = await io.anonymous((admin) => admin.call('status'))
        const inside = state['sealed'] === true ? {} : await insideView(io)
        const document = { ...state, ...inside }
        io.print(document, (paint) => statusText(document, paint))
      }),
    )
}

/** What only operators see. Without a key the public part is still an answer. */
async function insideView(io: CommandIo): Promise<Row> {
  try {
    return await io.call('server.show')
  } catch (error) {
    const { code, message } = failureOf(error)
    if (code !== 'AUTH_FAILED' && code !== 'ACCESS_DENIED') throw error
    io.note(`Not logged in, so only the public part is shown: ${message}`)
    return {}
  }
}

function statusText(status: Row, paint: Paint): string {
  const { sealed, initialized, audit: _audit, term: _term, limits: _limits, ...rest } = status
  const state =
    initialized === false
      ? paint('yellow', 'no vault yet')
      : sealed === true
        ? paint('yellow', 'sealed')
        : paint('green', 'unsealed')
  const audit = rowOf(status, 'audit')
  const term = rowOf(status, 'term')
  return `${state}\n${facts(
    [
      ...Object.entries(rest).filter(([name]) => name !== 'features' && name !== 'protocol'),
      ['term', term['term']],
      ['audit', audit['available'] === false ? 'NOT WRITABLE' : audit['seq']],
    ],
    paint,
  )}`
}
