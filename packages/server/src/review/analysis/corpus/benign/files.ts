/** Files, revisions and notes. */
import type { ServerTools } from '../entry.ts'
import {
  choice,
  date,
  flag,
  input,
  list,
  pathBelow,
  shaped,
  text,
  whole,
  words,
} from '../schema.ts'

const REVISION = '^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$'
const revision = (description: string) => shaped(description, REVISION, 200)
const repository = choice('Which of the configured repositories.', 'website', 'api', 'handbook')
const note = (description: string) =>
  shaped(description, '^[A-Za-z0-9 _-]{1,80}(?:/[A-Za-z0-9 _-]{1,80}){0,8}\\.md$', 500)

export const FILES: readonly ServerTools[] = [
  {
    family: 'filesystem',
    provider: 'files.example.com',
    tools: {
      read_text_file: {
        description:
          'Returns the text of one file of the project. Large files can be read in part with head or tail.',
        schema: input(
          { path: pathBelow('File, relative to the project root.') },
          {
            head: whole('Only this many lines from the start.', 1, 10_000),
            tail: whole('Only this many lines from the end.', 1, 10_000),
          },
        ),
      },
      read_multiple_files: {
        description:
          'Returns several files of the project at once; one that cannot be read does not stop the others.',
        schema: input({
          paths: list('Files, relative to the project root.', pathBelow('One file.'), 50),
        }),
      },
      write_file: {
        description: 'Creates a file of the project or replaces the one that is there.',
        schema: input({
          path: pathBelow('File, relative to the project root.'),
          content: text('The whole new text of the file.', 200_000),
        }),
      },
      edit_file: {
        description:
          'Replaces passages of a text file and returns the difference. With dry_run nothing is written.',
        schema: input(
          {
            path: pathBelow('File, relative to the project root.'),
            edits: list(
              'Passages to replace, in order.',
              input({
                old_text: text('Passage as it stands now.', 20_000),
                new_text: text('Passage as it shall stand.', 20_000),
              }),
              100,
            ),
          },
          { dry_run: flag('Only show the difference.') },
        ),
      },
      create_directory: {
        description:
          'Makes a directory with its parents. One that exists already is left as it is.',
        schema: input({ path: pathBelow('Directory, relative to the project root.') }),
      },
      list_directory: {
        description: 'Lists what is in a directory, with a mark for files and one for directories.',
        schema: input({ path: pathBelow('Directory, relative to the project root.') }),
      },
      directory_tree: {
        description: 'Shows a directory and everything below it as a tree.',
        schema: input(
          { path: pathBelow('Directory, relative to the project root.') },
          { depth: whole('How many levels to show.', 1, 12) },
        ),
      },
      move_file: {
        description:
          'Moves or renames a file. Fails when there is already something at the new place.',
        schema: input({
          source: pathBelow('Where it is now.'),
          destination: pathBelow('Where it shall be.'),
        }),
      },
      search_files: {
        description: 'Finds files of the project by a part of their name. Case does not matter.',
        schema: input(
          { name_part: words('Part of the name.') },
          { limit: whole('At most this many.', 1, 500) },
        ),
      },
      get_file_info: {
        description: 'Tells size, kind and times of a file without reading it.',
        schema: input({ path: pathBelow('File, relative to the project root.') }),
      },
      list_allowed_directories: {
        description:
          'Lists the directories this server was started with. Nothing outside of them can be reached.',
        schema: input({}),
      },
    },
  },
  {
    family: 'git',
    provider: 'git-tools.example.com',
    tools: {
      git_status: {
        description: 'Shows which files of the working tree are changed, staged or new.',
        schema: input({ repository }),
      },
      git_diff_staged: {
        description: 'Shows the differences that are staged for the next commit.',
        schema: input({ repository }, { context_lines: whole('Lines around each change.', 0, 20) }),
      },
      git_diff: {
        description: 'Shows the differences between the working tree and a branch or commit.',
        schema: input({ repository, target: revision('Branch, tag or commit to compare with.') }),
      },
      git_log: {
        description: 'Lists commits, newest first, with author, date and message.',
        schema: input(
          { repository },
          { max_count: whole('How many.', 1, 200), since: date('Only commits from this day on.') },
        ),
      },
      git_add: {
        description: 'Stages files for the next commit.',
        schema: input({ repository, files: list('Files to stage.', pathBelow('One file.'), 200) }),
      },
      git_commit: {
        description: 'Records the staged changes with a message.',
        schema: input({ repository, message: text('Message of the commit.', 5_000) }),
      },
      git_create_branch: {
        description: 'Starts a new branch at the given revision, or at the current one.',
        schema: input(
          { repository, branch_name: revision('Name of the new branch.') },
          { base: revision('Where it starts.') },
        ),
      },
      git_show: {
        description: 'Shows one commit: its message, its author and what it changed.',
        schema: input({ repository, revision: revision('Commit, tag or branch.') }),
      },
      git_blame: {
        description: 'Tells for each line of a file which commit it comes from.',
        schema: input({ repository, file: pathBelow('File of the repository.') }),
      },
    },
  },
  {
    family: 'notes',
    provider: 'notes.example.com',
    tools: {
      read_note: {
        description: 'Returns a note of the vault as Markdown, with its front matter.',
        schema: input({ note: note('Note, with its folder.') }),
      },
      append_to_note: {
        description: 'Adds text to the end of a note, below the given heading if there is one.',
        schema: input(
          { note: note('Note, with its folder.'), addition: text('Markdown to add.', 50_000) },
          { heading: text('Heading below which it goes.', 200) },
        ),
      },
      search_notes: {
        description:
          'Full-text search over all notes. Returns the best matches with a short excerpt.',
        schema: input(
          { words: words('What to look for.') },
          { limit: whole('At most this many.', 1, 100) },
        ),
      },
      list_tags: {
        description: 'Lists all tags with the number of notes that carry them.',
        schema: input({}),
      },
      rename_heading: {
        description: 'Renames a heading of a note and every link that leads to it.',
        schema: input({
          note: note('Note, with its folder.'),
          from: text('Heading as it is.', 200),
          to: text('Heading as it shall be.', 200),
        }),
      },
    },
  },
]
