/** The environment of an agent process: what its run needs, the little it may inherit, and what it was given. Pure. */
import { VestryError } from '@vestry/contract/errors'

export type Variables = Readonly<Record<string, string>>

/** How a terminal behaves and what language people speak; nothing that could be a secret. */
const INHERITED = ['PATH', 'LANG', 'TERM', 'TZ'] as const
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin'
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

export interface EnvironmentParts {
  /** Of the process that starts the agent. */
  readonly own: NodeJS.ProcessEnv
  /** Of the run, its sockets and files already where the agent finds them. */
  readonly run: Variables
  /** `ENVPOD_*`. */
  readonly pod: Variables
  readonly home: string
  /** Given by `--env`; beats everything. */
  readonly extra: Variables
}

export function environmentOf({ own, run, pod, home, extra }: EnvironmentParts): Variables {
  const inherited = Object.fromEntries(
    INHERITED.flatMap((name) => {
      const value = own[name]
      return value === undefined || value === '' ? [] : [[name, value]]
    }),
  )
  return { PATH: DEFAULT_PATH, ...inherited, HOME: home, ...pod, ...run, ...extra }
}

/** One `--env`: `NAME=VALUE`, or `NAME` for the value it has here. @throws VestryError USAGE */
export function givenVariable(text: string, own: NodeJS.ProcessEnv): [name: string, value: string] {
  const at = text.indexOf('=')
  const name = at === -1 ? text : text.slice(0, at)
  if (!NAME.test(name)) {
    throw new VestryError('USAGE', `--env expects NAME or NAME=VALUE, not '${name}'`)
  }
  if (at !== -1) return [name, text.slice(at + 1)]
  const value = own[name]
  if (value === undefined) {
    throw new VestryError('USAGE', `--env ${name}: there is no such variable here`, {
      hint: `Give a value: --env ${name}=…`,
    })
  }
  return [name, value]
}
