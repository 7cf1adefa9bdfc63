import { dirname, join } from "node:path";
import { writeFileAtomically } from "../media/write_file_atomically.ts";
import { COMMIT, snapshotFolder } from "./cache.ts";
import { chooseFiles, type HubFile } from "./choose_files.ts";
import type { HubClient } from "./client.ts";
import { downloadFile } from "./download_file.ts";
import { HubError } from "./errors.ts";
import type { Snapshot } from "./link_snapshot.ts";
import { type RetryOptions, withRetries } from "./retry.ts";

/** Which model to fetch, and into which folder of the cache. */
export interface PlanFetchOptions extends Omit<RetryOptions, "progress"> {
  readonly repo: string;
  readonly revision: string;
  readonly entry: string;
}

/** What there is to fetch. */
export interface FetchPlan extends PlanFetchOptions {
  readonly commit: string;
  /** Bytes that are still to come. */
  readonly missingBytes: number;
  readonly totalBytes: number;
  readonly files: readonly (HubFile & { readonly isThere: boolean })[];
}

/** Asks the hub for the model's files, and looks which of them the cache has. Errors as `HubClient` and `chooseFiles`. */
export async function planFetch(client: HubClient, options: PlanFetchOptions): Promise<FetchPlan> {
  const { repo, entry } = options;
  const listing = await withRetries(() => client.list(repo, options), options);
  const files = [];
  let totalBytes = 0, missingBytes = 0;
  for (const file of chooseFiles(listing.files, repo)) {
    const isThere = await hasBlob(entry, file);
    files.push({ ...file, isThere });
    totalBytes += file.byteLength;
    if (!isThere) missingBytes += file.byteLength - await incompleteBytes(entry, file);
  }
  return { ...options, commit: listing.commit, files, missingBytes, totalBytes };
}

/** How `fetchModel` makes links and reports progress. */
export interface FetchModelOptions {
  /** Makes the snapshot's folder. */
  readonly link: (snapshot: Snapshot) => Promise<void>;
  /** Told how many of `totalBytes` are there. */
  readonly onProgress: (bytes: number) => void;
}

/**
 * Downloads what the plan lacks, makes the snapshot's folder, and only then says in `refs/` that the revision is there.
 * Returns the folder. Errors as `downloadFile`.
 */
export async function fetchModel(
  client: HubClient,
  { link, onProgress, ...plan }: FetchPlan & FetchModelOptions,
): Promise<string> {
  const { entry, commit, revision, files } = plan;
  await Deno.mkdir(join(entry, "blobs"), { recursive: true });
  const missing = files.filter(({ isThere }) => !isThere);
  let done = missing.reduce((bytes, { byteLength }) => bytes - byteLength, plan.totalBytes);
  for (const file of missing) {
    // Equal files are one blob, which may be there by now.
    if (!await hasBlob(entry, file)) {
      const path = blobPath(entry, file);
      await downloadFile(client, { ...plan, file, path, onProgress: (bytes) => onProgress(done + bytes) });
    }
    done += file.byteLength;
    onProgress(done);
  }
  await link({ entry, commit, files: files.map(({ name, digest }) => ({ name, digest })) });
  if (!COMMIT.test(revision)) {
    const ref = join(entry, "refs", ...revision.split("/"));
    await Deno.mkdir(dirname(ref), { recursive: true });
    await writeFileAtomically(ref, new TextEncoder().encode(commit));
  }
  return snapshotFolder(entry, commit);
}

function blobPath(entry: string, { digest }: HubFile): string {
  return join(entry, "blobs", digest);
}

/** Blobs get their names when their bytes are right, so that a look at the length is enough. */
async function hasBlob(entry: string, file: HubFile): Promise<boolean> {
  const path = blobPath(entry, file);
  try {
    const { isFile, size } = await Deno.stat(path);
    if (isFile && size === file.byteLength) return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
  throw new HubError(
    "corrupt",
    `Cannot use "${path}": it is not a file of ${file.byteLength} bytes; remove it and fetch again`,
  );
}

/** How much of a file an earlier try has left. */
async function incompleteBytes(entry: string, file: HubFile): Promise<number> {
  try {
    const { size } = await Deno.stat(`${blobPath(entry, file)}.incomplete`);
    return size > file.byteLength ? 0 : size;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}
