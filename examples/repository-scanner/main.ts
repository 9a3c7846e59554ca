/** Runs the scanner on the repository of `REPO_PATH`: see README.md. `node examples/repository-scanner/main.ts` */
import { runAgent } from '@vestry/sdk/agent'
import { RepositoryScanner } from './scanner.ts'

await runAgent(RepositoryScanner, { summary: true })
