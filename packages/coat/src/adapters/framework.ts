/** Finds a framework that is the user's to install: its version, and its modules when an adapter needs them. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fields, text } from './shapes.ts'

export interface Framework {
  readonly name: string
  /** `""` when the package is not to be found from here. */
  readonly version: string
}

const found = new Map<string, Framework>()

/** Reads one small file once; adapters call it when they are made, not while a run goes on. */
export function framework(name: string, packages: readonly string[]): Framework {
  const known = found.get(name)
  if (known !== undefined) return known
  const version = packages.map(installedVersion).find((each) => each !== '') ?? ''
  const made = Object.freeze({ name, version })
  found.set(name, made)
  return made
}

/** @returns The module's exports, or `undefined` when the package is not installed. */
export async function loadModule(specifier: string): Promise<Record<string, unknown> | undefined> {
  try {
    return (await import(specifier)) as Record<string, unknown>
  } catch {
    return undefined
  }
}

export function missing(adapter: string, packageName: string): Error {
  const error = new Error(
    `${adapter} needs the package ${packageName}, which cannot be loaded: npm install ${packageName}`,
  )
  error.name = 'MissingFramework'
  return error
}

function installedVersion(packageName: string): string {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    let folders: string[] | null
    try {
      folders = createRequire(from).resolve.paths(packageName)
    } catch {
      continue
    }
    for (const folder of folders ?? []) {
      const version = versionIn(join(folder, packageName, 'package.json'))
      if (version !== undefined) return version
    }
  }
  return ''
}

function versionIn(file: string): string | undefined {
  try {
    return text(fields(JSON.parse(readFileSync(file, 'utf8')))?.['version'])
  } catch {
    return undefined
  }
}
