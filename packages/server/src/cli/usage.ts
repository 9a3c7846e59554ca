/**
 * What commander complains of, in our words. Its texts repeat the words of the command line, and one of
 * them may be a secret in the wrong place; so nothing is repeated but names of options and commands.
 */
import { VestryError } from '@vestry/contract/errors'
import type { CommanderError } from 'commander'

const DID_YOU_MEAN = /\(Did you mean (?:one of )?([^?]+)\?\)/
const QUOTED = /'([^']*)'/

export function usageError(error: CommanderError): VestryError {
  const [suggested] = DID_YOU_MEAN.exec(error.message)?.slice(1) ?? []
  const hint = suggested === undefined ? 'See --help' : `Did you mean ${suggested}?`
  return new VestryError('USAGE', messageOf(error), { hint, cause: error })
}

function messageOf({ code, message }: CommanderError): string {
  const named = QUOTED.exec(message)?.[1] ?? ''
  switch (code) {
    case 'commander.unknownOption':
      return `there is no option ${named.split('=')[0]}`
    case 'commander.unknownCommand':
      return `there is no command "${named}"`
    case 'commander.excessArguments':
      return `too many arguments${named === '' ? '' : ` for "${named}"`}`
    case 'commander.missingArgument':
      return `the argument <${named}> is missing`
    case 'commander.missingMandatoryOptionValue':
      return `the option ${named} is missing`
    case 'commander.optionMissingArgument':
      return `the option ${named} needs a value`
    case 'commander.help':
      return 'a command is missing'
    default:
      return message.replace(/^error: /, '').replace(/\n.*$/s, '')
  }
}
