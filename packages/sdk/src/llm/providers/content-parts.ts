/**
 * Message content in the forms agents build it in (OpenAI parts, LangChain's blocks of both
 * generations, bare texts), brought to OpenAI parts. Nothing is fetched: an address is only passed on.
 */
import type { ContentPart, FilePart, ImagePart, JsonObject, TextPart } from './chat-types.ts'
import { filled, invalid, list, object, oneOf, onlyMembers, text, unsupported } from './check.ts'
import { isObject } from './json.ts'

const MOST_PARTS = 2048
const IMAGE_TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'] as const
const PDF = 'application/pdf'
const DEFAULT_FILENAME = 'document.pdf'

/** Labels that frameworks put on a part; they say nothing to a model. */
const LABELS = ['id', 'index', 'annotations', 'extras', 'metadata', 'cache_control']
const TEXT_MEMBERS = new Set(['type', 'text', ...LABELS])
const IMAGE_URL_MEMBERS = new Set(['type', 'image_url', ...LABELS])
const ADDRESS_MEMBERS = new Set(['url', 'detail'])
const BLOCK_NAMES = ['type', 'source_type', 'data', 'base64', 'url', 'mime_type', 'mimeType']
const IMAGE_MEMBERS = new Set([...BLOCK_NAMES, 'detail', ...LABELS])
const FILE_MEMBERS = new Set([...BLOCK_NAMES, 'file', 'filename', ...LABELS])
const OPENAI_FILE_MEMBERS = new Set(['file_data', 'filename'])

/** Content of a user or tool message. */
export function contentOf(value: unknown, place: string): string | readonly ContentPart[] {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) throw invalid(place, 'must be a string or a list of parts')
  return list(value, place, MOST_PARTS).map((part, at) => partOf(part, `${place}[${at}]`))
}

/** Content of a system or assistant message, where only text may stand; null is no text. */
export function textContentOf(value: unknown, place: string): string | readonly TextPart[] {
  if (value === null || value === undefined) return ''
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) throw invalid(place, 'must be a string or a list of text parts')
  return list(value, place, MOST_PARTS).map((part, at) => textPartOf(part, `${place}[${at}]`))
}

/** What a list of parts says in words. */
export function wordsOf(content: string | readonly ContentPart[]): string {
  if (typeof content === 'string') return content
  return content.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

/** The media type and base64 data of a data URI; undefined for an address. */
export function dataUriOf(url: string): { mediaType: string; data: string } | undefined {
  if (!url.startsWith('data:')) return undefined
  const comma = url.indexOf(',')
  const [mediaType = ''] = url.slice('data:'.length, comma).split(';')
  return { mediaType, data: url.slice(comma + 1) }
}

function partOf(value: unknown, place: string): ContentPart {
  if (typeof value === 'string') return { type: 'text', text: value }
  const part = object(value, place)
  switch (part['type']) {
    case 'text':
      return textPartOf(part, place)
    case 'image_url':
      return imageUrlOf(part, place)
    case 'image':
      return imageBlockOf(part, place)
    case 'file':
      return fileOf(part, place)
    default:
      throw invalid(`${place}.type`, 'must be one of text, image_url, image, file')
  }
}

function textPartOf(value: unknown, place: string): TextPart {
  if (typeof value === 'string') return { type: 'text', text: value }
  const part = object(value, place)
  // An assistant's refusal comes back as a part of its own kind when the answer is sent as history.
  if (part['type'] === 'refusal')
    return { type: 'text', text: text(part['refusal'], `${place}.refusal`) }
  oneOf(part['type'], `${place}.type`, ['text'])
  onlyMembers(part, place, TEXT_MEMBERS)
  return { type: 'text', text: text(part['text'], `${place}.text`) }
}

function imageUrlOf(part: JsonObject, place: string): ImagePart {
  onlyMembers(part, place, IMAGE_URL_MEMBERS)
  const at = `${place}.image_url`
  const given = part['image_url']
  if (typeof given === 'string') return image(given, undefined, at)
  const address = object(given, at)
  onlyMembers(address, at, ADDRESS_MEMBERS)
  return image(text(address['url'], `${at}.url`), address['detail'], `${at}.url`)
}

function imageBlockOf(part: JsonObject, place: string): ImagePart {
  onlyMembers(part, place, IMAGE_MEMBERS)
  const data = base64Of(part)
  if (data === undefined)
    return image(filled(part['url'], `${place}.url`), part['detail'], `${place}.url`)
  const mediaType = filled(mediaTypeOf(part), `${place}.mime_type`)
  return image(`data:${mediaType};base64,${text(data, place)}`, part['detail'], place)
}

function image(url: string, detail: unknown, place: string): ImagePart {
  const inline = dataUriOf(url)
  if (inline === undefined) {
    if (!/^https:\/\/[^\s/]/i.test(url))
      throw invalid(place, 'must be a data URI or an https address')
  } else {
    oneOf(inline.mediaType, `${place} media type`, IMAGE_TYPES)
    assertBase64(url, inline.data, place)
  }
  const level = typeof detail === 'string' ? { detail } : {}
  return { type: 'image_url', image_url: { url, ...level } }
}

function fileOf(part: JsonObject, place: string): FilePart {
  onlyMembers(part, place, FILE_MEMBERS)
  if (isObject(part['file'])) return openAiFileOf(part['file'], `${place}.file`)
  const data = base64Of(part)
  if (data === undefined) throw invalid(place, 'must hold a PDF as base64; an address is not taken')
  const mediaType = mediaTypeOf(part) ?? PDF
  return pdf(
    `data:${text(mediaType, `${place}.mime_type`)};base64,${text(data, place)}`,
    part['filename'],
    place,
  )
}

function openAiFileOf(file: JsonObject, place: string): FilePart {
  if (file['file_id'] !== undefined)
    throw unsupported(`${place}.file_id`, 'is not supported, send the file itself')
  onlyMembers(file, place, OPENAI_FILE_MEMBERS)
  const given = filled(file['file_data'], `${place}.file_data`)
  const uri = given.startsWith('data:') ? given : `data:${PDF};base64,${given}`
  return pdf(uri, file['filename'], `${place}.file_data`)
}

function pdf(uri: string, filename: unknown, place: string): FilePart {
  const inline = dataUriOf(uri)
  if (inline?.mediaType !== PDF) throw invalid(place, `must be of type ${PDF}`)
  assertBase64(uri, inline.data, place)
  const name = typeof filename === 'string' && filename !== '' ? filename : DEFAULT_FILENAME
  return { type: 'file', file: { file_data: uri, filename: name } }
}

/** `data` when the block says base64, or LangChain's newer member of that name. */
function base64Of(part: JsonObject): unknown {
  if (part['source_type'] === 'url') return undefined
  return part['base64'] ?? part['data'] ?? undefined
}

function mediaTypeOf(part: JsonObject): unknown {
  return part['mime_type'] ?? part['mimeType'] ?? undefined
}

function assertBase64(uri: string, data: string, place: string): void {
  const head = uri.slice(0, uri.length - data.length)
  if (!/;base64,$/i.test(head) || data === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(data)) {
    throw invalid(place, 'must be base64')
  }
}
