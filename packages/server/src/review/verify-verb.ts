/** Verifying a file for operators: what the file holds is found out, the rest is as over HTTP. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../admin/verb.ts'
import { actorOf } from '../identity/caller.ts'
import { isTokenObject, type TokenJson, type TokenObject } from '../json/raw-number.ts'
import type { Verification, Verifier } from './pins/verifier.ts'
import { readFile } from './sessions/field.ts'
import type { Signatures } from './signing/signatures.ts'
import { chainState, readVerification } from './verify-request.ts'

/** A schema of the largest size, with what stands around it. */
const MAX_FILE_CHARS = 524_288
const TOOL_MEMBERS: ReadonlySet<string> = new Set([
  'name',
  'description',
  'provider',
  'schema',
  'tool_schema',
])
/** What an answer of the runtime API about a signed tool tells of its signature. */
const SIGNED_MEMBERS = ['signature', 'canonicalization', 'expires_at', 'previous_hash']

export function verifyVerb(deps: { verifier: Verifier; signatures: Signatures }): AdminVerb {
  return verb({
    name: 'tool.verify',
    // The first valid signature of a provider pins its key.
    action: 'admin:write',
    event: 'tool.verify',
    params: z.strictObject({
      text: z.string().max(MAX_FILE_CHARS).optional(),
      signature: z.string().optional(),
      public_key_pem: z.string().optional(),
      domain: z.string().optional(),
      review_id: z.string().optional(),
      tool_id: z.string().optional(),
      profile: z.string().optional(),
      skill_manifest: z.record(z.string(), z.string()).optional(),
      expires_at: z.string().optional(),
    }),
    data: ({ domain, review_id, tool_id }) => ({
      ...(domain !== undefined && { domain }),
      ...(review_id !== undefined && { review_id }),
      ...(tool_id !== undefined && { tool_id }),
    }),
    run: async ({
      params: { text, skill_manifest, ...given },
      signal,
      note,
      caller,
      requestId,
    }) => {
      const file = text === undefined ? {} : contentOf(readFile(text, 'The file'))
      const skill = skill_manifest === undefined ? {} : { skill_manifest }
      const asked = await readVerification({ ...file, ...skill, ...present(given) }, (id) =>
        deps.signatures.find(id),
      )
      const found = await deps.verifier.verify({
        ...asked.request,
        signal,
        actor: actorOf(caller.principal),
        requestId,
      })
      note({ valid: found.valid, ...(found.code !== undefined && { reason: found.code }) })
      const chain = asked.chain && chainState(asked.chain.previousHash, asked.chain.expected)
      return { ...verificationBody(found), ...(chain !== undefined && { chain }) }
    },
  })
}

/** As both doors tell it. */
export function verificationBody(found: Verification): Record<string, unknown> {
  return {
    valid: found.valid,
    code: found.code ?? null,
    message: found.message,
    profile: found.profile ?? null,
    schema_hash: found.schemaHash ?? null,
    key_fingerprint: found.keyFingerprint ?? null,
    signer: found.signer ?? null,
    pin_status: found.pinStatus ?? null,
    expired: found.expired,
    warnings: found.warnings,
  }
}

/** A signed tool as the API gives it, a tool, or any other document, which may carry its signature. */
export function contentOf(file: TokenJson): TokenObject {
  if (!isTokenObject(file)) return { document: file }
  if (isTokenObject(file['tool']) && typeof file['signature'] === 'string') {
    const about = Object.entries(file).filter(([key]) => SIGNED_MEMBERS.includes(key))
    return { tool: file['tool'], ...Object.fromEntries(about) }
  }
  const isTool =
    Object.keys(file).every((key) => TOOL_MEMBERS.has(key)) && isTokenObject(file['provider'])
  return isTool ? { tool: file } : { document: file }
}

function present(given: Readonly<Record<string, string | undefined>>): TokenObject {
  return Object.fromEntries(
    Object.entries(given).filter((one): one is [string, string] => one[1] !== undefined),
  )
}
