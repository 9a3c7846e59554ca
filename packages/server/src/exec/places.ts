/** Sockets, tokens and directories: which variables name them, and what they are called in an agent's room. */
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Variables } from './environment.ts'
import type { RoomPlan } from './room.ts'

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
export const DIRECTORIES: Readonly<Record<string, string>> = {
  WORK_DIR: 'work',
  OUTPUT_PATH: 'output',
}
const PLACES = new Set([SOCKETS, FILES, DIRECTORIES].flatMap((table) => Object.keys(table)))
export const VAULT = 'sanctum'

/** The vault's socket and an agent's key file. */
export interface VaultPlace {
  readonly socket: string
  readonly keyFile: string
}

interface RoomWish {
  readonly vault: VaultPlace | undefined
  readonly uid: number | undefined
}

/** Names another place inside than outside. */
export function isPlace(variable: string): boolean {
  return PLACES.has(variable)
}

/** The room that these variables ask for. */
export function roomPlan(given: Variables, { vault, uid }: RoomWish): RoomPlan {
  const sockets = Object.entries(SOCKETS).flatMap(([variable, { name, http }]) => {
    const path = given[variable]
    return path === undefined ? [] : [[name, { path, http }] as const]
  })
  const files = Object.entries(FILES).flatMap(([variable, name]) => {
    const path = given[variable]
    return path === undefined ? [] : [[name, path] as const]
  })
  return {
    parent: uid !== undefined && existsSync('/run') ? '/run' : tmpdir(),
    uid,
    writable: ['work', 'output'],
    readable: ['repo', ...(vault === undefined ? [] : [VAULT, `${VAULT}/keys`])],
    sockets: {
      ...Object.fromEntries(sockets),
      ...(vault !== undefined && { [`${VAULT}/vault.sock`]: { path: vault.socket, http: false } }),
    },
    files: {
      ...Object.fromEntries(files),
      ...(vault !== undefined && {
        [`${VAULT}/keys/${basename(vault.keyFile)}`]: vault.keyFile,
      }),
    },
  }
}

/** The variables with the places that they name as the agent sees them. */
export function movedTo(
  given: Variables,
  place: { seen: string; room: string; work: string; hasView: boolean },
): Variables {
  const moved: Record<string, string> = { ...given }
  for (const [variable, { name }] of Object.entries(SOCKETS)) {
    if (moved[variable] !== undefined) moved[variable] = join(place.seen, name)
  }
  for (const [variable, name] of Object.entries(FILES)) {
    if (moved[variable] === undefined) continue
    moved[variable] = join(place.seen, name)
    // Clients take a missing token file for an error even when they could ask for the token.
    if (variable === 'TRAT_FILE' && !existsSync(join(place.room, name))) delete moved[variable]
  }
  if (place.hasView) {
    moved['WORK_DIR'] = place.work
    moved['OUTPUT_PATH'] = join(place.seen, 'output')
  }
  return moved
}
