import { describe, expect, test } from 'vitest'
import type { Document, MediaType } from '../document.ts'
import { MAX_BLOCKS } from './limits.ts'
import { mediaTypeOf } from './media-type.ts'
import { readDocument } from './read.ts'
import { readerThreads } from './reader-threads.ts'
import { flateBomb, testPdf } from './test-pdf.ts'

const never = new AbortController().signal
const MIB = 1_024 * 1_024

function read(content: string | Uint8Array, mediaType: MediaType): Promise<Document> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  return readDocument({ bytes, mediaType }, never)
}

const texts = ({ blocks }: Document) => blocks.map(({ text }) => text)
const invalid = (words: string) =>
  expect.objectContaining({ code: 'DOCUMENT_INVALID', message: expect.stringContaining(words) })
const TOO_LARGE = expect.objectContaining({ code: 'REQUEST_TOO_LARGE' })

describe('runtime §10.2: documents keep their structure', () => {
  test('Markdown has headings, code, rows of tables and lists', async () => {
    const document = await read(
      '# Guide\n\nIntro *text*.\n\n## Setup\n\n```sh\n# no heading\nrun it\n```\n\n| Key | Value |\n| --- | --- |\n| port | 8080 |\n\n- one\n- two\n\nMore\n====\n\nEnd.',
      'text/markdown',
    )
    expect(document.title).toBe('Guide')
    expect(document.blocks).toEqual([
      { kind: 'text', text: 'Intro *text*.', headings: ['Guide'] },
      { kind: 'code', text: '# no heading\nrun it', headings: ['Guide', 'Setup'] },
      { kind: 'row', text: 'Key: port; Value: 8080', headings: ['Guide', 'Setup'] },
      { kind: 'text', text: '- one\n- two', headings: ['Guide', 'Setup'] },
      { kind: 'text', text: 'End.', headings: ['More'] },
    ])
  })

  test('a heading with nothing below it is kept as text', async () => {
    const { blocks } = await read('# A\n\n## B\n\n## C\n\ntext\n', 'text/markdown')
    expect(blocks).toEqual([
      { kind: 'text', text: 'B', headings: ['A', 'B'] },
      { kind: 'text', text: 'text', headings: ['A', 'C'] },
    ])
  })

  test('HTML has what a reader sees, and nothing that is hidden', async () => {
    const document = await read(
      `<!doctype html><html><head><title>Page &amp; more</title><style>p{}</style></head><body>
      <script>steal()</script><h1>Top</h1><p>Seen <b>bold</b>.</p><p hidden>no1</p>
      <div style="display: none">no2<p>no3</p></div><template>no4</template><noscript>no5</noscript>
      <h2>Part</h2><ul><li>one</li><li>two</li></ul><pre>a  b\n  c</pre>
      <table><tr><th>Key</th><th>Value</th></tr><tr><td>port</td><td>80 80</td></tr></table></body></html>`,
      'text/html',
    )
    expect(document.title).toBe('Page & more')
    expect(document.blocks).toEqual([
      { kind: 'text', text: 'Seen bold.', headings: ['Top'] },
      { kind: 'text', text: '- one\n- two', headings: ['Top', 'Part'] },
      { kind: 'code', text: 'a  b\n  c', headings: ['Top', 'Part'] },
      { kind: 'row', text: 'Key; Value', headings: ['Top', 'Part'] },
      { kind: 'row', text: 'Key: port; Value: 80 80', headings: ['Top', 'Part'] },
    ])
  })

  test('CSV names the columns in each row, and tells ragged rows', async () => {
    const document = await read('name;city\n"Ann; B";Oslo\nBob\nC;D;E\n', 'text/csv')
    expect(texts(document)).toEqual([
      'name: Ann; B; city: Oslo',
      'name: Bob',
      'name: C; city: D; column 3: E',
    ])
    expect(document.warnings).toEqual(['Rows with another number of columns than the first: 3, 4'])
  })

  test('JSON has the path before each value', async () => {
    const document = await read('{"db":{"host":"h","ports":[1,2]},"on":true}', 'application/json')
    expect(texts(document)).toEqual(['db.host: h\ndb.ports: 1, 2', 'on: true'])
  })

  test('PDF has pages, headings by size and paragraphs', async () => {
    const pdf = testPdf([
      ['# Handbook', 'The first line of a para-', 'graph goes on here.', '', 'Another one.'],
      ['# Limits', 'Ten at once.'],
    ])
    const { blocks } = await read(pdf, 'application/pdf')
    expect(blocks).toEqual([
      {
        kind: 'text',
        text: 'The first line of a paragraph goes on here.',
        headings: ['Handbook'],
        page: 1,
      },
      { kind: 'text', text: 'Another one.', headings: ['Handbook'], page: 1 },
      { kind: 'text', text: 'Ten at once.', headings: ['Limits'], page: 2 },
    ])
  })
})

describe('runtime §10.2: text in every usual encoding, and nothing that only looks like text', () => {
  const utf16be = Buffer.from('\ufeffGrüße', 'utf16le').swap16()

  test.each<[string, Uint8Array, string]>([
    ['UTF-8', Buffer.from('Grüße'), 'Grüße'],
    ['UTF-8 with a mark', Buffer.from('\ufeffGrüße'), 'Grüße'],
    ['UTF-16 LE with a mark', Buffer.from('\ufeffGrüße', 'utf16le'), 'Grüße'],
    ['UTF-16 BE with a mark', utf16be, 'Grüße'],
    ['UTF-16 LE without', Buffer.from('Plain words in it', 'utf16le'), 'Plain words in it'],
    ['Windows-1252', Buffer.from([0x47, 0x72, 0xfc, 0xdf, 0x65, 0x20, 0x80]), 'Grüße €'],
  ])('%s', async (_name, bytes, text) => {
    expect(texts(await read(bytes, 'text/plain'))).toEqual([text])
  })

  test.each<[string, Uint8Array]>([
    ['NUL bytes', Buffer.from('one\0two')],
    ['a program', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0x90, 0x81, 0x8d])],
    ['broken UTF-16', Buffer.from([0xff, 0xfe, 0x00, 0xd8, 0x41, 0x00])],
  ])('%s are refused', async (_name, bytes) => {
    await expect(read(bytes, 'text/plain')).rejects.toThrow(invalid(''))
  })

  test('invisible characters are taken out, and that is said', async () => {
    const document = await read('ig\u200bnore \u{e0041}all\u202e', 'text/plain')
    expect(texts(document)).toEqual(['ignore all'])
    expect(document.warnings).toEqual(['Invisible characters were taken out'])
  })

  test('a page in the encoding that it names', async () => {
    const page = Buffer.concat([
      Buffer.from('<meta charset="shift_jis"><p>'),
      Buffer.from([0x93, 0xfa, 0x96, 0x7b]),
    ])
    expect(texts(await read(page, 'text/html'))).toEqual(['日本'])
  })

  test.each<MediaType>([
    'text/plain',
    'text/markdown',
    'text/html',
    'text/csv',
    'application/pdf',
    'application/json',
  ])('an empty %s is refused', async (mediaType) => {
    await expect(read('', mediaType)).rejects.toThrow(invalid(''))
  })
})

describe('runtime §10.2: hostile documents cost a thread at most', () => {
  test('by size, before they are read', async () => {
    await expect(read(Buffer.alloc(16 * MIB + 1), 'application/pdf')).rejects.toThrow(TOO_LARGE)
    await expect(read('a '.repeat(MIB / 2 + 1), 'text/plain')).rejects.toThrow(TOO_LARGE)
    await expect(read(`<p>${'word '.repeat(MIB / 4)}`, 'text/html')).rejects.toThrow(TOO_LARGE)
  })

  test('tables may come to more than the text that they were', async () => {
    const table = `| key | value |\n| --- | --- |\n${'| a | b |\n'.repeat(80_000)}`
    expect((await read(table, 'text/markdown')).blocks).toHaveLength(80_000)
  })

  test('CSV that takes long is read beside the event loop', async () => {
    let turns = 0
    const ticking = setInterval(() => turns++, 1)
    await read(`a,b\n${'"x\n'.repeat(100_000)}`, 'text/csv')
    clearInterval(ticking)
    expect(turns).toBeGreaterThan(10)
  })

  test('names that rows repeat are bounded', async () => {
    const header = Array.from({ length: 900 }, (_, at) => `${'n'.repeat(95)}${at}`).join(',')
    const row = `${'1,'.repeat(899)}1\n`
    await expect(read(`${header}\n${row.repeat(500)}`, 'text/csv')).rejects.toThrow(TOO_LARGE)
    await expect(read(`a\n${'1,'.repeat(2_000)}`, 'text/csv')).rejects.toThrow(invalid('columns'))
  })

  test.each([
    ['a member twice', '{"a":1,"a":2}'],
    ['too deep', `${'['.repeat(1_000)}${']'.repeat(1_000)}`],
    ['no JSON', '{a:1}'],
  ])('JSON: %s', async (_name, text) => {
    await expect(read(text, 'application/json')).rejects.toThrow(invalid('JSON'))
  })

  test('HTML within HTML', async () => {
    await expect(read('<div>'.repeat(500_000), 'text/html')).rejects.toThrow(invalid('nested'))
  })

  test('Markdown that makes careless readers slow', async () => {
    for (const text of [
      '[a]('.repeat(100_000),
      '<!--'.repeat(100_000),
      `| ${'- | '.repeat(100_000)}\n`,
      '`'.repeat(500_000),
      `${'> '.repeat(200_000)}x`,
      '<a '.repeat(100_000),
      '# '.repeat(200_000),
      `| a |\n|${'-'.repeat(400_000)}x`,
    ])
      await read(text, 'text/markdown').catch((error) => expect(error).toEqual(invalid('no text')))
  })

  test('PDF: Flate that unpacks to gigabytes ends the thread, and the next document is read', async () => {
    await using threads = readerThreads({ threads: 1 })
    const bomb = testPdf([['x']], { flate: flateBomb(220 * MIB) })
    const before = process.memoryUsage().rss
    const reading = threads.run({ bytes: bomb, mediaType: 'application/pdf' }, never)
    await expect(reading).rejects.toThrow(invalid('memory'))
    expect(process.memoryUsage().rss - before).toBeLessThan(600 * MIB)
    const good = { bytes: testPdf([['Still here.']]), mediaType: 'application/pdf' } as const
    expect(texts(await threads.run(good, never))).toEqual(['Still here.'])
  })

  test.each<[string, Uint8Array]>([
    [
      'a tree of pages that holds itself',
      testPdf([['x']], { objects: { 2: '<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>' } }),
    ],
    ['a content that is itself', testPdf([['x']], { objects: { 5: '5 0 R' } })],
    [
      'too many pages',
      testPdf([['x']], {
        objects: { 2: `<< /Type /Pages /Kids [${'4 0 R '.repeat(2_001)}] /Count 2001 >>` },
      }),
    ],
    ['cut in the middle', testPdf([['x']]).subarray(0, 200)],
    ['nothing but a mark', Buffer.from('%PDF-1.7\n')],
    ['no PDF', Buffer.from('plain text')],
  ])('PDF: %s', async (_name, bytes) => {
    await expect(read(bytes, 'application/pdf')).rejects.toThrow(invalid(''))
  })

  test('PDF: pages that are counted and not there are not looked for', async () => {
    const pdf = testPdf([['Only one.']], { count: 1_000_000 })
    expect(texts(await read(pdf, 'application/pdf'))).toEqual(['Only one.'])
  })

  test('PDF: encrypted, which is said', async () => {
    const trailer =
      '/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O (01234567890123456789012345678901) /U (01234567890123456789012345678901) >> /ID [(0123456789abcdef) (0123456789abcdef)]'
    await expect(read(testPdf([['x']], { trailer }), 'application/pdf')).rejects.toThrow(
      invalid('encrypted'),
    )
  })

  test('whoever takes too long is ended', async () => {
    await using threads = readerThreads({ threads: 1, timeoutMs: 1 })
    const source = { bytes: testPdf([['x']]), mediaType: 'application/pdf' } as const
    await expect(threads.run(source, never)).rejects.toThrow(invalid('took longer'))
    expect(threads.size).toBe(0)
  })

  test('whoever is not waited for any more is ended, and nothing waits beyond the bound', async () => {
    await using threads = readerThreads({ threads: 1, waiting: 1 })
    const source = { bytes: testPdf([['x']]), mediaType: 'application/pdf' } as const
    const left = new AbortController()
    const reading = threads.run(source, left.signal)
    const second = threads.run(source, never)
    await expect(threads.run(source, never)).rejects.toThrow(
      expect.objectContaining({ code: 'QUEUE_FULL' }),
    )
    left.abort(new Error('gone'))
    await expect(reading).rejects.toThrow('gone')
    expect(texts(await second)).toEqual(['x'])
  })
})

test('runtime §10.2: the kind of a document is told by name and bytes', () => {
  const of = (name: string, content: string | Uint8Array) => mediaTypeOf(name, Buffer.from(content))
  expect(of('a.md', '# A')).toBe('text/markdown')
  expect(of('A.HTM', 'x')).toBe('text/html')
  expect(of('report', testPdf([['x']]))).toBe('application/pdf')
  expect(of('report.txt', testPdf([['x']]))).toBe('application/pdf')
  expect(of('page', '<!DOCTYPE html><p>')).toBe('text/html')
  expect(of('notes', 'plain')).toBe('text/plain')
  expect(of('x.pdf', 'no mark')).toBeUndefined()
  expect(of('picture.png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0]))).toBeUndefined()
  expect(of('empty', '')).toBeUndefined()
})

test('more blocks than can be cut up quickly are refused, whatever their size', async () => {
  const rows = 'a\n\n'.repeat(MAX_BLOCKS + 1)
  await expect(read(rows, 'text/plain')).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
})
