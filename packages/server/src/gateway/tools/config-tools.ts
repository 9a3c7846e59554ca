/** The tools of the configuration: where the built-in ones are, and definitions of others. */

import { issueText } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { isPath } from '../../vault/credential.ts'
import { BUILTIN_NAMES, type BuiltinOptions } from './builtin.ts'
import { ToolCatalogue } from './catalogue.ts'
import { gmailSend } from './gmail-send.ts'
import { httpFetch } from './http-fetch.ts'
import { httpTool } from './http-tool.ts'
import { openai } from './openai.ts'
import { serpapi } from './serpapi.ts'
import { acceptTool } from './tool-file.ts'

export type ToolEntries = Readonly<Record<string, Readonly<Record<string, unknown>>>>

const BuiltinEntry = z.strictObject({
  base_url: z.url({ protocol: /^https?$/ }).optional(),
  /** Vault path. */
  credential: z.string().refine(isPath, 'is not a credential path').optional(),
  max_response_bytes: z.int().min(1).max(16_777_216).optional(),
})

/** @throws VestryError `CONFIG_INVALID` naming the entry. */
export function configuredTools(entries: ToolEntries = {}): ToolCatalogue {
  const options = (name: string): BuiltinOptions => builtinOptions(name, entries[name])
  if (Object.keys(entries['http_fetch'] ?? {}).length > 0) {
    throw new VestryError('CONFIG_INVALID', 'gateway.tools.http_fetch: there is nothing to set')
  }
  const builtin = [
    serpapi(options('serpapi')),
    httpFetch(),
    openai(options('openai')),
    gmailSend(options('gmail_send')),
  ]
  const config = Object.entries(entries)
    .filter(([name]) => !BUILTIN_NAMES.includes(name))
    .map(([name, entry]) => {
      const where = `gateway.tools.${name}`
      if (entry['name'] !== undefined && entry['name'] !== name) {
        throw new VestryError('CONFIG_INVALID', `${where}: name: must be "${name}" or absent`)
      }
      return httpTool(acceptTool({ ...entry, name }, where), 'config')
    })
  return new ToolCatalogue(builtin, config)
}

function builtinOptions(name: string, entry: unknown): BuiltinOptions {
  const parsed = BuiltinEntry.safeParse(entry ?? {})
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) =>
      [`gateway.tools.${name}`, ...issue.path, issueText(issue)].join(': '),
    )
    throw new VestryError('CONFIG_INVALID', problems.join('\n'), { context: { problems } })
  }
  const { base_url, credential, max_response_bytes } = parsed.data
  return {
    ...(base_url !== undefined && { baseUrl: base_url }),
    ...(credential !== undefined && { credentialPath: credential }),
    ...(max_response_bytes !== undefined && { maxResponseBytes: max_response_bytes }),
  }
}
