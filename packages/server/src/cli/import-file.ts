/** Files of credentials: env, JSON, CSV → entries. Complaints name the line, never a value. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { isRow, type Row } from './cell.ts'

export interface ImportEntry {
  readonly path: string
  /** UTF-8 of the text in the file, or what its base64 says; wiped by whoever sends it. */
  readonly value: Buffer
  readonly type?: string
  readonly description?: string
  readonly tags?: readonly string[]
}

type Format = 'env' | 'json' | 'csv'

/** @throws VestryError `INVALID_PARAMS` naming the place. */
export function parseImport(text: string, format: Format): ImportEntry[] {
  const body = text.startsWith('\ufeff') ? text.slice(1) : text
  switch (format) {
    case 'env':
      return parseEnv(body)
    case 'json':
      return parseJson(body)
    case 'csv':
      return parseCsv(body)
    default:
      return format satisfies never
  }
}

const NAME = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*/
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

/** `NAME=value`, `export NAME="value"`, comments; double quotes know \n \r \t \" \\, single quotes nothing. */
function parseEnv(text: string): ImportEntry[] {
  const entries: ImportEntry[] = []
  let rest = text
  let line = 1
  const skip = (length: number): void => {
    for (let at = 0; at < length; at += 1) if (rest[at] === '\n') line += 1
    rest = rest.slice(length)
  }
  for (;;) {
    skip(/^(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t\r]*/.exec(rest)?.[0].length ?? 0)
    if (rest === '' || rest.startsWith('#')) return entries
    const head = NAME.exec(rest)
    if (head === null) throw wrong(`line ${line}`, 'expects NAME=value')
    const [start, path = ''] = head
    skip(start.length)
    const at = line
    const { value, length } = envValue(rest, at)
    skip(length)
    if (!/^[ \t\r]*(?:#[^\n]*)?(?:\n|$)/.test(rest))
      throw wrong(`line ${at}`, 'has text behind the quotes')
    skip(/^[^\n]*/.exec(rest)?.[0].length ?? 0)
    entries.push({ path, value: Buffer.from(value) })
  }
}

function envValue(text: string, line: number): { value: string; length: number } {
  const quote = text[0]
  if (quote === "'") {
    const end = text.indexOf("'", 1)
    if (end === -1) throw wrong(`line ${line}`, 'has a quote that is not closed')
    return { value: text.slice(1, end), length: end + 1 }
  }
  if (quote === '"') {
    const body = /^"((?:[^"\\]|\\[\s\S])*)"/.exec(text)
    if (body === null) throw wrong(`line ${line}`, 'has a quote that is not closed')
    const [whole, inner = ''] = body
    const value = inner.replace(
      /\\([\s\S])/g,
      (_, character: string) => ESCAPES[character] ?? character,
    )
    return { value, length: whole.length }
  }
  const plain = /^[^\n]*/.exec(text)?.[0] ?? ''
  const value = plain.replace(/(?:^|[ \t])#.*$/, '').trimEnd()
  return { value, length: plain.length }
}

/** `{"path": "value", …}`, or a list of `{path, value | value_base64, type?, description?, tags?}`. */
function parseJson(text: string): ImportEntry[] {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, and the text is secrets.
    throw wrong('the file', 'is not JSON')
  }
  if (isRow(data)) {
    return Object.entries(data).map(([path, value]) => {
      if (typeof value === 'string') return { path, value: Buffer.from(value) }
      if (isRow(value)) return entryOf({ path, ...value }, `"${path}"`)
      throw wrong(`"${path}"`, 'must be a string or an object')
    })
  }
  if (!Array.isArray(data)) throw wrong('the file', 'must hold an object or a list')
  return data.map((entry: unknown, index) => {
    if (isRow(entry)) return entryOf(entry, `entry ${index + 1}`)
    throw wrong(`entry ${index + 1}`, 'must be an object')
  })
}

const MEMBERS = new Set(['path', 'value', 'value_base64', 'type', 'description', 'tags'])

function entryOf(row: Row, where: string): ImportEntry {
  const unknown = Object.keys(row).find((name) => !MEMBERS.has(name))
  if (unknown !== undefined) throw wrong(where, `has an unknown member "${unknown}"`)
  const { path, value, value_base64, type, description, tags } = row
  if (typeof path !== 'string' || path === '') throw wrong(where, 'needs a path')
  return {
    path,
    value: secretOf(value, value_base64, where),
    ...(type !== undefined && type !== '' && { type: text(type, where, 'type') }),
    ...(description !== undefined &&
      description !== '' && { description: text(description, where, 'description') }),
    ...(tags !== undefined && { tags: texts(tags, where) }),
  }
}

function secretOf(value: unknown, base64: unknown, where: string): Buffer {
  if (typeof value === 'string' && base64 === undefined) return Buffer.from(value)
  if (typeof base64 === 'string' && value === undefined) {
    if (/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) return Buffer.from(base64, 'base64')
    throw wrong(where, 'has a value_base64 that is not base64')
  }
  throw wrong(where, 'needs a value or a value_base64, as text')
}

/** RFC 4180 with a header line: `path,value[,type][,description][,tags]`; tags are split at ";". */
function parseCsv(text: string): ImportEntry[] {
  const [header, ...lines] = csvRows(text)
  if (header === undefined) return []
  const names = header.fields.map((name) => name.trim().toLowerCase())
  for (const needed of ['path']) {
    if (!names.includes(needed))
      throw wrong('line 1', `must name the columns, "${needed}" among them`)
  }
  return lines.map(({ fields, line }) => {
    if (fields.length !== names.length) {
      throw wrong(`line ${line}`, `has ${fields.length} fields, the header has ${names.length}`)
    }
    const row: Record<string, unknown> = {}
    names.forEach((name, at) => {
      const field = fields[at] ?? ''
      if (name === 'tags') row[name] = field.split(';').filter((tag) => tag !== '')
      else if (name === 'value' || field !== '') row[name] = field
    })
    if (row['value'] === '' && row['value_base64'] !== undefined) delete row['value']
    return entryOf(row, `line ${line}`)
  })
}

function csvRows(text: string): { fields: string[]; line: number }[] {
  const rows: { fields: string[]; line: number }[] = []
  let at = 0
  let line = 1
  while (at < text.length) {
    const start = line
    const fields: string[] = []
    for (;;) {
      const field = /"((?:[^"]|"")*)"|[^",\r\n]*/y
      field.lastIndex = at
      const found = field.exec(text)
      const [whole = '', quoted] = found ?? []
      fields.push(quoted === undefined ? whole : quoted.replaceAll('""', '"'))
      line += whole.split('\n').length - 1
      at += whole.length
      if (text[at] !== ',') break
      at += 1
    }
    const end = /\r?\n|$/y
    end.lastIndex = at
    const ending = end.exec(text)
    if (ending === null) throw wrong(`line ${line}`, 'has a quote in the wrong place')
    at += ending[0].length
    line += 1
    if (fields.length > 1 || fields[0] !== '') rows.push({ fields, line: start })
    if (ending[0] === '') break
  }
  return rows
}

function text(value: unknown, where: string, name: string): string {
  if (typeof value === 'string') return value
  throw wrong(where, `has a ${name} that is not text`)
}

function texts(value: unknown, where: string): string[] {
  if (Array.isArray(value) && value.every((tag) => typeof tag === 'string')) return value
  throw wrong(where, 'has tags that are not a list of texts')
}

function wrong(where: string, complaint: string): VestryError {
  return new VestryError('INVALID_PARAMS', `${where} ${complaint}`, {
    hint: 'Nothing was written; correct the file',
  })
}
