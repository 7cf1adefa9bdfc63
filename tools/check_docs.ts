// What the documents point at must be there: links, pictures and tasks. Their TypeScript blocks are checked by
// `deno check --doc`, the docstrings of the public API by `deno doc --lint`.
// Usage: deno run --allow-read tools/check_docs.ts

// deno-lint-ignore-file no-console -- a command prints

import { blank, lineAt } from "./mask_source.ts";
import { readTree } from "./read_tree.ts";

/** What a document may point at. */
export interface DocsTargets {
  /** Task names of deno.json. */
  readonly tasks: ReadonlySet<string>;
  /** Whether a path relative to the repository root is there. */
  readonly exists: (path: string) => boolean;
}

const LINK = /\]\(\s*<?([^)>\s]+)|\b(?:src|href)="([^"]+)"/g;
const TASK = /\bdeno task ([\w:-]+)/g;
const CODE = /^(`{3,}|~{3,})[^]*?^\1|`[^`\n]+`/gm;

/**
 * Lists what the Markdown text `text` points at and is not there, one message for each, `path:line: message`.
 *
 * Links and pictures count outside code, `deno task NAME` everywhere. Addresses and anchors are not followed.
 */
export function checkDocument(path: string, text: string, targets: DocsTargets): string[] {
  const prose = text.replace(CODE, blank);
  const links = [...prose.matchAll(LINK)].flatMap(({ index, 1: markdown, 2: html }) => {
    const target = markdown ?? html!;
    if (/^(?:[a-z]+:|#)/i.test(target)) return [];
    const file = decodeURIComponent(new URL(target, `file:///${path}`).pathname.slice(1));
    if (targets.exists(file)) return [];
    return [`${path}:${lineAt(text, index)}: links to "${target}", but ${file} is not there: mend the link`];
  });
  const tasks = [...text.matchAll(TASK)].flatMap(({ index, 1: name }) => {
    if (targets.tasks.has(name!)) return [];
    const known = [...targets.tasks].join(", ");
    return [
      `${path}:${lineAt(text, index)}: names the task "${name}", deno.json has ${known}: mend the name`,
    ];
  });
  return [...links, ...tasks];
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

if (import.meta.main) {
  const config: { tasks: Record<string, unknown> } = JSON.parse(await Deno.readTextFile("deno.json"));
  const targets = { tasks: new Set(Object.keys(config.tasks)), exists: isThere };
  const documents = [...await readTree(".")].filter(([path]) => /^(README|docs\/.*)\.md$/.test(path));
  const messages = documents.flatMap(([path, text]) => checkDocument(path, text, targets));
  for (const message of messages) console.error(message);
  console.log(`${documents.length} documents`);
  if (messages.length > 0) Deno.exit(1);
}
