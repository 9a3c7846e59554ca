/** The published packages as a user gets them: packed by npm, put into an empty folder. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Package name → its folder under `packages/`. */
export const PUBLISHED = {
  '@vestry/contract': 'contract',
  '@vestry/coat': 'coat',
  '@vestry/sdk': 'sdk',
  vestry: 'server',
} as const
export type Published = keyof typeof PUBLISHED

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly exports: Record<string, string | Record<string, string>>
  readonly bin?: Record<string, string>
  readonly dependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
}

export interface Tarball {
  readonly file: string
  /** Paths inside the package. */
  readonly entries: readonly string[]
}

/** `npm pack` of one package; its `dist` must have been built. */
export async function pack(name: Published, into: string): Promise<Tarball> {
  const folder = join(root, 'packages', PUBLISHED[name])
  if (!existsSync(join(folder, 'dist'))) throw new Error('run "npm run build" first')
  const args = ['pack', '--json', '--pack-destination', into, folder]
  const { stdout } = await run('npm', args, { cwd: root, maxBuffer: 32 * 1024 * 1024 })
  const parsed: unknown = JSON.parse(stdout)
  // npm 11 answers with a list, npm 12 with an object by package name.
  const [made] = (Array.isArray(parsed) ? parsed : Object.values(parsed as object)) as {
    filename: string
    files: { path: string }[]
  }[]
  if (made === undefined) throw new Error(`npm pack said nothing about ${name}`)
  return { file: join(into, made.filename), entries: made.files.map(({ path }) => path) }
}

/**
 * Unpacks a tarball into `folder/node_modules`, as npm does.
 *
 * @param links Gives it the dependencies it declares, and no others, as links to the repository's.
 */
export async function unpack(
  name: Published,
  tarball: Tarball,
  folder: string,
  { links = true }: { links?: boolean } = {},
): Promise<Manifest> {
  const modules = join(folder, 'node_modules')
  const place = join(modules, name)
  const scratch = mkdtempSync(join(folder, 'unpack-'))
  await run('tar', ['-xzf', tarball.file, '-C', scratch])
  mkdirSync(dirname(place), { recursive: true })
  renameSync(join(scratch, 'package'), place)
  const manifest = manifestAt(place)
  if (!links) return manifest
  for (const dependency of Object.keys({
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.peerDependencies,
  })) {
    const real = join(root, 'node_modules', dependency)
    const link = join(modules, dependency)
    if (dependency in PUBLISHED || existsSync(link) || !existsSync(real)) continue
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(real, link)
  }
  return manifest
}

export function manifestAt(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

/** What a user writes after `from`, for every code door. */
export function doorsOf({ name, exports }: Manifest): string[] {
  return Object.keys(exports)
    .filter((door) => !door.endsWith('.json'))
    .map((door) => `${name}${door.slice(1)}`)
}

/** Imports `doors` from `folder` under `node` and returns each one's exported names. */
export async function importDoors(
  node: string,
  folder: string,
  doors: readonly string[],
  { platform }: { platform?: string } = {},
): Promise<Record<string, string[]>> {
  const script = `
    ${platform === undefined ? '' : `Object.defineProperty(process, 'platform', { value: '${platform}' })`}
    const names = {}
    for (const door of ${JSON.stringify(doors)}) names[door] = Object.keys(await import(door)).sort()
    console.log(JSON.stringify(names))`
  const { stdout } = await run(node, ['--input-type=module', '--eval', script], {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '' },
  })
  return JSON.parse(stdout) as Record<string, string[]>
}

/** A Node of that major version: `$VESTRY_NODE_<major>`, or one in PATH. */
export async function findNode(major: number): Promise<string | undefined> {
  const candidates = [
    process.env[`VESTRY_NODE_${major}`],
    ...(process.env['PATH'] ?? '').split(delimiter).map((place) => join(place, 'node')),
  ]
  for (const candidate of candidates) {
    if (candidate === undefined || !existsSync(candidate)) continue
    const { stdout } = await run(candidate, ['--version']).catch(() => ({ stdout: '' }))
    if (stdout.startsWith(`v${major}.`)) return candidate
  }
  return undefined
}

export const emptyFolder = (): string => mkdtempSync(join(tmpdir(), 'packed-'))
