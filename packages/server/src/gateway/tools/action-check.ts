/** What the parts of an action must agree on. Pure. */
import { isForbiddenInjection } from '../../egress/injection.ts'
import { isHeaderName } from '../../egress/request-headers.ts'
import { placeholders, propertiesOf } from './action-defaults.ts'
import { isJsonPointer } from './json-pointer.ts'
import { paramCheck } from './param-schema.ts'
import { RESERVED_PARAMS } from './params.ts'
import { PARAM_NAME, parseTemplate, pathProblem, templateParams } from './path-template.ts'
import { isJsonObject } from './plain-json.ts'
import type { Json, JsonObject } from './tool.ts'
import type { Problem, Slot } from './tool-check.ts'
import type { ToolFileAction } from './tool-file.ts'

const MAX_PARAMS = 100
const SCALARS = ['string', 'integer', 'number', 'boolean']
const NO_BODY = ['GET', 'HEAD']

/** Set by us or by the body, or dropped on the way out because some upstreams let them redirect a request. */
const OWN_HEADERS = [
  'authorization',
  'content-type',
  'accept-encoding',
  'x-correlation-id',
  'keep-alive',
  'http2-settings',
  'via',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-original-host',
  'x-host',
]

export function actionProblems(action: ToolFileAction, slot: Slot | undefined): Problem[] {
  return [
    ...schemaProblems(action.params),
    ...templateProblems(action),
    ...placeProblems(action, slot),
    ...headerProblems(action, slot),
    ...resultProblems(action),
    ...(action.cache_seconds > 0 && action.permission === 'write'
      ? [{ path: ['cache_seconds'], message: 'must be 0 for an action that writes' }]
      : []),
  ]
}

function schemaProblems(schema: JsonObject): Problem[] {
  const problems: Problem[] = []
  const names = Object.keys(propertiesOf(schema))
  if (names.length > MAX_PARAMS) {
    problems.push({ path: ['params'], message: `must have at most ${MAX_PARAMS} properties` })
  }
  for (const name of names) {
    const path = ['params', 'properties', name]
    if (!PARAM_NAME.test(name)) problems.push({ path, message: 'is not a name for a param' })
    if (RESERVED_PARAMS.includes(name)) {
      problems.push({ path, message: 'is reserved: the gateway itself reads it' })
    }
  }
  try {
    paramCheck(schema)
  } catch (error) {
    // Ajv's own words: they speak of the schema only.
    const reason = error instanceof Error ? error.message : 'unknown'
    problems.push({ path: ['params'], message: `is not a usable JSON Schema: ${reason}` })
  }
  return problems
}

function templateProblems(action: ToolFileAction): Problem[] {
  const problems: Problem[] = []
  const wrong = pathProblem(action.path)
  if (wrong !== undefined) problems.push({ path: ['path'], message: wrong })
  for (const name of templateParams(parseTemplate(action.path) ?? [])) {
    const problem = placeholderProblem(name, action.params)
    if (problem !== undefined) problems.push({ path: ['path'], message: problem })
  }
  for (const [header, text] of Object.entries(action.headers)) {
    for (const name of templateParams(parseTemplate(text) ?? [])) {
      const problem = placeholderProblem(name, action.params)
      if (problem !== undefined) problems.push({ path: ['headers', header], message: problem })
    }
  }
  return problems
}

function placeholderProblem(name: string, schema: JsonObject): string | undefined {
  const properties = propertiesOf(schema)
  if (!Object.hasOwn(properties, name)) return `{${name}} is not among the params`
  const { required } = schema
  if (!Array.isArray(required) || !required.includes(name)) return `{${name}} must be required`
  return isScalar(properties[name]) ? undefined : `{${name}} must be text, a number or a boolean`
}

function isScalar(schema: Json | undefined): boolean {
  const type = isJsonObject(schema) ? schema['type'] : undefined
  const list = Array.isArray(type) ? type : [type]
  return list.length > 0 && list.every((name) => SCALARS.includes(String(name)))
}

/** Every param goes to exactly one place: one that goes nowhere would be dropped without a word. */
function placeProblems(action: ToolFileAction, slot: Slot | undefined): Problem[] {
  const problems: Problem[] = []
  const names = Object.keys(propertiesOf(action.params))
  const inBody = Array.isArray(action.body) ? action.body : [action.body.raw]
  const lists: [string, readonly string[]][] = [
    ['query', action.query],
    ['body', inBody],
  ]
  for (const [place, list] of lists) {
    for (const name of list) {
      if (!names.includes(name)) {
        problems.push({ path: [place], message: `"${name}" is not among the params` })
      }
    }
  }
  const places = [...new Set(placeholders(action)), ...action.query, ...inBody]
  for (const name of names) {
    const count = places.filter((placed) => placed === name).length
    if (count === 1) continue
    const message = count === 0 ? `"${name}" is sent nowhere` : `"${name}" is sent twice`
    problems.push({ path: ['params', 'properties', name], message })
  }
  if (inBody.length > 0 && NO_BODY.includes(action.method)) {
    problems.push({ path: ['body'], message: `${action.method} sends none` })
  }
  if (!Array.isArray(action.body)) {
    const raw = propertiesOf(action.params)[action.body.raw]
    if (!isJsonObject(raw) || raw['type'] !== 'string') {
      problems.push({ path: ['body', 'raw'], message: 'must name a param of type "string"' })
    }
  }
  if (slot !== undefined && 'query' in slot && action.query.includes(slot.query)) {
    problems.push({ path: ['query'], message: `"${slot.query}" carries the credential` })
  }
  return problems
}

function headerProblems(action: ToolFileAction, slot: Slot | undefined): Problem[] {
  const problems: Problem[] = []
  const seen = new Set<string>()
  const headers: [string, string[]][] = Object.keys(action.headers).map((name) => [
    name,
    ['headers', name],
  ])
  if (action.idempotency_header !== undefined) {
    headers.push([action.idempotency_header, ['idempotency_header']])
  }
  for (const [name, path] of headers) {
    const lower = name.toLowerCase()
    if (!isHeaderName(name)) problems.push({ path, message: 'is not the name of a header' })
    else if (isForbiddenInjection(name) || OWN_HEADERS.includes(lower)) {
      problems.push({ path, message: 'is not for a tool to set' })
    } else if (slot !== undefined && 'header' in slot && slot.header === lower) {
      problems.push({ path, message: 'carries the credential' })
    }
    if (seen.has(lower)) problems.push({ path, message: 'is given twice' })
    seen.add(lower)
  }
  for (const [name, text] of Object.entries(action.headers)) {
    const path = ['headers', name]
    if (parseTemplate(text) === undefined) {
      problems.push({ path, message: 'has a placeholder that is not {param}' })
    }
    if (!/^[\x20-\x7e]*$/.test(text)) problems.push({ path, message: 'must be visible ASCII' })
  }
  return problems
}

function resultProblems({ result }: ToolFileAction): Problem[] {
  if (result === undefined) return []
  const pointers: [string[], string][] =
    typeof result === 'string'
      ? [[['result'], result]]
      : Object.entries(result).map(([name, pointer]) => [['result', name], pointer])
  return pointers.flatMap(([path, pointer]) =>
    isJsonPointer(pointer) ? [] : [{ path, message: 'must be a JSON pointer such as /data/0/id' }],
  )
}
