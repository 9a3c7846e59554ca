/** Turns checked params into the request a tool file describes, or says what cannot be sent. Pure. */
import { fillPath, parseTemplate } from './path-template.ts'
import type { Json, JsonObject } from './tool.ts'
import type { ToolFileAction } from './tool-file.ts'

export interface HttpRequest {
  readonly url: string
  readonly headers: [string, string][]
  readonly body?: Uint8Array
}

export type Rendered = { readonly request: HttpRequest } | { readonly problems: readonly string[] }

/** Tab and visible Latin-1: all that arrives everywhere as it was sent. */
const HEADER_VALUE = /^[\t\x20-\x7e\xa0-\xff]*$/

export function renderRequest(
  baseUrl: string,
  action: ToolFileAction,
  params: JsonObject,
): Rendered {
  const problems: string[] = []
  const texts = scalarTexts(params)
  const filled = fillPath(action.path, texts)
  if ('problems' in filled) problems.push(...filled.problems)
  const query = queryOf(action.query, params, problems)
  const headers = headersOf(action.headers, texts, problems)
  if (problems.length > 0 || 'problems' in filled) return { problems }

  const { type, body } = bodyOf(action.body, params)
  if (type !== undefined) headers.push(['Content-Type', type])
  if (!headers.some(([name]) => name.toLowerCase() === 'accept')) {
    headers.push(['Accept', 'application/json, */*;q=0.5'])
  }
  return {
    request: {
      url: `${baseUrl}${filled.path}${query}`,
      headers,
      ...(body !== undefined && { body }),
    },
  }
}

function scalarTexts(params: JsonObject): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && typeof value !== 'object') texts[name] = String(value)
  }
  return texts
}

/** Lists become repeated parameters; null is left out. */
function queryOf(names: readonly string[], params: JsonObject, problems: string[]): string {
  const query = new URLSearchParams()
  for (const name of names) {
    const value = Object.hasOwn(params, name) ? params[name] : undefined
    const list = Array.isArray(value) ? value : [value ?? null]
    for (const item of list) {
      if (item === null) continue
      if (typeof item === 'object') {
        problems.push(`${name}: must be text, a number, true or false, or a list of these`)
        break
      }
      query.append(name, String(item))
    }
  }
  return query.size === 0 ? '' : `?${query.toString()}`
}

function headersOf(
  templates: Readonly<Record<string, string>>,
  texts: Readonly<Record<string, string>>,
  problems: string[],
): [string, string][] {
  // Sorted: a definition means the same however it was written down.
  return Object.keys(templates)
    .sort()
    .map((name) => {
      let value = ''
      for (const part of parseTemplate(templates[name] ?? '') ?? []) {
        if ('text' in part) {
          value += part.text
          continue
        }
        const text = texts[part.param] ?? ''
        if (!HEADER_VALUE.test(text)) {
          problems.push(`${part.param}: must not contain line breaks, nor what no header can carry`)
        }
        value += text
      }
      return [name, value]
    })
}

function bodyOf(
  body: ToolFileAction['body'],
  params: JsonObject,
): { type?: string; body?: Uint8Array } {
  if (!Array.isArray(body)) {
    return { type: body.content_type, body: bytes(String(own(params, body.raw) ?? '')) }
  }
  if (body.length === 0) return {}
  const given = body.flatMap((name) => {
    const value = own(params, name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return { type: 'application/json', body: bytes(JSON.stringify(Object.fromEntries(given))) }
}

function own(params: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(params, name) ? params[name] : undefined
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}
