/** Version of this package, the `framework_version` of its envelopes; a test holds it equal to every package.json. */
export const VERSION = '0.1.0'
