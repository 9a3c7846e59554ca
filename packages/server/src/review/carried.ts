/** Signatures that come with a tool, made by its provider: whether one holds, by the key the provider publishes. */
import { isTokenObject, type TokenJson, type TokenObject } from '../json/raw-number.ts'
import type { Verifier } from './pins/verifier.ts'
import type { ToolDocument } from './tool-document.ts'

/** @returns false also where nobody says where the key is. */
export async function carriedHolds(
  verifier: Pick<Verifier, 'verify'>,
  document: ToolDocument,
  signature: string,
): Promise<boolean> {
  const { name, provider } = document
  if (provider.public_key_url === null) return false
  for (const payload of payloads(document)) {
    const signer = { url: provider.public_key_url, toolId: name }
    const { valid, expired, code } = await verifier.verify({ payload, signature, signer })
    if (valid) return !expired
    if (code !== 'SIGNATURE_INVALID') return false
  }
  return false
}

/**
 * What may have been signed: the document, or, where the signature stands in the schema, the schema without it. Members
 * that are filled in before tools are compared were perhaps not there when it was signed.
 */
export function payloads(document: ToolDocument): TokenJson[] {
  const { name, description, provider, schema } = document
  if (typeof schema['signature'] !== 'string') return [{ name, description, provider, schema }]
  const { signature: _, ...signed } = schema
  const found: TokenObject[] = [signed]
  for (const member of ['required', 'properties', 'type']) {
    const last = found.at(-1) ?? signed
    if (isFilledIn(member, last[member])) found.push(without(last, member))
  }
  return found
}

function isFilledIn(member: string, value: TokenJson | undefined): boolean {
  if (member === 'type') return value === 'object'
  if (member === 'required') return Array.isArray(value) && value.length === 0
  return isTokenObject(value) && Object.keys(value).length === 0
}

function without(object: TokenObject, name: string): TokenObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
}
