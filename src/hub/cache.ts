import { basename, dirname, isAbsolute, join } from "node:path";

/** A hub's name of a model, OWNER/NAME. */
export const REPO_NAME = /^(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;
/** A branch, tag, pull request ("refs/pr/1") or commit. No part begins with a dot, so none leads up. */
export const REVISION = /^[A-Za-z0-9_][\w.-]{0,99}(?:\/[A-Za-z0-9_][\w.-]{0,99}){0,3}$/;
/** A commit in full. */
export const COMMIT = /^[0-9a-f]{40}$/;

/** Environment variables that say where the cache lies. */
export const CACHE_VARIABLES = ["HF_HOME", "XDG_CACHE_HOME", "HOME", "USERPROFILE"] as const;

/** Where huggingface_hub and this program keep what they fetch; undefined if the environment does not tell. */
export function hubFolder(
  read: (variable: typeof CACHE_VARIABLES[number]) => string | undefined,
  os: typeof Deno.build.os = Deno.build.os,
): string | undefined {
  const home = read(os === "windows" ? "USERPROFILE" : "HOME");
  const own = read("HF_HOME");
  if (own !== undefined) return join(own.replace(/^~(?=$|[/\\])/, home ?? "~"), "hub");
  const xdg = read("XDG_CACHE_HOME");
  const caches = xdg !== undefined && isAbsolute(xdg) ? xdg : home && join(home, ".cache");
  return caches && join(caches, "huggingface", "hub");
}

/** The folder of model `repo` (OWNER/NAME) in the cache `hub`. */
export function cacheEntry(hub: string, repo: string): string {
  return join(hub, `models--${repo.replace("/", "--")}`);
}

/** The model folder of `commit` in a cache entry. */
export function snapshotFolder(entry: string, commit: string): string {
  return join(entry, "snapshots", commit);
}

/** The newest snapshot of branch main in a cache entry; null if there is none. */
export function newestSnapshot(entry: string): string | null {
  try {
    const commit = Deno.readTextFileSync(join(entry, "refs", "main")).trim();
    if (!COMMIT.test(commit)) return null;
    const snapshot = snapshotFolder(entry, commit);
    return Deno.statSync(snapshot).isDirectory ? snapshot : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw error;
  }
}

/** How to call the model in a folder: OWNER/NAME for a snapshot in the cache, else the folder's name. */
export function modelName(folder: string): string {
  const [snapshots, entry] = [dirname(folder), dirname(dirname(folder))];
  const [, owner, name] = /^models--(.+?)--(.+)$/.exec(basename(entry)) ?? [];
  if (owner === undefined || basename(snapshots) !== "snapshots") return basename(folder);
  return `${owner}/${name}`;
}
