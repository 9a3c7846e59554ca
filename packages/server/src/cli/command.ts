/** Ties commander's commands to our actions: every command gets the common options and a CommandIo. */
import { type Command, Option } from 'commander'
import { CommandIo, type GlobalOptions } from './command-io.ts'
import type { Terminal } from './terminal.ts'

/**
 * Wraps an action. It gets the io, then what commander hands over: arguments, then options.
 * Commander's types say `any` there, so each action states what it declared.
 */
export type Run = <A extends unknown[]>(
  action: (io: CommandIo, ...args: A) => Promise<void>,
) => (...args: [...A, Command]) => Promise<void>

export function runner(
  terminal: Terminal,
  signal: AbortSignal,
  ended: (exitCode: number) => void,
): Run {
  return (action) =>
    async (...all) => {
      const { args, command } = split(all)
      const io = new CommandIo(globalOptions(command), terminal, signal)
      await action(io, ...args)
      ended(io.exitCode)
    }
}

/** Adds the common options to a command and to all below it, so that they may stand anywhere. */
export function addGlobalOptions(command: Command): void {
  for (const [flags, description] of GLOBAL_OPTIONS) {
    command.addOption(new Option(flags, description).helpGroup('Common options:'))
  }
  for (const child of command.commands) addGlobalOptions(child)
}

const GLOBAL_OPTIONS: readonly (readonly [string, string])[] = [
  ['--home <dir>', 'home directory (default: $VESTRY_HOME, else ~/.vestry)'],
  ['--json', 'one JSON document on stdout, nothing else'],
  ['--socket <path>', 'admin socket (default: run/admin.sock in the home)'],
  ['--operator <name>', 'operator to log in as (default: owner)'],
  ['--operator-key <file>', 'key file of that operator'],
  ['--quiet', 'no prose on stderr'],
  ['--yes', 'do not ask before what cannot be undone'],
]

function split<A extends unknown[]>(all: [...A, Command]): { args: A; command: Command } {
  const command = all.at(-1) as Command // commander appends the command to what an action gets
  return { args: all.slice(0, -1) as A, command }
}

/** The nearer option wins: `vestry --home a agent list --home b` uses b. */
function globalOptions(command: Command): GlobalOptions {
  const chain: Command[] = []
  for (let at: Command | null = command; at !== null; at = at.parent) chain.unshift(at)
  return Object.assign({}, ...chain.map((one) => one.opts<GlobalOptions>()))
}
