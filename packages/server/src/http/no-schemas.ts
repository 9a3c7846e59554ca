/**
 * No route of ours declares a schema: bodies are read and checked by the wires themselves. Without this the framework
 * would load its compilers of schemas, a hundred modules, at every start.
 */
export const NO_SCHEMAS = {
  compilersFactory: {
    buildValidator: () => () => never,
    buildSerializer: () => () => never,
  },
}

function never(): never {
  throw new Error('no route declares a schema')
}
