/** Which files of a repository are worth a model's time, and their text. Everything is bounded. */
import type { RepositoryInput } from '@vestry/sdk/agent'
import type { SourceText } from './questions.ts'

/** Languages that run where an attacker can reach them. */
const EXTENSIONS = [
  ...['.c', '.cc', '.cpp', '.cs', '.go', '.java', '.js', '.jsx', '.kt', '.mjs', '.php', '.pl'],
  ...['.py', '.rb', '.rs', '.scala', '.sh', '.sql', '.swift', '.ts', '.tsx'],
]

/** A larger file is generated more often than written, and costs as much as all the others. */
const LARGEST_FILE_BYTES = 96 * 1024

/** Folders that hold other people's code, or what was made of ours. */
const FOREIGN = /(?:^|\/)(?:node_modules|vendor|dist|build|target|coverage|__pycache__)\//

export async function sourceFiles(repository: RepositoryInput): Promise<string[]> {
  const ignoreFiles = ['.gitignore']
  const listed = await repository.listFiles({ extensions: EXTENSIONS, hidden: false, ignoreFiles })
  return listed.filter((file) => !FOREIGN.test(file))
}

/** @returns Why the file is not scanned, if it is not. */
export async function readSource(
  repository: RepositoryInput,
  file: string,
): Promise<SourceText | string> {
  const bytes = await repository.readBytes(file)
  if (bytes.length > LARGEST_FILE_BYTES) return `larger than ${LARGEST_FILE_BYTES / 1024} KiB`
  if (bytes.includes(0)) return 'binary'
  return { file, lines: new TextDecoder().decode(bytes).split(/\r\n|\n|\r/) }
}
