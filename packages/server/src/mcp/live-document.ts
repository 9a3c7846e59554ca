/** A live tool in the one form that review signs and digests are made of (runtime contract §9.5). */
import { digestOf, withDefaults } from '../review/normalise.ts'
import type { ToolDocument } from '../review/tool-document.ts'
import type { ServerConfig } from './connect/server-config.ts'
import type { LiveTool } from './hub.ts'

/** @param publicKeyUrl Of the server's configuration. */
export function liveDocument(
  { server, name, description, inputSchema }: LiveTool,
  publicKeyUrl: ServerConfig['providerPublicKeyUrl'],
): ToolDocument {
  const provider = { name: server, public_key_url: publicKeyUrl }
  return withDefaults({ name, description, provider, schema: inputSchema })
}

const digests = new WeakMap<LiveTool, { readonly key: string | null; readonly digest: string }>()

/** `sha256:…` over the whole document; made once for each definition. */
export function liveDigest(
  tool: LiveTool,
  publicKeyUrl: ServerConfig['providerPublicKeyUrl'],
): string {
  const known = digests.get(tool)
  if (known !== undefined && known.key === publicKeyUrl) return known.digest
  const digest = digestOf(liveDocument(tool, publicKeyUrl))
  digests.set(tool, { key: publicKeyUrl, digest })
  return digest
}
