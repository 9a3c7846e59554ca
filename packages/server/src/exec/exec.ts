/**
 * Starts one agent process: a room with its sockets and tokens, a sandbox without a network, the environment of
 * its run, and the command. Everything that was made for it is gone when it ends.
 */
import {
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { environmentOf, type Variables } from './environment.ts'
import { type Launched, launch } from './launch.ts'
import { listeningSockets } from './listening-sockets.ts'
import { isHidden, isWithin, mountArguments, POD, PRIVATE, ROOM } from './mounts.ts'
import { DIRECTORIES, isPlace, movedTo, roomPlan, VAULT, type VaultPlace } from './places.ts'
import { findProgram } from './program-path.ts'
import { assertReached } from './reach.ts'
import { openRoom, type Room } from './room.ts'
import { chooseSandbox, type SandboxChoice } from './sandbox.ts'
import { compileProfile, hostArchitecture } from './seccomp/compile.ts'
import { agentProfile } from './seccomp/profile.ts'

export interface ExecPlan {
  readonly command: readonly string[]
  /** Of the run, with the places that the daemon knows. */
  readonly run: Variables
  readonly pod: Variables
  /** Directory of the daemon's sockets for agents in a sandbox; undefined: telemetry is off. */
  readonly podSockets: string | undefined
  readonly extra: Variables
  /** The vault's socket and the agent's key file, where its clients look for them. */
  readonly vault: VaultPlace | undefined
  readonly repository: string | undefined
  /** Shown read-only although what is around them is hidden. */
  readonly shown: readonly string[]
  readonly hidden: readonly string[]
  readonly uid: number | undefined
  readonly sandbox: SandboxChoice
  readonly own: NodeJS.ProcessEnv
  readonly directory: string
  readonly warn: (text: string) => void
  /** Called as soon as the process of the command is known. */
  readonly started?: (process: Launched) => void
}

const FILTER = 'filter.bpf'
/** In the agent's home, where the vault's clients look. */
const VAULT_MOUNT = '.sanctum'

/** @returns The command's exit code. @throws VestryError when it could not be started. */
export async function execAgent(plan: ExecPlan): Promise<number> {
  const [command = ''] = plan.command
  const path = plan.extra['PATH'] ?? plan.own['PATH'] ?? ''
  const program = findProgram(command, path)
  if (program === undefined) {
    throw new VestryError('NOT_FOUND', `there is no program ${command}`, {
      hint: 'Give its path, or put its directory into PATH',
    })
  }
  const given: Variables = {
    ...plan.pod,
    ...plan.run,
    ...Object.fromEntries(Object.entries(plan.extra).filter(([name]) => isPlace(name))),
  }
  const own = ownDirectories(given, plan.uid)
  if (plan.vault !== undefined) assertFree(own['work'])
  await using room = await openRoom(roomPlan(given, plan))
  const filterFile = join(room.dir, FILTER)
  writeFileSync(filterFile, compileProfile(agentProfile(), hostArchitecture()), { mode: 0o600 })
  const directory = startDirectory(plan)
  const sandbox = chooseSandbox(plan.sandbox, {
    path: plan.own['PATH'] ?? '',
    uid: plan.uid,
    mounts: mountArguments(mountPlan(plan, room, own, program, directory)),
    filterFile,
    directory: directory ?? `${ROOM}/work`,
  })
  const hasView = sandbox.kind === 'bubblewrap'
  if (!hasView) plan.warn('without bubblewrap no system call is refused and no file is hidden')
  const sockets = podSocketsSeen(plan, hasView)
  if (plan.podSockets !== undefined && sockets === undefined)
    plan.warn('without bubblewrap a user of its own can claim nothing and sends no events')
  const repository = plan.repository !== undefined && hasView ? `${ROOM}/repo` : plan.repository
  if (plan.uid !== undefined) {
    // Under bubblewrap its directories are mounted where it reaches them.
    assertReached(sandbox, filterFile, plan.uid, {
      program,
      directories: hasView ? [] : Object.values(own),
      repository,
    })
  }
  const seen = hasView ? ROOM : room.dir
  const work = hasView ? `${ROOM}/work` : (own['work'] ?? join(room.dir, 'work'))
  const moved = movedTo(given, { seen, room: room.dir, work, hasView })
  return await launch({
    sandbox,
    command: [program, ...plan.command.slice(1)],
    environment: environmentOf({
      own: plan.own,
      pod: {},
      run: {
        ...podPlaces(sockets),
        ...moved,
        ...(repository !== undefined && { REPO_PATH: repository }),
      },
      home: work,
      extra: Object.fromEntries(Object.entries(plan.extra).filter(([name]) => !isPlace(name))),
    }),
    directory: hasView ? '/' : (directory ?? work),
    filterFile,
    started: plan.started,
  })
}

/**
 * Where the agent finds the daemon's own sockets. Bytes are never passed on to them: the kernel would tell the daemon
 * of the one who passes them, and not of the agent.
 */
function podSocketsSeen({ podSockets, uid }: ExecPlan, hasView: boolean): string | undefined {
  if (podSockets === undefined || hasView) return podSockets && POD
  // The home is closed to other users.
  return uid === undefined ? podSockets : undefined
}

function podPlaces(directory: string | undefined): Variables {
  if (directory === undefined) return {}
  return {
    ENVPOD_SOCKET: join(directory, 'queue.sock'),
    ENVPOD_IDENTITY_SOCKET: join(directory, 'identity.sock'),
  }
}

/** The directories that a run writes in, made and given to its user when they are still ours. */
function ownDirectories(given: Variables, uid: number | undefined): Variables {
  const own: Record<string, string> = {}
  for (const [variable, name] of Object.entries(DIRECTORIES)) {
    const path = given[variable]
    if (path === undefined) continue
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const found = lstatSync(path)
    if (!found.isDirectory()) {
      throw new VestryError('CONFIG_INVALID', `${variable} ${path} is not a directory`)
    }
    const owner = found.uid
    if (uid !== undefined && owner !== uid) {
      if (owner !== process.getuid?.()) {
        throw new VestryError('CONFIG_INVALID', `${variable} ${path} belongs to user ${owner}`, {
          hint: `Give it to user ${uid}, or start the agent as its owner with --uid ${owner}`,
        })
      }
      lchownSync(path, uid, uid)
    }
    own[name] = path
  }
  return own
}

/** An agent that worked here before may have left a link: what is mounted on it would be mounted elsewhere. */
function assertFree(work: string | undefined): void {
  const path = join(work ?? '', VAULT_MOUNT)
  const found = work && lstatSync(path, { throwIfNoEntry: false })
  if (!found || found.isDirectory()) return
  throw new VestryError('CONFIG_INVALID', `${path} is not a directory`, {
    hint: 'Remove it: the vault’s files are shown there',
  })
}

/** One of the directories that are emptied, itself: to show it would show everybody’s. */
const isPrivate = (path: string): boolean => PRIVATE.some((each) => each === path)

function mountPlan(
  plan: ExecPlan,
  room: Room,
  own: Variables,
  program: string,
  directory: string | undefined,
) {
  const homes = plan.hidden.filter((path) => existsSync(path)).map((path) => realpathSync(path))
  const repository = plan.repository === undefined ? undefined : realpathSync(plan.repository)
  const revealed =
    plan.shown.find((path) => reveals(path, homes)) ??
    (repository !== undefined && homes.some((home) => isWithin(repository, home))
      ? repository
      : undefined)
  if (revealed !== undefined) {
    throw new VestryError('CONFIG_INVALID', `${revealed} leads into a home of Vestry`, {
      hint: 'Show the agent another path: keys and tokens of others lie there',
    })
  }
  const shown = [...plan.shown]
  const isShown = (path: string): boolean => shown.some((place) => isWithin(path, place))
  // Where it was started, what was started, and what that is to read: seen even below the temporary directories.
  for (const path of [directory, program, ...namedPlaces(plan)]) {
    if (path === undefined || isPrivate(path) || !isHidden(path) || isShown(path)) continue
    if (!reveals(path, homes)) shown.push(path)
  }
  const write = { work: join(room.dir, 'work'), output: join(room.dir, 'output'), ...own }
  return {
    room: room.dir,
    readable: {
      ...(repository !== undefined && { repo: repository }),
      ...(plan.vault !== undefined && { [`work/${VAULT_MOUNT}`]: join(room.dir, VAULT) }),
    },
    writable: write,
    shown,
    // A home below a hidden directory is hidden with it, unless it is part of what is shown.
    hidden: homes.filter(
      (home) =>
        !isHidden(home) ||
        isShown(home) ||
        (repository !== undefined && isWithin(home, repository)),
    ),
    // One that is shown by its own name is shown on purpose.
    closed: listeningSockets().filter(
      (path) => (!isHidden(path) || isShown(path)) && !shown.includes(path),
    ),
    pod: plan.podSockets,
    openTemporary: plan.uid !== undefined,
  }
}

/** Directories of the files that the command names, as a script reads others beside it. */
function namedPlaces({ command, directory }: ExecPlan): string[] {
  return command
    .slice(1)
    .map((word) => resolve(directory, word))
    .filter((path) => isHidden(path) && existsSync(path))
    .map((path) => {
      const place = statSync(path).isDirectory() ? path : dirname(path)
      return isPrivate(place) ? path : place
    })
}

/** To show `path` would show what is in a home, or a home through a link. @param homes Without links. */
function reveals(path: string, homes: readonly string[]): boolean {
  const real = realpathSync(path)
  return homes.some((home) => isWithin(real, home) || (real !== path && isWithin(home, real)))
}

/** undefined where the directory is one that the agent must not see. */
function startDirectory({ directory, hidden }: ExecPlan): string | undefined {
  return hidden.some((path) => isWithin(directory, path)) ? undefined : directory
}
