/** One action of a tool file as it was written → with every default filled in. Pure. */
import { parseTemplate, templateParams } from './path-template.ts'
import { isJsonObject, NotPlain, plainJson } from './plain-json.ts'
import type { Json, JsonObject } from './tool.ts'
import type { Problem } from './tool-check.ts'
import type { ActionInput, ToolFileAction } from './tool-file.ts'

const LIMITS = { depth: 32, values: 5_000, items: 1_000, unsafe: 'refuse' } as const

export function completeAction(input: ActionInput): { action: ToolFileAction } | Problem {
  const params = plain(input.params)
  if ('problem' in params) return { path: ['params'], message: params.problem }
  const mock = input.mock === undefined ? undefined : plain(input.mock)
  if (mock !== undefined && 'problem' in mock) return { path: ['mock'], message: mock.problem }

  const {
    permission,
    query,
    body,
    result,
    repeatable,
    idempotency_header,
    mock: _mock,
    ...rest
  } = input
  const schema = { type: 'object', ...(isJsonObject(params.json) ? params.json : {}) }
  const safe = input.method === 'GET' || input.method === 'HEAD'
  const inQuery = safe || input.method === 'DELETE'
  const placed = new Set([
    ...placeholders(input),
    ...(query ?? []),
    ...(Array.isArray(body) ? body : body === undefined ? [] : [body.raw]),
  ])
  // Sorted: the order in which an operator wrote them makes no other tool.
  const others = Object.keys(propertiesOf(schema))
    .filter((name) => !placed.has(name))
    .sort()
  return {
    action: {
      ...rest,
      params: schema,
      permission: permission ?? (safe ? 'read' : 'write'),
      query: query ?? (inQuery ? others : []),
      body: body ?? (inQuery ? [] : others),
      ...(result !== undefined && { result }),
      repeatable: repeatable ?? safe,
      ...(idempotency_header !== undefined && { idempotency_header }),
      ...(mock !== undefined && { mock: mock.json }),
    },
  }
}

/** Name → schema, of the params a caller may give. */
export function propertiesOf(schema: JsonObject): JsonObject {
  const properties = schema['properties']
  return isJsonObject(properties) ? properties : {}
}

/** The params that path and headers take, once for each of these texts. */
export function placeholders({ path, headers }: Pick<ActionInput, 'path' | 'headers'>): string[] {
  return [path, ...Object.values(headers)].flatMap((text) =>
    templateParams(parseTemplate(text) ?? []),
  )
}

function plain(value: unknown): { json: Json } | { problem: string } {
  try {
    return { json: plainJson(value, LIMITS) }
  } catch (error) {
    if (error instanceof NotPlain) return { problem: error.message }
    throw error
  }
}
