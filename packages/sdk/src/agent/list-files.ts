/** The files below a directory, in one order everywhere. */
import { readdir, realpath, stat } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import { InputValidationError } from '../sage/errors.ts'
import { getLogger } from '../sage/log.ts'
import { type IgnoreRules, ignoreRules } from './ignore-rules.ts'

export interface ListOptions {
  /** Last suffixes with their dot, e.g. `.ts`, in this case; none means every file. */
  extensions?: Iterable<string> | undefined
  /** Names that begin with a dot. Default true. */
  hidden?: boolean | undefined
  /** What is in `.git`. Default false. */
  git?: boolean | undefined
  /** Names of files with patterns of paths to leave out, e.g. `.gitignore`. Default none. */
  ignoreFiles?: readonly string[] | undefined
  /** The listing ends here, with a warning in the log. */
  maxFiles?: number | undefined
  /** Larger files are left out. */
  maxFileBytes?: number | undefined
}

interface Walk {
  readonly root: string
  readonly options: ListOptions
  readonly extensions: ReadonlySet<string>
  readonly found: string[]
  isFull: boolean
}

/** @throws InputValidationError when the root cannot be read. */
export async function listFiles(path: string, options: ListOptions): Promise<string[]> {
  const root = await realpath(path).catch((cause: unknown) => {
    throw new InputValidationError(`The repository ${path} does not exist`, { cause })
  })
  const extensions = new Set(options.extensions)
  const walk: Walk = { root, options, extensions, found: [], isFull: false }
  await enter(walk, '', [])
  if (walk.isFull) getLogger().warning('file_listing_cut', { max_files: options.maxFiles })
  return walk.found
}

async function enter(walk: Walk, directory: string, outer: readonly IgnoreRules[]): Promise<void> {
  const { options } = walk
  const path = join(walk.root, directory)
  const entries = await readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
    throw new InputValidationError(`The directory ${directory || '.'} cannot be read`, { cause })
  })
  const rules = await ignoreRules(path, directory, options.ignoreFiles ?? [])
  const inner = rules === undefined ? outer : [...outer, rules]
  entries.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
  for (const entry of entries) {
    if (walk.isFull) return
    const { name } = entry
    const relative = directory === '' ? name : `${directory}/${name}`
    const isDirectory = entry.isDirectory()
    if (name === '.git' && options.git !== true) continue
    if (name.startsWith('.') && options.hidden === false) continue
    if (isIgnored(inner, relative, isDirectory)) continue
    if (isDirectory) await enter(walk, relative, inner)
    else if (await isWanted(walk, relative, entry.isSymbolicLink(), entry.isFile())) {
      add(walk, relative)
    }
  }
}

function add(walk: Walk, relative: string): void {
  const { maxFiles } = walk.options
  if (maxFiles !== undefined && walk.found.length >= maxFiles) walk.isFull = true
  else walk.found.push(relative)
}

async function isWanted(
  { root, options, extensions }: Walk,
  relative: string,
  isLink: boolean,
  isFile: boolean,
): Promise<boolean> {
  if (extensions.size > 0 && !extensions.has(extname(relative))) return false
  if (!isLink && !isFile) return false
  if (!isLink && options.maxFileBytes === undefined) return true
  try {
    const target = await realpath(join(root, relative))
    if (!target.startsWith(root.endsWith(sep) ? root : root + sep)) return false
    const found = await stat(target)
    return found.isFile() && found.size <= (options.maxFileBytes ?? Number.POSITIVE_INFINITY)
  } catch {
    // A link to nothing, or a file that went away meanwhile.
    return false
  }
}

/** The innermost rule that says anything decides. */
function isIgnored(all: readonly IgnoreRules[], path: string, isDirectory: boolean): boolean {
  for (const rules of [...all].reverse()) {
    const verdict = rules(path, isDirectory)
    if (verdict !== undefined) return verdict
  }
  return false
}
