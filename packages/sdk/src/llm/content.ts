/**
 * Content blocks, in the shapes agents use: our own, LangChain's and OpenAI's. On the wire there are
 * only OpenAI's parts.
 */
import { ValidationError } from '../sage/errors.ts'
import type { ContentPart, JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'

export type WirePart = ContentPart

export interface TextBlock {
  readonly type: 'text'
  readonly text: string
}

/** By `url` (https, or a data URI), or by `data`: bytes, or their base64, with `mimeType`. */
export interface ImageBlock {
  readonly type: 'image'
  readonly url?: string
  readonly data?: string | Uint8Array
  /** `image/png`, `image/jpeg`, `image/gif` or `image/webp`. */
  readonly mimeType?: string
  readonly detail?: string
}

/** A PDF: bytes, or their base64. */
export interface FileBlock {
  readonly type: 'file'
  readonly data: string | Uint8Array
  /** Default `application/pdf`, the only one there is. */
  readonly mimeType?: string
  /** Default `document.pdf`. */
  readonly filename?: string
}

/** Other frameworks' blocks are taken as they come; `wireParts` refuses what it cannot read. */
export type ContentBlock =
  | TextBlock
  | ImageBlock
  | FileBlock
  | { readonly type: string; readonly [member: string]: unknown }

const IMAGE_TYPES: readonly string[] = ['image/png', 'image/jpeg', 'image/gif', 'image/webp']
const PDF = 'application/pdf'
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** @throws ValidationError that names the block at fault. */
export function wireParts(blocks: readonly unknown[], at: string): WirePart[] {
  return blocks.map((block, index) => wirePart(block, `${at}[${index}]`))
}

function wirePart(block: unknown, at: string): WirePart {
  if (typeof block === 'string') return { type: 'text', text: block }
  if (!isObject(block)) throw new ValidationError(`${at} must be a content block with a type`)
  switch (block['type']) {
    case 'text':
      return { type: 'text', text: text(block['text'], `${at}.text`) }
    case 'image_url':
      return imagePart(address(block['image_url'], at), block, at)
    case 'image':
      return imagePart(imageUrl(block, at), block, at)
    case 'file':
      return filePart(block, at)
    default:
      throw new ValidationError(`${at}.type must be text, image, image_url or file`)
  }
}

function address(given: unknown, at: string): string {
  return text(isObject(given) ? given['url'] : given, `${at}.image_url.url`)
}

function imageUrl(block: JsonObject, at: string): string {
  if (typeof block['url'] === 'string') return block['url']
  const mimeType = block['mimeType'] ?? block['mime_type']
  if (!IMAGE_TYPES.includes(String(mimeType))) {
    throw new ValidationError(`${at}.mimeType must be one of ${IMAGE_TYPES.join(', ')}`)
  }
  return `data:${mimeType};base64,${base64(block['data'] ?? block['base64'], `${at}.data`)}`
}

function imagePart(url: string, block: JsonObject, at: string): WirePart {
  if (!/^(?:https:\/\/|data:image\/)/i.test(url)) {
    throw new ValidationError(`${at} must have an https address or a data URI of an image`)
  }
  const openAi = isObject(block['image_url']) ? block['image_url']['detail'] : undefined
  const detail = openAi ?? block['detail']
  return { type: 'image_url', image_url: { url, ...(typeof detail === 'string' && { detail }) } }
}

function filePart(block: JsonObject, at: string): WirePart {
  const { file } = block
  const metadata = isObject(block['metadata']) ? block['metadata']['filename'] : undefined
  if (isObject(file)) {
    const file_data = text(file['file_data'], `${at}.file.file_data`)
    return { type: 'file', file: { file_data, filename: filename(file['filename']) } }
  }
  const mimeType = block['mimeType'] ?? block['mime_type'] ?? PDF
  if (mimeType !== PDF) throw new ValidationError(`${at}.mimeType must be ${PDF}`)
  const file_data = `data:${PDF};base64,${base64(block['data'] ?? block['base64'], `${at}.data`)}`
  return { type: 'file', file: { file_data, filename: filename(block['filename'] ?? metadata) } }
}

function filename(given: unknown): string {
  return typeof given === 'string' && given !== '' ? given : 'document.pdf'
}

function base64(data: unknown, at: string): string {
  if (data instanceof Uint8Array && data.length > 0) {
    return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')
  }
  if (typeof data === 'string' && data.length % 4 === 0 && BASE64.test(data)) return data
  throw new ValidationError(`${at} must be bytes, or their base64 text`)
}

function text(value: unknown, at: string): string {
  if (typeof value === 'string') return value
  throw new ValidationError(`${at} must be a text`)
}
