/** Secrets over HTTP (runtime contract §8.2): store, read, list, delete, and which back end keeps them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { Stations } from '../../call/perform.ts'
import { actorOf } from '../../identity/caller.ts'
import { Secret } from '../../seal/secret.ts'
import { performOnSecrets, type SecretOperation } from '../../secrets/access.ts'
import { readBackendConfig } from '../../secrets/backend-config.ts'
import { configureReply, describeFacts, describeProgress } from '../../secrets/describe.ts'
import { EXTRAS } from '../../secrets/migration.ts'
import {
  assertPlace,
  isOwner,
  isSecretName,
  type SecretPlace,
  secretNotFound,
} from '../../secrets/place.ts'
import type { Secrets } from '../../secrets/secrets.ts'
import { Description, valueProblem } from '../../secrets/verbs.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'

export interface SecretRouteDeps {
  readonly secrets: Secrets
  readonly stations: Stations
  readonly dataDir: string
  readonly hasMasterKey: boolean
}

/** A migration that takes longer goes on behind a 202, also when trying the back end took most of the time. */
const MIGRATION_ANSWER_MS = 15_000

const StoreRequest = z.object({
  agent_id: z.string(),
  secret_name: z.string(),
  secret_value: z.string(),
  description: Description.nullish(),
  expected_version: z.int().min(0).nullish(),
})
const Flag = z.enum(['true', 'false', '1', '0']).optional()
const ConfigQuery = z.object({ migrate: Flag, extras: z.enum(EXTRAS).default('refuse') })
const Version = z.coerce
  .number()
  .int()
  .min(1)
  .max(2 ** 31)

export function secretRoutes(deps: SecretRouteDeps): RuntimeRoute[] {
  return [
    {
      method: 'POST',
      path: 'secrets/config',
      access: 'admin',
      handle: (request) => configure(deps, request),
    },
    {
      method: 'GET',
      path: 'secrets/config',
      access: 'admin',
      handle: (request) =>
        run(deps, request, { operation: 'status' }, async () => ({
          body: configureReply(await deps.secrets.configured()),
        })),
    },
    {
      method: 'GET',
      path: 'secrets/config/migration',
      access: 'admin',
      handle: (request) =>
        run(deps, request, { operation: 'status' }, async () => ({
          body: describeProgress(await deps.secrets.progress()),
        })),
    },
    { method: 'POST', path: 'secrets', access: 'key', handle: (request) => store(deps, request) },
    {
      method: 'GET',
      path: 'secrets/:agent',
      access: 'key',
      handle: (request) => list(deps, request),
    },
    {
      method: 'GET',
      path: 'secrets/:agent/*',
      access: 'key',
      handle: (request) => read(deps, request),
    },
    {
      method: 'DELETE',
      path: 'secrets/:agent/*',
      access: 'key',
      handle: (request) => remove(deps, request),
    },
  ]
}

async function store(deps: SecretRouteDeps, request: RuntimeRequest): Promise<RuntimeReply> {
  const body = accept(StoreRequest, request.json(), 'VALIDATION_ERROR')
  const place = { agent: body.agent_id, name: body.secret_name }
  assertPlace(place, 'VALIDATION_ERROR')
  using value = Secret.copy(Buffer.from(body.secret_value))
  const problem = valueProblem(value.bytes)
  if (problem !== undefined) throw new VestryError('VALIDATION_ERROR', `secret_value: ${problem}`)
  const absent = agentNotFound(place.agent)
  // Awaited here: the value lives as long as this function.
  return await run(deps, request, { operation: 'store', ...place, absent }, async (note) => {
    const written = await deps.secrets.put(place, value, {
      description: body.description ?? undefined,
      expectedVersion: body.expected_version ?? undefined,
      createdBy: actorOf(request.caller.principal),
      signal: request.signal,
    })
    note({ version: written.version })
    return { status: written.created ? 201 : 200, body: describeFacts(place, written) }
  })
}

async function read(deps: SecretRouteDeps, request: RuntimeRequest): Promise<RuntimeReply> {
  const place = placeIn(request)
  const asked = request.query['version']
  const version = asked === undefined ? undefined : accept(Version, asked, 'VALIDATION_ERROR')
  const absent = secretNotFound(place)
  return run(deps, request, { operation: 'read', ...place, absent }, async (note) => {
    const found = await deps.secrets.get(place, request.signal, version)
    using value = found.value
    note({ version: found.version })
    const text = Buffer.from(value.bytes).toString('utf8')
    return { body: { ...describeFacts(place, found), value: text } }
  })
}

async function list(deps: SecretRouteDeps, request: RuntimeRequest): Promise<RuntimeReply> {
  const agent = request.params['agent'] ?? ''
  const absent = agentNotFound(agent)
  // Nobody of such a name has secrets.
  if (!isOwner(agent)) {
    if (request.scope !== undefined) throw absent
    return { body: { secrets: [], agent_id: agent } }
  }
  return run(deps, request, { operation: 'list', agent, absent }, async () => ({
    body: { secrets: await deps.secrets.list(agent, request.signal), agent_id: agent },
  }))
}

async function remove(deps: SecretRouteDeps, request: RuntimeRequest): Promise<RuntimeReply> {
  const place = placeIn(request)
  const absent = secretNotFound(place)
  return run(deps, request, { operation: 'delete', ...place, absent }, async () => {
    await deps.secrets.delete(place, request.signal)
    return {
      body: {
        status: 'deleted',
        secret_name: place.name,
        agent_id: place.agent,
        deleted_at: new Date(deps.stations.now()).toISOString(),
      },
    }
  })
}

async function configure(deps: SecretRouteDeps, request: RuntimeRequest): Promise<RuntimeReply> {
  const { secrets, dataDir, hasMasterKey } = deps
  const config = readBackendConfig(request.json(), { dataDir, hasMasterKey }, 'VALIDATION_ERROR')
  const query = accept(ConfigQuery, request.query, 'VALIDATION_ERROR')
  const migrate = query.migrate === 'true' || query.migrate === '1'
  return run(deps, request, { operation: 'configure' }, async (note) => {
    note({ backend_type: config.type, migrate })
    const { extras } = query
    const configured = await secrets.configure(config, { migrate, extras, signal: request.signal })
    if (!configured.moving) return { body: configureReply(configured) }
    await Promise.race([secrets.migrated(), pause(MIGRATION_ANSWER_MS, request.signal)])
    const progress = await secrets.progress()
    const migration = describeProgress(progress)
    if (progress.status === 'failed' && 'error' in progress) throw migrationFailed(progress)
    const body = { ...configureReply(configured), migration }
    return progress.status === 'copying'
      ? { status: 202, body: { ...body, status: 'migrating' } }
      : { body }
  })
}

function run(
  { stations }: SecretRouteDeps,
  { caller, requestId }: RuntimeRequest,
  what: { operation: SecretOperation; agent?: string; name?: string; absent?: VestryError },
  effect: (note: (facts: Record<string, unknown>) => void) => Promise<RuntimeReply>,
): Promise<RuntimeReply> {
  return performOnSecrets(stations, { caller, requestId, ...what, effect })
}

/** What no secret can be called is not there. */
function placeIn(request: RuntimeRequest): SecretPlace {
  const place = { agent: request.params['agent'] ?? '', name: request.params['*'] ?? '' }
  if (isOwner(place.agent) && isSecretName(place.name)) return place
  throw secretNotFound(shown(place))
}

function shown({ agent, name }: SecretPlace): SecretPlace {
  return { agent: agent.slice(0, 128), name: name.slice(0, 256) }
}

function agentNotFound(agent: string): VestryError {
  return new VestryError('AGENT_NOT_FOUND', `There is no agent "${agent.slice(0, 128)}"`)
}

function migrationFailed({ error }: { error: { code: string; message: string } | undefined }) {
  return new VestryError('BACKEND_ERROR', `Nothing was switched: ${error?.message ?? 'unknown'}`, {
    context: { details: { migration_error: error?.code ?? 'INTERNAL_ERROR' } },
  })
}

/** Shorter when the signal ends it. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
}
