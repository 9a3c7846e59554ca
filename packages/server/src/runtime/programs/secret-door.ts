/** Opens a secret for a check that a program asks for: its agent's own, or a credential of the vault. */
import { perform, type Stations } from '../../call/perform.ts'
import type { Secret } from '../../seal/secret.ts'
import { performOnSecrets } from '../../secrets/access.ts'
import type { SecretResolver } from '../../secrets/resolver.ts'
import type { VaultCredentials } from '../effects/http.ts'
import type { ProgramDoors } from './program-doors.ts'

export interface SecretDoorDeps {
  readonly stations: Stations
  readonly secrets: SecretResolver
  readonly credentials: VaultCredentials
}

const VAULT = 'vault://'
const OWN = 'secret://'

/** `vault://path` is a credential; everything else is the agent's own. */
export function referenceOf(name: string): string {
  return name.startsWith(VAULT) || name.startsWith(OWN) ? name : `${OWN}${name}`
}

export function secretDoor(deps: SecretDoorDeps): ProgramDoors['openSecret'] {
  const { stations, secrets, credentials } = deps
  return async ({ agent, caller, requestId, secret }) => {
    const reference = referenceOf(secret.name)
    if (reference.startsWith(OWN)) {
      return performOnSecrets<Secret>(stations, {
        caller,
        requestId,
        operation: 'read',
        agent: agent.name,
        name: reference.slice(OWN.length),
        effect: () => secrets.resolve(reference, agent.name),
      })
    }
    const path = reference.slice(VAULT.length)
    const found = await credentials.find(path)
    return perform<Secret>(stations, {
      caller,
      requestId,
      action: 'vault:use:verify',
      event: 'credential.use',
      source: 'runtime',
      resource: { kind: 'credential', path, type: found?.type ?? null, tags: found?.tags ?? [] },
      context: { nowMs: stations.now(), transport: caller.peer.transport },
      data: { operation: 'verify' },
      approvalParams: { path, operation: 'verify' },
      settle: () => ({
        effect: async () => (await credentials.open(path)).secret,
        undo: (opened) => opened[Symbol.dispose](),
      }),
    })
  }
}
