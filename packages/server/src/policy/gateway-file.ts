/** Gateway policies in a file that an operator hands in: one document or several, as JSON or YAML. */
import { VestryError } from '@vestry/contract/errors'
import { parse, YAMLParseError } from 'yaml'
import { acceptGateway, GatewayDocument } from './gateway-spec.ts'

/**
 * @returns Undefined when the file holds something else.
 * @throws VestryError `POLICY_INVALID` naming the file and every problem of the first bad document.
 */
export function readGatewayFile(file: {
  name: string
  text: string
}): GatewayDocument[] | undefined {
  if (!file.text.includes('spec')) return undefined // reading twice costs, and rules are many
  const data = plain(file.text)
  const documents = Array.isArray(data) ? data : [data]
  if (!documents.some(isGateway)) return undefined
  return documents.map((document, i) => {
    try {
      return acceptGateway(GatewayDocument, document)
    } catch (cause) {
      if (!(cause instanceof VestryError)) throw cause
      const details = cause.context['details']
      const where = Array.isArray(data) ? `${file.name}[${i}]` : file.name
      const problems = (Array.isArray(details) ? details : []).map((one) => `${where}: ${one}`)
      throw new VestryError('POLICY_INVALID', problems.join('\n'), { context: { problems }, cause })
    }
  })
}

/** Undefined for what is no YAML: the reader of rules says so, and where. */
function plain(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 100, logLevel: 'error' }) as unknown
  } catch (cause) {
    if (cause instanceof YAMLParseError || cause instanceof ReferenceError) return undefined
    throw cause
  }
}

/** No vault rule has a spec. */
function isGateway(data: unknown): boolean {
  return typeof data === 'object' && data !== null && 'spec' in data
}
