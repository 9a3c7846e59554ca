/** The text of a PDF, page by page: lines by their places, headings by their size. Pictures are not read. */
import { getDocumentProxy } from 'unpdf'
import { withoutInvisible } from '../../review/analysis/invisible.ts'
import type { Document } from '../document.ts'
import { invalid, MAX_PAGES } from './limits.ts'
import { Outline } from './outline.ts'
import { type Line, linesOf, paragraphsOf } from './pdf-layout.ts'

/** Larger pictures are not even decoded. */
const MAX_IMAGE_PIXELS = 1_024
const ENCRYPTED = 'PasswordException'

/** @throws VestryError DOCUMENT_INVALID, REQUEST_TOO_LARGE */
export async function readPdf(bytes: Uint8Array): Promise<Document> {
  const pdf = await opened(bytes)
  if (pdf.numPages > MAX_PAGES) throw invalid(`has more than ${MAX_PAGES} pages`)
  const outline = new Outline()
  const pages: Line[][] = []
  const unread: number[] = []
  let chars = 0
  for (let number = 1; number <= pdf.numPages; number++) {
    const lines = await pageLines(pdf, number)
    if (lines === undefined) unread.push(number)
    chars += (lines ?? []).reduce((sum, line) => sum + line.text.length, 0)
    if (chars > MAX_CHARS) throw invalid('holds more than 1 MiB of text', 'Split it.')
    pages.push(lines ?? [])
  }
  paragraphsOf(pages, outline)
  if (unread.length > 0)
    outline.warn(`Pages that could not be read: ${unread.slice(0, 20).join(', ')}`)
  const blank = pages.flatMap((lines, at) => (lines.length === 0 ? [at + 1] : []))
  const pictures = blank.filter((number) => !unread.includes(number))
  if (pictures.length > 0 && !outline.empty)
    outline.warn(`Pages without text: ${pictures.slice(0, 20).join(', ')}`)
  if (outline.empty) throw invalid('has no text that can be read; its pages may be pictures')
  return outline.finish()
}

const MAX_CHARS = 1_024 * 1_024

type Pdf = Awaited<ReturnType<typeof getDocumentProxy>>

async function opened(bytes: Uint8Array): Promise<Pdf> {
  try {
    return await getDocumentProxy(bytes, {
      disableFontFace: true,
      useSystemFonts: false,
      enableXfa: false,
      maxImageSize: MAX_IMAGE_PIXELS,
      verbosity: 0,
    })
  } catch (error) {
    if (error instanceof Error && error.name === ENCRYPTED)
      throw invalid('is encrypted', 'Save it without a password.')
    throw invalid('is not a PDF that can be read')
  }
}

/** Undefined where the page is broken; the others are read all the same. */
async function pageLines(pdf: Pdf, number: number): Promise<Line[] | undefined> {
  try {
    const page = await pdf.getPage(number)
    const { items } = await page.getTextContent({ includeMarkedContent: false })
    page.cleanup()
    const texts = items.flatMap((item) =>
      'str' in item
        ? [{ ...item, str: withoutInvisible(item.str.replaceAll('\0', '')), page: number }]
        : [],
    )
    return linesOf(texts)
  } catch {
    return undefined
  }
}
