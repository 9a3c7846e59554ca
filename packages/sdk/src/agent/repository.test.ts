import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { InputValidationError, PathTraversalError } from '../sage/errors.ts'
import { configureLogging } from '../sage/log.ts'
import { RepositoryInput } from './repository.ts'

let outer: string
let root: string
let input: RepositoryInput

beforeEach(async () => {
  outer = await mkdtemp(join(tmpdir(), 'sage-'))
  root = join(outer, 'repo')
  await mkdir(root)
  input = new RepositoryInput({ path: root })
})

afterEach(async () => {
  configureLogging()
  await rm(outer, { recursive: true, force: true })
})

async function files(...paths: string[]): Promise<void> {
  for (const path of paths) {
    const full = join(root, path)
    await mkdir(dirname(full), { recursive: true })
    await writeFile(full, path)
  }
}

describe('sage §21.36: listing', () => {
  test('is sorted component by component in the order of code points', async () => {
    await files('a.py', 'a-b/c.py', 'a/b.py', 'a/B.py', 'A.py')
    expect(await input.listFiles()).toEqual(['A.py', 'a/B.py', 'a/b.py', 'a-b/c.py', 'a.py'])
  })

  test('orders beyond the basic plane by code point, not by code unit', async () => {
    await files('\u{1f600}.py', '\uff21.py')
    expect(await input.listFiles()).toEqual(['\uff21.py', '\u{1f600}.py'])
  })

  test('takes hidden files, and .git or no hidden ones on request', async () => {
    await files('.env', '.github/x.yml', '.git/config', 'src/a.ts')
    expect(await input.listFiles()).toEqual(['.env', '.github/x.yml', 'src/a.ts'])
    expect(await input.listFiles({ git: true })).toEqual([
      '.env',
      '.git/config',
      '.github/x.yml',
      'src/a.ts',
    ])
    expect(await input.listFiles({ hidden: false })).toEqual(['src/a.ts'])
  })

  test('filters by last suffix, case and all; an empty set is no filter', async () => {
    await files('a.py', 'b.PY', 'c.tar.gz', 'd', '.py')
    expect(await input.listFiles({ extensions: ['.py', '.gz'] })).toEqual(['a.py', 'c.tar.gz'])
    expect(await input.listFiles({ extensions: [] })).toHaveLength(5)
  })

  test('lists links to files inside, enters no links, leaves out links that lead out', async () => {
    await files('real.py', 'dir/x.py')
    await writeFile(join(outer, 'secret'), 's')
    await symlink('real.py', join(root, 'link.py'))
    await symlink('dir', join(root, 'linked-dir'))
    await symlink('../secret', join(root, 'out.py'))
    await symlink('/etc/passwd', join(root, 'etc.py'))
    await symlink('nowhere', join(root, 'broken.py'))
    expect(await input.listFiles()).toEqual(['dir/x.py', 'link.py', 'real.py'])
  })

  test('ends at maxFiles, aloud, and leaves out what is too large', async () => {
    const lines: string[] = []
    configureLogging({ format: 'json', write: (line) => lines.push(line) })
    await files('a', 'b', 'c')
    await writeFile(join(root, 'big'), 'x'.repeat(100))
    expect(await input.listFiles({ maxFiles: 3, maxFileBytes: 50 })).toEqual(['a', 'b', 'c'])
    expect(lines).toEqual([])
    expect(await input.listFiles({ maxFiles: 2 })).toEqual(['a', 'b'])
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { event: 'file_listing_cut', max_files: 2 },
    ])
  })

  test('honours ignore files where they are, inner ones over outer ones', async () => {
    await files(
      'a.log',
      'keep.log',
      'build/x',
      'src/build',
      'src/a.tmp',
      'src/b.tmp',
      'src/deep/c.tmp',
      'docs/a/b/x.md',
      'docs/x.md',
      '#odd',
      'f1',
      'f2',
      'fx',
      'lib/gen/a',
      'lib/gen/b/c',
    )
    await writeFile(
      join(root, '.gitignore'),
      '# comment\n*.log\n!keep.log\nbuild/\n/docs/**/x.md\n\\#odd\nf[0-9]\nlib/gen/**\n',
    )
    await writeFile(join(root, 'src/.gitignore'), '*.tmp\n!b.tmp\r\n')
    expect(await input.listFiles({ ignoreFiles: ['.gitignore'], hidden: false })).toEqual([
      'fx',
      'keep.log',
      'src/b.tmp',
      'src/build',
    ])
  })

  test('reads no ignore file through a link, and waits for no pipe', async () => {
    await files('a', 'b')
    await writeFile(join(outer, 'rules'), 'a\n')
    await symlink('../rules', join(root, '.gitignore'))
    await symlink('/dev/zero', join(root, '.zeroignore'))
    await promisify(execFile)('mkfifo', [join(root, '.pipeignore')])
    const ignoreFiles = ['.gitignore', '.zeroignore', '.pipeignore']
    expect(await input.listFiles({ ignoreFiles, hidden: false })).toEqual(['a', 'b'])
  })

  test('is not held up by a pattern made for that', async () => {
    await files('a'.repeat(200))
    await writeFile(
      join(root, '.gitignore'),
      `${'*a'.repeat(100)}b\n${'**/'.repeat(300)}*b\n[z-a]\n[\n`,
    )
    const started = performance.now()
    expect(await input.listFiles({ ignoreFiles: ['.gitignore'], hidden: false })).toHaveLength(1)
    expect(performance.now() - started).toBeLessThan(2000)
  })
})

test('a repository cannot make the listing slow with many such patterns', async () => {
  const names = Array.from({ length: 50 }, (_, at) => `${'a'.repeat(200)}${at}`)
  await files(...names, 'b.log')
  const hostile = `*${'a'.repeat(48)}b\n`.repeat(5000)
  await writeFile(join(root, '.gitignore'), `*.log\n${hostile}`)
  const started = performance.now()
  expect(await input.listFiles({ ignoreFiles: ['.gitignore'], hidden: false })).toHaveLength(50)
  expect(performance.now() - started).toBeLessThan(3000)
})

describe('sage §21.36: reading', () => {
  test('gives text and bytes of files inside, links included', async () => {
    await files('src/a.ts')
    await symlink('src/a.ts', join(root, 'link'))
    expect(await input.readFile('src/a.ts')).toBe('src/a.ts')
    expect(await input.readFile('link')).toBe('src/a.ts')
    expect(await input.readFile('./src/a.ts')).toBe('src/a.ts')
    expect([...(await input.readBytes('src/a.ts'))]).toEqual([...Buffer.from('src/a.ts')])
  })

  test('does not leave the repository, by path or by link: 42', async () => {
    await files('src/a.ts')
    await writeFile(join(outer, 'secret'), 's')
    await mkdir(join(outer, 'repo-twin'))
    await writeFile(join(outer, 'repo-twin', 'secret'), 's')
    await symlink('../secret', join(root, 'link'))
    await symlink('..', join(root, 'up'))
    await symlink('../repo-twin/secret', join(root, 'twin'))
    for (const path of [
      '../secret',
      'src/../../secret',
      'src/../src/a.ts',
      '/etc/passwd',
      'link',
      'up/secret',
      'twin',
      'a\0b',
    ]) {
      await expect(input.readFile(path), path).rejects.toBeInstanceOf(PathTraversalError)
    }
  })

  test('what is missing, no file, or too large: 41', async () => {
    await files('src/a.ts')
    for (const path of ['none', 'src', '.', '']) {
      await expect(input.readFile(path), path).rejects.toBeInstanceOf(InputValidationError)
    }
    await expect(input.readFile('src/a.ts', { maxBytes: 3 })).rejects.toThrow(/larger than 3 bytes/)
  })

  test('works where the root itself is a link', async () => {
    await files('a')
    await symlink(root, join(outer, 'alias'))
    const aliased = new RepositoryInput({ path: join(outer, 'alias') })
    expect(await aliased.listFiles()).toEqual(['a'])
    expect(await aliased.readFile('a')).toBe('a')
  })
})

describe('sage §21.34: validating', () => {
  test('first .., then existence, then kind', async () => {
    const validate = (path: string) => new RepositoryInput({ path }).validate()
    await expect(validate(`${root}/../nowhere`)).rejects.toBeInstanceOf(PathTraversalError)
    await expect(validate('..')).rejects.toMatchObject({ exitCode: 42 })
    await expect(validate(join(root, 'nowhere'))).rejects.toMatchObject({ exitCode: 41 })
    await files('file')
    await expect(validate(join(root, 'file'))).rejects.toMatchObject({ exitCode: 41 })
    await mkdir(join(root, '..foo'))
    await validate(join(root, '..foo'))
    await validate(root)
  })

  test('the environment: REPO_PATH is needed, the others are not', () => {
    expect(() => RepositoryInput.fromEnvironment({ REPO_PATH: '' })).toThrow(InputValidationError)
    expect(RepositoryInput.fromEnvironment({ REPO_PATH: '/r' })).toMatchObject({
      ioType: 'repository',
      path: '/r',
      ref: '',
      url: '',
    })
    expect(
      RepositoryInput.fromEnvironment({ REPO_PATH: '/r', REPO_REF: 'main', REPO_URL: 'u' }),
    ).toMatchObject({ ref: 'main', url: 'u' })
  })
})
