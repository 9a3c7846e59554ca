/** Names taken apart into words. */
import { latinSkeleton } from './confusables.ts'
import { withoutInvisible } from './invisible.ts'

/** Nobody needs more of a name to see what it stands for. */
const MAX_NAME = 256

/** `bypassAuth-check` is `bypass`, `auth`, `check`; look-alikes count as Latin. */
export function nameWords(name: string): string[] {
  return latinSkeleton(withoutInvisible(name.slice(0, MAX_NAME).normalize('NFKC')))
    .replace(/(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, ' ')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '')
}
