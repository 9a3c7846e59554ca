/** The whole SARIF 2.1.0 schema, as published, and the validator it was published with. */
import { createRequire } from 'node:module'

interface Validator {
  (document: unknown): boolean
  errors?: { dataPath: string; message?: string }[] | null
}

interface Ajv {
  addMetaSchema(schema: object): Ajv
  compile(schema: object): Validator
}

const ours = createRequire(import.meta.url)
/** The schema is written in draft 4, which newer versions of the validator no longer read. */
const theirs = createRequire(ours.resolve('@microsoft/jest-sarif/package.json'))
const AjvClass = theirs('ajv') as new (options: object) => Ajv

const validate = new AjvClass({ schemaId: 'id', meta: false, allErrors: true })
  .addMetaSchema(theirs('ajv/lib/refs/json-schema-draft-04.json') as object)
  .compile(ours('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json') as object)

/** @returns What the published schema finds wrong. */
export function fullSchemaFaults(document: unknown): string[] {
  return validate(document)
    ? []
    : (validate.errors ?? []).map(({ dataPath, message }) => `${dataPath} ${message}`)
}
