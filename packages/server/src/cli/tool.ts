/** `vestry tool …`: what agents may be allowed to call, and trying a call out without making it. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { EXIT, type ExitCode } from './exit-code.ts'
import { jsonObject } from './option-value.ts'
import { table } from './table.ts'
import { safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'
import { toolKeyCommands } from './tool-key.ts'
import { toolPinCommands } from './tool-pin.ts'
import { toolSignCommand } from './tool-sign.ts'
import { toolState, toolStyle, toolText } from './tool-text.ts'
import { trialText } from './tool-trial.ts'
import { toolVerifyCommand } from './tool-verify.ts'

/** What the daemon accepts. */
const MAX_FILE_BYTES = 262_144

interface TestOptions {
  params?: Record<string, unknown>
  agent?: string
  intent?: string
}

export function toolCommands(program: Command, run: Run): void {
  const tool = program.command('tool').description('tools: of the gateway, and their signatures')

  tool
    .command('list')
    .description('list tools')
    .action(
      run(async (io) => {
        const reply = await io.call('tool.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'TOOL', value: 'name' },
              { title: 'FROM', value: 'origin' },
              { title: 'MODE', value: 'mode' },
              { title: 'STATE', value: toolState, style: toolStyle },
              { title: 'CREDENTIAL', value: 'credential' },
              {
                title: 'ACTIONS',
                value: (row) => rowsOf(row, 'actions').map(({ name }) => name),
              },
            ],
            rowsOf(reply, 'tools'),
            { paint, empty: 'no tools; add one with "vestry tool add FILE"' },
          ),
        )
      }),
    )

  tool
    .command('show')
    .description('show a tool, its actions and their parameters')
    .argument('<name>', 'the tool')
    .action(
      run(async (io, name: string) => {
        const reply = await io.call('tool.show', { name })
        io.print(reply, (paint) => toolText(reply, paint))
      }),
    )

  tool
    .command('add')
    .description('add an HTTP tool from a file, or replace it')
    .argument('<file>', 'YAML or JSON: name, base_url, actions')
    .action(
      run(async (io, file: string) => {
        const reply = await io.call('tool.add', await readToolFile(file))
        io.print(reply, (paint) => toolText(reply, paint))
        if (reply['configured'] === false && reply['credential'] !== null)
          io.note(
            `It has no credential yet: vestry cred add ${String(reply['credential'])} --value-stdin`,
          )
      }),
    )

  tool
    .command('rm')
    .description('remove a tool that was added')
    .argument('<name>', 'the tool')
    .action(
      run(async (io, name: string) => {
        const reply = await io.call('tool.rm', { name })
        io.print(reply, `removed ${safeText(String(reply['removed']))}`)
      }),
    )

  tool
    .command('test')
    .description('show what a call would send and what policy says; nothing is sent')
    .argument('<tool:action>', 'e.g. serpapi:search')
    .option('--params <json>', 'parameters of the call', jsonObject('--params'))
    .option('--agent <name>', 'ask policy for this agent; exit code 3 when it says no')
    .option('--intent <intent>', 'what the call is said to be for')
    .action(
      run(async (io, name: string, { params, agent, intent }: TestOptions) => {
        const asked = toolAction(name)
        const reply = await io.call('tool.test', { ...asked, params, agent, intent })
        io.exitCode = exitCodeOf(reply)
        io.print(reply, (paint) => trialText(reply, agent, paint))
      }),
    )

  toolSignCommand(tool, run)
  toolVerifyCommand(tool, run)
  toolKeyCommands(tool, run)
  toolPinCommands(tool, run)
}

/** Whether the call would have been made. */
function exitCodeOf({ allowed, problems, configured, mode }: Row): ExitCode {
  if (allowed === false) return EXIT.denied
  const wrong = Array.isArray(problems) && problems.length > 0
  return wrong || (mode === 'live' && configured === false) ? EXIT.failed : EXIT.done
}

function toolAction(text: string): { tool: string; action: string } {
  const [tool = '', action = '', ...more] = text.split(':')
  if (tool !== '' && action !== '' && more.length === 0) return { tool, action }
  throw new VestryError('USAGE', 'the tool and its action are written as TOOL:ACTION', {
    hint: 'For example: vestry tool test serpapi:search. See "vestry tool list"',
  })
}

async function readToolFile(file: string): Promise<{ name: string; text: string }> {
  const found = await readTextFile(file, {
    maxBytes: MAX_FILE_BYTES,
    invalid: 'INVALID_PARAMS',
    hint: 'Check the path',
  })
  if (found.text === '') throw new VestryError('INVALID_PARAMS', `${file} is empty`)
  return found
}
