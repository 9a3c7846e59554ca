/** The one version of everything in this repository; a test holds it equal to every package.json. */
export const VERSION = '0.1.0'
