/** Writes small PDFs for tests: pages of text by hand, and the tricks of hostile ones. */
import { deflateSync } from 'node:zlib'

export interface TestPdfOptions {
  /** Instead of what the pages' tree says. */
  readonly count?: number
  /** Added to the trailer. */
  readonly trailer?: string
  /** Objects by number that take the place of those made here. */
  readonly objects?: Readonly<Record<number, string>>
  /** Content of the first page, compressed, in place of its lines. */
  readonly flate?: Uint8Array
}

interface TestLine {
  readonly text: string
  readonly size: number
}

/** @param pages Lines of each; `# ` begins a heading. */
export function testPdf(
  pages: readonly (readonly string[])[],
  options: TestPdfOptions = {},
): Buffer {
  const kids = pages.map((_, at) => `${4 + 2 * at} 0 R`).join(' ')
  const bodies: (string | Buffer)[] = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    `<< /Type /Pages /Kids [${kids}] /Count ${options.count ?? pages.length} >>`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ]
  for (const [at, lines] of pages.entries()) {
    bodies.push(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents ${5 + 2 * at} 0 R >>`,
    )
    const flate = at === 0 ? options.flate : undefined
    bodies.push(flate === undefined ? streamOf(contentOf(lines)) : streamOf(flate, '/FlateDecode'))
  }
  return assembled(bodies, options)
}

/** Zeros that take next to no room compressed, twice over. */
export function flateBomb(bytes: number): Buffer {
  return deflateSync(Buffer.alloc(bytes, 0x20), { level: 9 })
}

function contentOf(lines: readonly string[]): Buffer {
  let y = 740
  const shown = lines.map((line) => {
    const { text, size } = styled(line)
    y -= line === '' ? 20 : size * 1.3
    const escaped = text.replace(/[\\()]/g, '\\$&')
    return `BT /F1 ${size} Tf 72 ${y.toFixed(1)} Td (${escaped}) Tj ET`
  })
  return Buffer.from(shown.join('\n'), 'latin1')
}

function styled(line: string): TestLine {
  return line.startsWith('# ') ? { text: line.slice(2), size: 20 } : { text: line, size: 11 }
}

function streamOf(content: Uint8Array, filter?: string): Buffer {
  const filterEntry = filter === undefined ? '' : ` /Filter ${filter}`
  const head = `<< /Length ${content.length}${filterEntry} >>\nstream\n`
  return Buffer.concat([Buffer.from(head), content, Buffer.from('\nendstream')])
}

function assembled(bodies: readonly (string | Buffer)[], options: TestPdfOptions): Buffer {
  const parts: Buffer[] = [Buffer.from('%PDF-1.7\n')]
  const offsets: number[] = []
  let at = 9
  const write = (part: string | Buffer): void => {
    const bytes = Buffer.from(part)
    parts.push(bytes)
    at += bytes.length
  }
  for (const [index, body] of bodies.entries()) {
    offsets.push(at)
    write(`${index + 1} 0 obj\n`)
    write(options.objects?.[index + 1] ?? body)
    write('\nendobj\n')
  }
  const startXref = at
  const rows = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`)
  write(`xref\n0 ${bodies.length + 1}\n0000000000 65535 f \n${rows.join('')}`)
  write(`trailer\n<< /Size ${bodies.length + 1} /Root 1 0 R ${options.trailer ?? ''} >>\n`)
  write(`startxref\n${startXref}\n%%EOF\n`)
  return Buffer.concat(parts)
}
