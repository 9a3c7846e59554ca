/** YAML files that people write, read as plain values: one document, its problem on one line, no endless aliases. */
import { parseDocument } from 'yaml'

export class YamlProblem extends Error {}

/** @throws YamlProblem whose message says where and what, on one line. */
export function readYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: true })
  const [first] = document.errors
  // The rest of a complaint draws the place.
  if (first !== undefined)
    throw new YamlProblem(first.message.replace(/:?\n.*$/s, ''), { cause: first })
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown
  } catch (cause) {
    throw new YamlProblem('its aliases multiply without end', { cause })
  }
}
