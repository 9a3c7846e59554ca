/** Where a finding points: the path an agent wrote, as a URI relative to the repository. */
import { isAbsolute, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SarifValidationError } from '../../sage/errors.ts'

export interface ArtifactPath {
  /** Relative to the repository, with forward slashes. */
  readonly path: string
  /** The same, percent-encoded. */
  readonly uri: string
}

/**
 * @param roots Of the repository, by each name it goes by. Without one an absolute path cannot be made relative.
 * @throws SarifValidationError for a path that is empty, or leads out of the repository.
 */
export function artifactPath(file: string, roots: readonly string[]): ArtifactPath {
  const local = within(fromUrl(file), roots, file).replaceAll('\\', '/')
  const path = posix
    .normalize(local)
    .replace(/^(?:\.\/)+/, '')
    .replace(/\/+$/, '')
  if (path === '' || path === '.') throw refused(file, 'names no file')
  if (/^(?:\.\.(?:\/|$)|\/|[A-Za-z]:\/)/.test(path))
    throw refused(file, 'is outside of the repository')
  if (path.includes('\0')) throw refused(file, 'is no path')
  return { path, uri: path.toWellFormed().split('/').map(encodeURIComponent).join('/') }
}

function fromUrl(file: string): string {
  if (!/^file:\/\//i.test(file)) return file
  try {
    return fileURLToPath(file)
  } catch (cause) {
    throw refused(file, 'is no local file', cause)
  }
}

function within(file: string, roots: readonly string[], given: string): string {
  if (!isAbsolute(file)) return file
  const paths = roots.map((root) => relative(root, file))
  const path = paths.find((one) => !one.startsWith('..')) ?? paths[0]
  if (path === undefined) throw refused(given, 'is absolute, and no repository is known')
  return path
}

function refused(file: string, why: string, cause?: unknown): SarifValidationError {
  const shown = file.length > 200 ? `${file.slice(0, 200)}…` : file
  return new SarifValidationError(`the path ${JSON.stringify(shown)} of a finding ${why}`, {
    cause,
  })
}
