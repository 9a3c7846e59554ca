/** Issues, pull requests, chat, pages, calendars and mail. */
import type { ServerTools } from '../entry.ts'
import {
  choice,
  date,
  flag,
  input,
  list,
  moment,
  pathBelow,
  shaped,
  text,
  whole,
  words,
} from '../schema.ts'

const owner = shaped('Account that owns the repository.', '^[A-Za-z0-9][A-Za-z0-9-]{0,38}$', 39)
const repo = shaped('Name of the repository.', '^[A-Za-z0-9_.-]{1,100}$', 100)
const branch = (description: string) =>
  shaped(description, '^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$', 200)
const channel = shaped('Channel id.', '^C[A-Z0-9]{8,12}$', 13)
const thread = shaped(
  'Time stamp of the message that began the thread.',
  '^[0-9]{10}\\.[0-9]{6}$',
  17,
)
const page = whole('Page of the results, from 1.', 1, 1_000)
const perPage = whole('Results per page.', 1, 100)
const issueKey = shaped('Key of the issue.', '^[A-Z][A-Z0-9]{1,9}-[0-9]{1,7}$', 18)
const uuid = (description: string) =>
  ({ type: 'string', description, format: 'uuid', maxLength: 36 }) as const

export const WORK: readonly ServerTools[] = [
  {
    family: 'github',
    provider: 'github-tools.example.com',
    tools: {
      get_file_contents: {
        description: 'Returns a file or the listing of a directory of a repository at a branch.',
        schema: input(
          { owner, repo, path: pathBelow('Path in the repository.') },
          { branch: branch('Branch; by default the main one.') },
        ),
      },
      create_or_update_file: {
        description: 'Commits one file to a branch. To replace a file, give the hash it has now.',
        schema: input(
          {
            owner,
            repo,
            path: pathBelow('Path in the repository.'),
            content: text('New text of the file.', 200_000),
            message: text('Message of the commit.', 5_000),
            branch: branch('Branch to commit to.'),
          },
          { sha: shaped('Hash of the file that is replaced.', '^[0-9a-f]{40}$', 40) },
        ),
      },
      push_files: {
        description: 'Commits several files to a branch at once.',
        schema: input({
          owner,
          repo,
          branch: branch('Branch to commit to.'),
          files: list(
            'Files with their text.',
            input({
              path: pathBelow('Path in the repository.'),
              content: text('Text of the file.', 200_000),
            }),
            100,
          ),
          message: text('Message of the commit.', 5_000),
        }),
      },
      create_issue: {
        description: 'Opens an issue in a repository, with labels and assignees if given.',
        schema: input(
          { owner, repo, title: text('Title.', 256) },
          {
            body: text('Text of the issue, in Markdown.', 65_000),
            labels: list('Labels.', text('One label.', 50), 20),
            milestone: whole('Number of the milestone.', 1, 100_000),
          },
        ),
      },
      list_issues: {
        description:
          'Lists the issues of a repository, filtered by state and label, sorted as asked.',
        schema: input(
          { owner, repo },
          {
            state: choice('Which ones.', 'open', 'closed', 'all'),
            sort: choice('By what.', 'created', 'updated', 'comments'),
            direction: choice('In which order.', 'asc', 'desc'),
            page,
            per_page: perPage,
          },
        ),
      },
      add_issue_comment: {
        description: 'Adds a comment to an issue or pull request.',
        schema: input({
          owner,
          repo,
          issue_number: whole('Number of the issue.', 1, 10_000_000),
          body: text('Text of the comment.', 65_000),
        }),
      },
      create_pull_request: {
        description: 'Opens a pull request from one branch into another.',
        schema: input(
          {
            owner,
            repo,
            title: text('Title.', 256),
            head: branch('Branch with the changes.'),
            base: branch('Branch they go into.'),
          },
          { body: text('What the changes are about.', 65_000), draft: flag('Open it as a draft.') },
        ),
      },
      merge_pull_request: {
        description: 'Merges a pull request whose checks have passed.',
        schema: input(
          { owner, repo, pull_number: whole('Number of the pull request.', 1, 10_000_000) },
          { merge_method: choice('How to merge.', 'merge', 'squash', 'rebase') },
        ),
      },
      search_repositories: {
        description: 'Finds public repositories by words in their name, topic or description.',
        schema: input({ words: words('What to look for.') }, { page, per_page: perPage }),
      },
      get_pull_request_status: {
        description: 'Tells the combined result of all checks of a pull request.',
        schema: input({
          owner,
          repo,
          pull_number: whole('Number of the pull request.', 1, 10_000_000),
        }),
      },
    },
  },
  {
    family: 'slack',
    provider: 'chat.example.com',
    tools: {
      list_channels: {
        description: 'Lists the public channels of the workspace, with their topics, page by page.',
        schema: input({}, { limit: whole('Channels per page.', 1, 200) }),
      },
      post_message: {
        description: 'Posts a message to a channel as the bot.',
        schema: input({ channel_id: channel, text: text('The message.', 4_000) }),
      },
      reply_to_thread: {
        description: 'Posts a reply below a message.',
        schema: input({ channel_id: channel, thread_ts: thread, text: text('The reply.', 4_000) }),
      },
      add_reaction: {
        description: 'Adds an emoji to a message.',
        schema: input({
          channel_id: channel,
          timestamp: thread,
          reaction: shaped('Name of the emoji, without colons.', '^[a-z0-9_+-]{1,50}$', 50),
        }),
      },
      get_channel_history: {
        description: 'Returns the latest messages of a channel, newest first.',
        schema: input({ channel_id: channel }, { limit: whole('How many.', 1, 100) }),
      },
      get_users: {
        description: 'Lists the members of the workspace with their display names.',
        schema: input({}, { limit: whole('Members per page.', 1, 200) }),
      },
    },
  },
  {
    family: 'pages',
    provider: 'pages.example.com',
    tools: {
      retrieve_page: {
        description:
          'Returns the properties of a page. Use retrieve_block_children for its content.',
        schema: input({ page_id: uuid('Page.') }),
      },
      retrieve_block_children: {
        description: 'Returns the blocks that a page or block contains.',
        schema: input(
          { block_id: uuid('Page or block.') },
          { page_size: whole('Blocks per page.', 1, 100) },
        ),
      },
      append_paragraph: {
        description: 'Adds a paragraph to the end of a page.',
        schema: input({ page_id: uuid('Page.'), paragraph: text('Text of the paragraph.', 2_000) }),
      },
      query_table: {
        description: 'Lists the rows of a table, sorted by one of its columns.',
        schema: input(
          { database_id: uuid('Table.') },
          {
            sort_by: choice('Column.', 'name', 'created', 'edited', 'status'),
            page_size: whole('Rows per page.', 1, 100),
          },
        ),
      },
    },
  },
  {
    family: 'issues',
    provider: 'issues.example.com',
    tools: {
      get_issue: {
        description: 'Returns an issue with its fields, comments and linked issues.',
        schema: input({ issue_key: issueKey }),
      },
      transition_issue: {
        description: 'Moves an issue to another column of the board.',
        schema: input({
          issue_key: issueKey,
          status: choice('Where it goes.', 'todo', 'in_progress', 'in_review', 'done'),
        }),
      },
      create_ticket: {
        description:
          'Creates an issue in a project. A title and a team are needed, all else can be added later.',
        schema: input(
          {
            team: choice('Team that gets it.', 'platform', 'product', 'design'),
            title: text('Title.', 256),
          },
          {
            description: text('Details, in Markdown.', 30_000),
            priority: whole('0 is none, 1 is urgent, 4 is low.', 0, 4),
            due_on: date('When it is due.'),
          },
        ),
      },
      log_work: {
        description: 'Adds time to the work log of an issue.',
        schema: input(
          { issue_key: issueKey, minutes: whole('Time spent.', 1, 1_440) },
          { day: date('On which day.') },
        ),
      },
    },
  },
  {
    family: 'calendar',
    provider: 'calendar.example.com',
    tools: {
      list_events: {
        description: 'Lists the events between two moments, in the order they begin.',
        schema: input({ time_min: moment('From.'), time_max: moment('Until.') }),
      },
      create_event: {
        description: 'Adds an event. Guests from the own organisation get an invitation.',
        schema: input(
          { summary: text('Title.', 300), start: moment('Begin.'), end: moment('End.') },
          {
            location: text('Where it takes place.', 300),
            guests: list(
              'Who is invited.',
              shaped('Address in the own organisation.', '^[a-z0-9._-]{1,64}@example\\.com$', 80),
              50,
            ),
          },
        ),
      },
      find_free_time: {
        description: 'Finds gaps in the calendar that are long enough for a meeting.',
        schema: input({
          time_min: moment('From.'),
          time_max: moment('Until.'),
          minutes: whole('Length of the meeting.', 5, 480),
        }),
      },
    },
  },
  {
    family: 'mail',
    provider: 'mail.example.com',
    tools: {
      search_mail: {
        description:
          'Finds messages in the inbox by words in their subject. Returns sender, subject and date.',
        schema: input(
          { words: words('What to look for.') },
          { limit: whole('At most this many.', 1, 50) },
        ),
      },
      draft_reply: {
        description: 'Saves a reply to a message as a draft. A person sends it.',
        schema: input({
          message_id: shaped('Message that is answered.', '^[A-Za-z0-9_-]{10,64}$', 64),
          body: text('Text of the reply.', 20_000),
        }),
      },
      label_message: {
        description: 'Puts a label on a message or takes it off.',
        schema: input({
          message_id: shaped('The message.', '^[A-Za-z0-9_-]{10,64}$', 64),
          label: choice('Which label.', 'todo', 'waiting', 'done', 'receipts'),
          action: choice('What to do.', 'add', 'remove'),
        }),
      },
    },
  },
]
