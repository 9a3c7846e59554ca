/**
 * Starts one agent process: a room with its sockets and tokens, a sandbox without a network, the environment of
 * its run, and the command. Everything that was made for it is gone when it ends.
 */
import { existsSync, lchownSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { environmentOf, type Variables } from './environment.ts'
import { launch } from './launch.ts'
import { isHidden, isWithin, mountArguments, ROOM } from './mounts.ts'
import { findProgram } from './program-path.ts'
import { openRoom, type Room } from './room.ts'
import { chooseSandbox, problemIn, type Sandbox, type SandboxChoice } from './sandbox.ts'
import { compileProfile, hostArchitecture } from './seccomp/compile.ts'
import { agentProfile } from './seccomp/profile.ts'

export interface ExecPlan {
  readonly command: readonly string[]
  /** Of the run, with the places that the daemon knows. */
  readonly run: Variables
  readonly pod: Variables
  readonly extra: Variables
  /** The vault's socket and the agent's key file, where its clients look for them. */
  readonly vault: { readonly socket: string; readonly keyFile: string } | undefined
  readonly repository: string | undefined
  /** Shown read-only although what is around them is hidden. */
  readonly shown: readonly string[]
  readonly hidden: readonly string[]
  readonly uid: number | undefined
  readonly sandbox: SandboxChoice
  readonly own: NodeJS.ProcessEnv
  readonly directory: string
  readonly warn: (text: string) => void
}

/** Variables that name a socket → its name in the room, and whether HTTP is spoken there. */
const SOCKETS: Readonly<Record<string, { name: string; http: boolean }>> = {
  LLM_GATEWAY_SOCKET: { name: 'llm.sock', http: true },
  AUTH_SIDECAR_SOCKET: { name: 'auth.sock', http: true },
  ENVPOD_SOCKET: { name: 'queue.sock', http: false },
  ENVPOD_IDENTITY_SOCKET: { name: 'identity.sock', http: false },
}
/** Variables that name a token file → its name in the room. */
const FILES: Readonly<Record<string, string>> = {
  SPIFFE_JWT_PATH: 'svid.jwt',
  TRAT_FILE: 'trat.jwt',
}
const DIRECTORIES: Readonly<Record<string, string>> = { WORK_DIR: 'work', OUTPUT_PATH: 'output' }
/** They are other places inside than outside. */
const PLACES = new Set([SOCKETS, FILES, DIRECTORIES].flatMap((table) => Object.keys(table)))
const VAULT = 'sanctum'
const FILTER = 'filter.bpf'

/** @returns The command's exit code. @throws VestryError when it could not be started. */
export async function execAgent(plan: ExecPlan): Promise<number> {
  const [name = ''] = plan.command
  const path = plan.extra['PATH'] ?? plan.own['PATH'] ?? ''
  const program = findProgram(name, path)
  if (program === undefined) {
    throw new VestryError('NOT_FOUND', `there is no program ${name}`, {
      hint: 'Give its path, or put its directory into PATH',
    })
  }
  const isPlace = ([variable]: [string, string]): boolean => PLACES.has(variable)
  const given: Variables = {
    ...plan.pod,
    ...plan.run,
    ...Object.fromEntries(Object.entries(plan.extra).filter(isPlace)),
  }
  const own = ownDirectories(given, plan.uid)
  await using room = await openRoom(roomPlan(plan, given))
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
  const moved = movedTo(given, { seen, room, work, own, hasView })
  return await launch({
    sandbox,
    command: [program, ...plan.command.slice(1)],
    environment: environmentOf({
      own: plan.own,
      pod: {},
      run: {
        ...moved,
        ...(repository !== undefined && { REPO_PATH: repository }),
      },
      home: work,
      extra: Object.fromEntries(Object.entries(plan.extra).filter((entry) => !isPlace(entry))),
    }),
    directory: hasView ? '/' : (directory ?? work),
    filterFile,
  })
}

function roomPlan(plan: ExecPlan, given: Variables) {
  const { vault } = plan
  const sockets = Object.entries(SOCKETS).flatMap(([variable, { name, http }]) => {
    const path = given[variable]
    return path === undefined ? [] : [[name, { path, http }] as const]
  })
  const files = Object.entries(FILES).flatMap(([variable, name]) => {
    const path = given[variable]
    return path === undefined ? [] : [[name, path] as const]
  })
  return {
    parent: plan.uid !== undefined && existsSync('/run') ? '/run' : tmpdir(),
    uid: plan.uid,
    writable: ['work', 'output'],
    readable: ['repo', ...(vault === undefined ? [] : [VAULT, `${VAULT}/keys`])],
    sockets: {
      ...Object.fromEntries(sockets),
      ...(vault !== undefined && { [`${VAULT}/vault.sock`]: { path: vault.socket, http: false } }),
    },
    files: {
      ...Object.fromEntries(files),
      ...(vault !== undefined && {
        [`${VAULT}/keys/${vault.keyFile.slice(dirname(vault.keyFile).length + 1)}`]: vault.keyFile,
      }),
    },
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

/** Another user has to find the way himself, past directories that are closed to all but their owners. */
function assertReached(
  sandbox: Sandbox,
  filterFile: string,
  uid: number,
  {
    program,
    directories,
    repository,
  }: { program: string; directories: readonly string[]; repository: string | undefined },
): void {
  const can = (test: string, path: string): boolean =>
    problemIn(sandbox, filterFile, ['/bin/sh', '-c', test, 'sh', path]) === undefined
  if (!can('test -x "$1"', program)) {
    throw new VestryError('CONFIG_INVALID', `user ${uid} cannot run ${program}`, {
      hint: 'Put the program where all may read it, or choose a user that may with --uid',
    })
  }
  if (repository !== undefined && !can('test -x "$1" && test -r "$1"', repository)) {
    throw new VestryError('CONFIG_INVALID', `user ${uid} cannot read the repository`, {
      hint: 'Let others read its directory and files, or choose a user that may with --uid',
    })
  }
  const closed = directories.find((path) => !can('test -x "$1" && test -w "$1"', path))
  if (closed === undefined) return
  throw new VestryError('CONFIG_INVALID', `user ${uid} cannot write to ${closed}`, {
    hint: 'Install bubblewrap, or give it directories that it reaches: --env WORK_DIR=… --env OUTPUT_PATH=…',
  })
}

function mountPlan(
  plan: ExecPlan,
  room: Room,
  own: Variables,
  program: string,
  directory: string | undefined,
) {
  const shown = [...plan.shown]
  const isShown = (path: string): boolean => shown.some((place) => isWithin(path, place))
  // Where it was started, and what was started: seen even below the temporary directories.
  for (const path of [directory, program]) {
    if (path !== undefined && isHidden(path) && !isShown(path)) shown.push(path)
  }
  const write = { work: join(room.dir, 'work'), output: join(room.dir, 'output'), ...own }
  return {
    room: room.dir,
    readable: {
      ...(plan.repository !== undefined && { repo: plan.repository }),
      ...(plan.vault !== undefined && { 'work/.sanctum': join(room.dir, VAULT) }),
    },
    writable: write,
    shown,
    // A home below a hidden directory is hidden with it, unless it is part of what is shown.
    hidden: plan.hidden.filter((path) => existsSync(path) && (!isHidden(path) || isShown(path))),
    openTemporary: plan.uid !== undefined,
  }
}

/** undefined where the directory is one that the agent must not see. */
function startDirectory({ directory, hidden }: ExecPlan): string | undefined {
  return hidden.some((path) => isWithin(directory, path)) ? undefined : directory
}

/** The variables with the places that they name as the agent sees them. */
function movedTo(
  given: Variables,
  place: {
    seen: string
    room: Room
    work: string
    own: Variables
    hasView: boolean
  },
): Variables {
  const moved: Record<string, string> = { ...given }
  for (const [variable, { name }] of Object.entries(SOCKETS)) {
    if (moved[variable] !== undefined) moved[variable] = join(place.seen, name)
  }
  for (const [variable, name] of Object.entries(FILES)) {
    if (moved[variable] === undefined) continue
    moved[variable] = join(place.seen, name)
    // Clients take a missing token file for an error even when they could ask for the token.
    if (variable === 'TRAT_FILE' && !existsSync(join(place.room.dir, name))) delete moved[variable]
  }
  if (place.hasView) {
    moved['WORK_DIR'] = place.work
    moved['OUTPUT_PATH'] = join(place.seen, 'output')
  }
  return moved
}
