/**
 * What of the file system an agent process sees under bubblewrap: all of it read-only, its own directories
 * to write in, and neither the sockets of the machine nor the home of the vault. Pure.
 */
import { dirname, isAbsolute, relative, sep } from 'node:path'

/** Where the room is, from inside. */
export const ROOM = '/run/vestry'

export interface MountPlan {
  /** Directory of the room, outside. */
  readonly room: string
  /** Name in the room → directory mounted there for writing. */
  readonly writable: Readonly<Record<string, string>>
  /** Name in the room → directory mounted there for reading. */
  readonly readable: Readonly<Record<string, string>>
  /** Seen at their own place although what is around them is hidden. */
  readonly shown: readonly string[]
  /** Never seen, whatever else is shown. */
  readonly hidden: readonly string[]
  /** Sockets that are seen and lead nowhere. */
  readonly closed: readonly string[]
  /** Directory of the sockets of claims and events, seen where their clients look; undefined: there are none. */
  readonly pod: string | undefined
  /** Everybody may write in the temporary directories, as the agent is another user than we are. */
  readonly openTemporary: boolean
}

/** Where claims are made and events are sent, from inside. */
export const POD = '/run/envpod'

/** Sockets and temporary files of everybody. */
export const PRIVATE = ['/run', '/tmp', '/var/tmp'] as const

/** @returns Arguments of bwrap, in the order in which they are mounted over each other. */
export function mountArguments(plan: MountPlan): string[] {
  const temporary = (path: string): string[] => [
    ...(plan.openTemporary ? ['--perms', '1777'] : []),
    ...['--tmpfs', path],
  ]
  return [
    ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc'],
    ...PRIVATE.flatMap((path) => (path === '/run' ? ['--tmpfs', path] : temporary(path))),
    // What bubblewrap makes by itself on the way to a place is closed to other users.
    ...plan.shown.flatMap(wayTo).flatMap((path) => ['--perms', '0755', '--dir', path]),
    ...plan.shown.flatMap((path) => ['--ro-bind', path, path]),
    ...plan.closed.flatMap((path) => ['--ro-bind', '/dev/null', path]),
    ...plan.hidden.flatMap((path) => ['--tmpfs', path, '--remount-ro', path]),
    ...['--ro-bind', plan.room, ROOM],
    // The directory and not its sockets: those of a daemon that was started anew are others.
    ...(plan.pod === undefined ? [] : ['--ro-bind', plan.pod, POD]),
    ...Object.entries(plan.writable).flatMap(([name, from]) => ['--bind', from, `${ROOM}/${name}`]),
    // Later, for one of them may lie in a directory of the others.
    ...Object.entries(plan.readable).flatMap(([name, from]) => [
      '--ro-bind',
      from,
      `${ROOM}/${name}`,
    ]),
    ...hiddenInside(plan).flatMap((path) => ['--tmpfs', path, '--remount-ro', path]),
  ]
}

/** What is never seen, where a directory that holds it is mounted elsewhere, as a repository is. */
function hiddenInside({ hidden, writable, readable }: MountPlan): string[] {
  return Object.entries({ ...writable, ...readable }).flatMap(([name, from]) =>
    hidden
      .filter((path) => path !== from && isWithin(path, from))
      .map((path) => `${ROOM}/${name}/${relative(from, path)}`),
  )
}

/** The directories between one that is emptied and what is shown in it. */
function wayTo(path: string): string[] {
  const root = PRIVATE.find((directory) => isWithin(path, directory))
  if (root === undefined) return []
  const way: string[] = []
  for (let at = dirname(path); at !== root && isWithin(at, root); at = dirname(at)) way.unshift(at)
  return way
}

export function isWithin(path: string, directory: string): boolean {
  const way = relative(directory, path)
  return way === '' || (!isAbsolute(way) && way !== '..' && !way.startsWith(`..${sep}`))
}

export function isHidden(path: string): boolean {
  return PRIVATE.some((directory) => isWithin(path, directory))
}
