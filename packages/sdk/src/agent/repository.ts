/**
 * The repository an agent works on. Nothing outside of it is listed or read, whatever its links and
 * file names say.
 */
import { realpath, stat } from 'node:fs/promises'
import { isAbsolute, join, sep } from 'node:path'
import { type Environment, variable } from '../sage/environment.ts'
import { InputValidationError, PathTraversalError } from '../sage/errors.ts'
import { readRegularFile } from '../sage/regular-file.ts'
import type { AgentInput } from './io.ts'
import { type ListOptions, listFiles } from './list-files.ts'

export interface RepositoryFields {
  path: string
  /** Branch, tag or commit. */
  ref?: string | undefined
  url?: string | undefined
}

export interface ReadOptions {
  /** Larger files are refused. Default 10 MiB. */
  maxBytes?: number | undefined
}

const DEFAULT_MAX_BYTES = 10 * 1024 * 1024

export class RepositoryInput implements AgentInput {
  readonly ioType = 'repository'
  readonly path: string
  readonly ref: string
  readonly url: string

  constructor({ path, ref = '', url = '' }: RepositoryFields) {
    this.path = path
    this.ref = ref
    this.url = url
  }

  /**
   * Reads `REPO_PATH`, `REPO_REF` and `REPO_URL`.
   *
   * @throws InputValidationError when `REPO_PATH` is not set.
   */
  static fromEnvironment(env: Environment = process.env): RepositoryInput {
    const path = variable(env, 'REPO_PATH')
    if (path === undefined) throw new InputValidationError('REPO_PATH is not set')
    return new RepositoryInput({
      path,
      ref: variable(env, 'REPO_REF'),
      url: variable(env, 'REPO_URL'),
    })
  }

  /**
   * @throws PathTraversalError when a component of the path is `..`.
   * @throws InputValidationError when the path is missing or no directory.
   */
  async validate(): Promise<void> {
    if (climbs(this.path)) throw new PathTraversalError(`The path ${this.path} contains ".."`)
    const found = await stat(this.path).catch((cause: unknown) => {
      throw new InputValidationError(`The repository ${this.path} does not exist`, { cause })
    })
    if (!found.isDirectory()) {
      throw new InputValidationError(`The repository ${this.path} is not a directory`)
    }
  }

  /**
   * Paths of files relative to the root, with `/`, sorted component by component in the order of code
   * points. Directories behind links are not entered; links that lead out are left out.
   *
   * @throws InputValidationError when the root cannot be read.
   */
  listFiles(options: ListOptions = {}): Promise<string[]> {
    return listFiles(this.path, options)
  }

  /**
   * The bytes of one file.
   *
   * @param relative As `listFiles` gives it.
   * @throws PathTraversalError when the path, or a link on it, leads out of the repository.
   * @throws InputValidationError when there is no such file or it is too large.
   */
  async readBytes(
    relative: string,
    { maxBytes = DEFAULT_MAX_BYTES }: ReadOptions = {},
  ): Promise<Uint8Array> {
    // A link that appears here in the meantime is not followed.
    const options = { maxBytes, followLinks: false }
    return await readRegularFile(await this.#inside(relative), options).catch((cause: Error) => {
      throw new InputValidationError(`The file ${relative} cannot be read: ${cause.message}`)
    })
  }

  /** The text of one file, read as UTF-8. @throws As readBytes. */
  async readFile(relative: string, options: ReadOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.readBytes(relative, options))
  }

  /** Where the file really is. */
  async #inside(relative: string): Promise<string> {
    if (isAbsolute(relative) || climbs(relative) || relative.includes('\0')) {
      throw new PathTraversalError(`The path ${relative} leads out of the repository`)
    }
    const root = await this.#real(this.path, 'The repository')
    const target = await this.#real(join(root, relative), `The file ${relative}`)
    if (target.startsWith(root.endsWith(sep) ? root : root + sep)) return target
    if (target === root) throw new InputValidationError(`${relative} is not a file`)
    throw new PathTraversalError(`The path ${relative} leads out of the repository`)
  }

  #real(path: string, name: string): Promise<string> {
    return realpath(path).catch((cause: unknown) => {
      throw new InputValidationError(`${name} does not exist`, { cause })
    })
  }
}

/** Whether a component is `..`; a directory called `..foo` is none. */
function climbs(path: string): boolean {
  return path.split(sep === '\\' ? /[\\/]/ : '/').includes('..')
}
