/** Keys of providers for operators: seeing what was believed, and letting a provider change its key. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import { actorOf } from '../../identity/caller.ts'
import { type PublicKey, readPublicKey } from '../signing/public-key.ts'
import type { KeyLookup, LookupOptions } from './key-lookup.ts'
import type { Pin, PinStore } from './pin-store.ts'
import { Unverified } from './unverified.ts'

const ToolId = z.string().min(1).max(256)
const Domain = z.string().min(1).max(260)

export function pinVerbs({ pins, lookup }: { pins: PinStore; lookup: KeyLookup }): AdminVerb[] {
  return [
    verb({
      name: 'key_pin.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ domain: Domain.optional() }),
      run: async ({ params }) => ({
        pins: (await pins.list())
          .filter(({ domain }) => params.domain === undefined || domain === params.domain)
          .map(describePin),
      }),
    }),
    verb({
      name: 'key_pin.add',
      action: 'admin:write',
      event: 'key_pin.add',
      params: z.strictObject({
        tool_id: ToolId,
        domain: Domain,
        /** What the domain publishes now, unless given. */
        public_key_pem: z.string().max(4_096).optional(),
      }),
      data: ({ tool_id, domain }) => ({ tool_id, domain }),
      run: async ({ params, note, signal, caller, requestId }) => {
        const key =
          params.public_key_pem === undefined
            ? await published(lookup, params.domain, {
                signal,
                actor: actorOf(caller.principal),
                requestId,
              })
            : given(params.public_key_pem)
        const of = { toolId: params.tool_id, domain: params.domain.toLowerCase() }
        const { value: pin, generation } = await pins.add(of, key)
        note({ generation, fingerprint: key.fingerprint })
        return describePin(pin)
      },
    }),
    verb({
      name: 'key_pin.remove',
      action: 'admin:write',
      event: 'key_pin.remove',
      params: z.strictObject({
        tool_id: ToolId,
        domain: Domain,
        /** All of the tool's unless given. */
        fingerprint: z.string().max(71).optional(),
      }),
      data: ({ tool_id, domain }) => ({ tool_id, domain }),
      run: async ({ params, note }) => {
        const { tool_id, domain, fingerprint } = params
        const left = await pins.remove(tool_id, domain.toLowerCase(), fingerprint?.toLowerCase())
        note({ generation: left.generation })
        return { tool_id, domain, pinned_keys: left.value?.keys.length ?? 0 }
      },
    }),
  ]
}

export function describePin({ toolId, domain, keys }: Pin): Record<string, unknown> {
  return {
    tool_id: toolId,
    domain,
    pinned_keys: keys.map((key) => ({
      fingerprint: key.fingerprint,
      first_seen: new Date(key.firstSeen).toISOString(),
      last_seen: new Date(key.lastSeen).toISOString(),
      trust_level: key.trustLevel,
    })),
  }
}

function given(pem: string): PublicKey {
  const key = readPublicKey(pem)
  if (key !== undefined) return key
  throw new VestryError('INVALID_PARAMS', 'public_key_pem: is no P-256 public key in PEM')
}

async function published(
  lookup: KeyLookup,
  domain: string,
  options: LookupOptions,
): Promise<PublicKey> {
  try {
    const { discovery, revoked } = await lookup.ask(lookup.placeOf(domain), options)
    if (!revoked) return discovery.key
    throw new VestryError('CONFLICT', 'The provider has revoked the key that it publishes')
  } catch (error) {
    if (!(error instanceof Unverified)) throw error
    throw new VestryError('UPSTREAM_ERROR', `${error.code}: ${error.message}`, {
      hint: 'Give the key itself if you have it from somewhere you trust.',
    })
  }
}
