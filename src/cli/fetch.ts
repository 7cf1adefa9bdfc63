// deno-lint-ignore-file no-console -- a command prints

import { cacheEntry, hubFolder, REVISION } from "../hub/cache.ts";
import { DEFAULT_ENDPOINT, HubClient } from "../hub/client.ts";
import { HubError } from "../hub/errors.ts";
import { fetchModel, type FetchPlan, planFetch } from "../hub/fetch_model.ts";
import type { Snapshot } from "../hub/link_snapshot.ts";
import { formatByteSize } from "../text/byte_size.ts";
import { escapeName } from "../text/escape_name.ts";
import type { FetchCommand } from "./arguments.ts";
import { freeBytes } from "./check_disk_space.ts";
import { readEnvironment } from "./environment.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import { count, type Reporter } from "./progress.ts";

/** What `fetch` works with besides its settings. */
export interface FetchContext {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /** Makes a snapshot's folder; this thread may not make links. */
  readonly link: (snapshot: Snapshot) => Promise<void>;
}

/**
 * Downloads a model from the hub into its usual cache, or prints what would be downloaded. What is there already is kept,
 * and a stopped download goes on. Throws `CliError` and `HubError`.
 */
export async function fetchCommand(command: FetchCommand, context: FetchContext): Promise<void> {
  const { repo, revision, dryRun } = command;
  const { reporter, signal, link } = context;
  checkRevision(revision);
  const client = openClient(repo);
  const plan = await planFetch(client, {
    repo,
    revision,
    entry: entryOf(repo),
    signal,
    onRetry(message, delayMs) {
      reporter.report({ event: "warning", message: `${message}; next try in ${delayMs / 1000} s` });
    },
  });
  if (dryRun) return printPlan(plan);

  const { commit, entry, files, totalBytes, missingBytes } = plan;
  const keptBytes = totalBytes - missingBytes;
  reporter.report({
    event: "fetch",
    model: repo,
    revision,
    commit,
    files: files.length,
    bytes: totalBytes,
    kept_bytes: keptBytes,
  });
  await checkRoom(entry, missingBytes);
  const onProgress = (done: number) => reporter.progress({ stage: "fetch", done, total: totalBytes });
  try {
    const path = await fetchModel(client, { ...plan, link, onProgress });
    reporter.report({
      event: "fetched",
      model: repo,
      bytes: missingBytes,
      elapsed_ms: reporter.elapsedMs,
      path,
    });
  } catch (error) {
    if (error !== signal.reason || !(error instanceof CliError)) throw error;
    throw new CliError(error.exitCode, `${error.message}: run the same command again to go on`, {
      cause: error,
    });
  }
}

function checkRevision(revision: string): void {
  if (REVISION.test(revision)) return;
  throw new CliError(
    EXIT.usage,
    `Cannot fetch revision "${
      escapeName(revision)
    }": wanted a branch, tag or commit, such as --revision main`,
  );
}

/** The client that the environment asks for. Throws `HubError` (offline), or `CliError` (usage) for bad variables. */
function openClient(repo: string): HubClient {
  if (/^(1|on|yes|true)$/i.test(readEnvironment("HF_HUB_OFFLINE") ?? "")) {
    throw new HubError(
      "offline",
      `Cannot fetch "${repo}": HF_HUB_OFFLINE forbids the network; unset it. Models that were fetched before need no ` +
        `network: pass --model ${repo} to upscale`,
    );
  }
  const address = readEnvironment("HF_ENDPOINT") ?? DEFAULT_ENDPOINT;
  const endpoint = URL.parse(address);
  if (endpoint === null || !/^https?:$/.test(endpoint.protocol) || endpoint.username || endpoint.password) {
    throw new CliError(
      EXIT.usage,
      `Cannot use HF_ENDPOINT "${
        escapeName(address)
      }": wanted an address such as ${DEFAULT_ENDPOINT}, or no value`,
    );
  }
  const token = readEnvironment("HF_TOKEN")?.trim();
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new CliError(
      EXIT.usage,
      "Cannot use HF_TOKEN: it holds characters that no token has; set it again, or unset it",
    );
  }
  return new HubClient({ endpoint, token });
}

function entryOf(repo: string): string {
  const hub = hubFolder(readEnvironment);
  if (hub !== undefined) return cacheEntry(hub, repo);
  throw new CliError(
    EXIT.cannotCreate,
    `Cannot fetch "${repo}": nothing says where the cache is; set HF_HOME to a folder`,
  );
}

/** Creates `folder`. Throws `CliError` (cannotCreate) if that fails, or if the disk has not room for so many bytes. */
async function checkRoom(folder: string, bytes: number): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    const reason = escapeName(error instanceof Error ? error.message : String(error));
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write to folder "${escapeName(folder)}": ${reason}. Set HF_HOME to another folder`,
      { cause: error },
    );
  }
  const free = await freeBytes(folder);
  if (free === null || free >= bytes) return;
  const [has, wanted] = [formatByteSize(free), formatByteSize(bytes)];
  throw new CliError(
    EXIT.cannotCreate,
    `Cannot write to folder "${escapeName(folder)}": ${has} are free, ${wanted} are needed. ` +
      "Make room, or set HF_HOME to another folder",
  );
}

function printPlan({ repo, revision, commit, entry, files, totalBytes, missingBytes }: FetchPlan): void {
  const size = formatByteSize(totalBytes);
  console.log(`${repo} at ${revision}, commit ${commit}: ${count(files.length, "file")}, ${size}`);
  for (const { name, byteLength, isThere } of files) {
    console.log(`${formatByteSize(byteLength).padStart(10)}  ${name}${isThere ? "  (there already)" : ""}`);
  }
  console.log(`To fetch: ${formatByteSize(missingBytes)} into ${escapeName(entry)}`);
}
