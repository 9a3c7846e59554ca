/** The compilers of JSON Schemas, which take their time to load: read when the first schema is compiled. */
import { createRequire } from 'node:module'
import type { Ajv } from 'ajv'
import type { Ajv2020 } from 'ajv/dist/2020.js'

export interface SchemaCompilers {
  readonly Draft7: typeof Ajv
  readonly Draft2020: typeof Ajv2020
}

const require = createRequire(import.meta.url)
let loaded: SchemaCompilers | undefined

export function schemaCompilers(): SchemaCompilers {
  loaded ??= {
    Draft7: (require('ajv') as typeof import('ajv')).Ajv,
    Draft2020: (require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')).Ajv2020,
  }
  return loaded
}
