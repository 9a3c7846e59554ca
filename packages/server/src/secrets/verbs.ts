/** Secrets for operators: the commands, and whatever other door asks by verb. Values travel as bytes. */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../admin/verb.ts'
import { decodeBase64Bytes } from '../seal/bytes-text.ts'
import { Secret } from '../seal/secret.ts'
import { readBackendConfig } from './backend-config.ts'
import { configureReply, describeFacts, describeProgress } from './describe.ts'
import { EXTRAS } from './migration.ts'
import {
  AGENT_RULE,
  isOwner,
  isSecretName,
  MAX_DESCRIPTION_CHARS,
  MAX_VALUE_BYTES,
  NAME_RULE,
} from './place.ts'
import type { Secrets } from './secrets.ts'

export interface SecretVerbDeps {
  readonly secrets: Secrets
  readonly dataDir: string
  readonly hasMasterKey: boolean
}

const Place = {
  agent: z.string().refine(isOwner, `must be ${AGENT_RULE}`),
  name: z.string().refine(isSecretName, `must be ${NAME_RULE}`),
}

/** A store of texts cannot keep a NUL. */
export const Description = z
  .string()
  .max(MAX_DESCRIPTION_CHARS)
  .refine((text) => !text.includes('\0') && text.isWellFormed(), 'must be text without NUL')

export function secretVerbs({ secrets, ...where }: SecretVerbDeps): AdminVerb[] {
  return [
    verb({
      name: 'secret.put',
      action: 'admin:write',
      event: 'secret.store',
      params: z.strictObject({
        ...Place,
        value_base64: z.literal(''),
        description: Description.optional(),
        expected_version: z.int().min(0).optional(),
      }),
      data: dataOf,
      run: async ({ params, secrets: given, by, signal, note }) => {
        const { description, expected_version: expectedVersion } = params
        using value = readValue(given)
        const createdBy = `operator:${by}`
        const options = { description, expectedVersion, createdBy, signal }
        const written = await secrets.put(params, value, options)
        note({ version: written.version })
        return { ...describeFacts(params, written), created: written.created }
      },
    }),
    verb({
      name: 'secret.show',
      action: 'admin:read',
      event: 'secret.show',
      params: z.strictObject(Place),
      data: dataOf,
      run: async ({ params, signal }) => {
        const found = await secrets.get(params, signal)
        found.value[Symbol.dispose]()
        return describeFacts(params, found)
      },
    }),
    verb({
      name: 'secret.reveal',
      action: 'admin:write',
      event: 'secret.read',
      params: z.strictObject({ ...Place, version: z.int().min(1).optional() }),
      data: (params) => ({ ...dataOf(params), severity: 'critical' }),
      run: async ({ params, signal, note }) => {
        const found = await secrets.get(params, signal, params.version)
        note({ version: found.version })
        return {
          result: describeFacts(params, found),
          secrets: [{ name: 'value', value: found.value, as: 'hex' as const }],
          release: () => found.value[Symbol.dispose](),
        }
      },
    }),
    verb({
      name: 'secret.list',
      action: 'admin:read',
      event: 'secret.list',
      params: z.strictObject({ agent: Place.agent.optional() }),
      data: ({ agent }) => ({ ...(agent !== undefined && { agent_id: agent }) }),
      run: async ({ params, signal }) => {
        const agents = params.agent === undefined ? await secrets.owners(signal) : [params.agent]
        const found: Record<string, unknown>[] = []
        for (const agent of agents)
          for (const name of await secrets.list(agent, signal))
            found.push({ agent_id: agent, secret_name: name })
        return { secrets: found }
      },
    }),
    verb({
      name: 'secret.rm',
      action: 'admin:write',
      event: 'secret.delete',
      params: z.strictObject(Place),
      data: dataOf,
      run: async ({ params, signal }) => {
        await secrets.delete(params, signal)
        return { status: 'deleted', secret_name: params.name, agent_id: params.agent }
      },
    }),
    verb({
      name: 'secret.backend',
      action: 'admin:read',
      event: 'secret.status',
      params: z.strictObject({ check: z.boolean().default(false) }),
      run: async ({ params, signal }) => ({
        ...configureReply(await secrets.configured()),
        ...(params.check && { checked: await secrets.check(signal) }),
        migration: describeProgress(await secrets.progress()),
      }),
    }),
    verb({
      name: 'secret.backend_set',
      action: 'admin:write',
      event: 'secret.configure',
      params: z.strictObject({
        config: z.record(z.string(), z.unknown()),
        migrate: z.boolean().default(false),
        extras: z.enum(EXTRAS).default('refuse'),
      }),
      data: ({ config, migrate }) => ({ backend_type: typeName(config), migrate }),
      run: async ({ params, signal }) => {
        const config = readBackendConfig(params.config, where)
        const { migrate, extras } = params
        const configured = await secrets.configure(config, { migrate, extras, signal })
        return {
          ...configureReply(configured),
          ...(configured.moving && { migration: describeProgress(await secrets.progress()) }),
        }
      },
    }),
  ]
}

function dataOf({ agent, name }: { agent: string; name: string }): Record<string, unknown> {
  return { agent_id: agent, secret_key: name }
}

/** Only a name of ours goes into the record. */
function typeName({ backend_type: type }: Record<string, unknown>): string {
  return typeof type === 'string' && /^[a-z_]{1,32}$/.test(type) ? type : 'unknown'
}

function readValue(secrets: ReadonlyMap<string, Secret>): Secret {
  const text = secrets.get('value_base64')
  if (text === undefined) throw new VestryError('INVALID_PARAMS', 'value_base64 is required')
  const value = Secret.own(decodeBase64Bytes(text.bytes))
  const problem = valueProblem(value.bytes)
  if (problem === undefined) return value
  value[Symbol.dispose]()
  throw new VestryError('INVALID_PARAMS', problem)
}

export function valueProblem(value: Uint8Array): string | undefined {
  if (value.length > MAX_VALUE_BYTES) return `the value is larger than ${MAX_VALUE_BYTES} bytes`
  return isUtf8(value) ? undefined : 'the value is not UTF-8 text; store base64 of it instead'
}
